"""The REST of scanning registries: begin, stop, try out. Registries themselves are policy."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import msgspec
from aiohttp import web
from msgspec.structs import replace

from fedbus.cluster.policy.scopes import scope_of
from fedbus.cluster.registries.registries import Registries
from fedbus.cluster.registries.trial import Step, try_out
from fedbus.core.policy_edits.objects import with_fields
from fedbus.core.registry import access
from fedbus.model import wire
from fedbus.model.policy import Scope
from fedbus.model.policy.registry import Registry
from fedbus.model.registry_run import RegistryStatus
from fedbus.store.database import Database
from fedbus.web import respond
from fedbus.web.openapi import Parameter, described
from fedbus.web.policy_reads import Beside

PATH = "/v1/scan/registry/{name}"
_FORCE = Parameter("force", {"type": "string", "enum": ["true", "false"]}, "Scan again what was scanned")


class Trial(msgspec.Struct, frozen=True):
    """What came of trying out a registry: each step until one failed."""

    success: bool
    steps: list[Step]


class TrialBody(msgspec.Struct, frozen=True):
    """What of the registry is tried out otherwise than it is; nothing of it is kept."""

    config: wire.Raw = {}


class KeptApart:
    """Takes the credentials out of registries as they are written (see `policy_api.Apart`)."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    def split(self, kind: str, config: wire.Raw) -> tuple[wire.Raw, dict[str, str | None]]:
        """Return a body with masks where credentials were, and those."""
        return access.split(config) if kind == "registry" else (config, {})

    @asynccontextmanager
    async def kept(self, name: str, apart: Mapping[str, str | None], *, fresh: bool) -> AsyncIterator[None]:
        """Keep credentials unless what is done meanwhile fails."""
        if apart or fresh:
            address = "" if fresh or access.ADDRESS in apart else await self._registries.address(name)
            store = self._registries.credentials
            merge = partial(access.merged, given=apart, address=address)
            async with store.changed(name, merge, fresh=fresh):
                yield
        else:
            yield
        self._registries.poke()


def beside(registries: Registries, scans: Database) -> Mapping[str, Beside]:
    """Return what registries are shown with: the run here, or of one that is scanned elsewhere what came."""

    async def of(name: str) -> RegistryStatus:
        status = await registries.status(name)
        if status.state and status.reason != "submitted":
            return status
        held = await scans.read(lambda tx: tx.scans.counts(name))
        return replace(status, scanned=held[0].reports, images=held[0].images) if held else status

    return {"registry": Beside(RegistryStatus, of)}


def routes(registries: Registries, allowed: Callable[[Scope], object]) -> list[web.RouteDef]:
    """Make the routes; `allowed` raises for a scope whose registries are not scanned here."""
    handlers = _Handlers(registries, allowed)
    return [
        web.post(PATH + "/scan", handlers.start),
        web.delete(PATH + "/scan", handlers.stop),
        web.post(PATH + "/test", handlers.test),
    ]


class _Handlers:
    def __init__(self, registries: Registries, allowed: Callable[[Scope], object]) -> None:
        self._registries, self._allowed = registries, allowed

    @described("Scan a registry", answer=RegistryStatus, query=(_FORCE,), tag="registry")
    async def start(self, request: web.Request) -> web.Response:
        """Begin a scan, or leave the one that goes on to it."""
        name = self._name(request)
        forced = request.query.get("force") == "true"
        return respond.json(await self._registries.start(name, "forced" if forced else "manual"))

    @described("Stop the scan of a registry", answer=RegistryStatus, tag="registry")
    async def stop(self, request: web.Request) -> web.Response:
        """Stop a scan; what it found stays."""
        return respond.json(await self._registries.stop(self._name(request)))

    @described("Try out a registry", body=TrialBody, body_required=False, answer=Trial, tag="registry")
    async def test(self, request: web.Request) -> web.Response:
        """Ask a registry, as it is or with other fields, and say step by step what came of it."""
        name = self._name(request)
        sent = await respond.body(request, TrialBody)
        registry = await self._registries.definition(name)
        secrets = await self._registries.credentials.get(name)
        config, given = access.split(sent.config)
        if config:
            tried = with_fields(registry, config, scope_of(request, "registry", name))
            registry = tried if isinstance(tried, Registry) else registry
        secrets = access.merged(secrets, given, registry.registry)
        steps = await try_out(registry, secrets, self._registries.shared)
        return respond.json(Trial(success=all(step.ok for step in steps), steps=steps))

    def _name(self, request: web.Request) -> str:
        name = request.match_info["name"]
        self._allowed(scope_of(request, "registry", name))
        return name
