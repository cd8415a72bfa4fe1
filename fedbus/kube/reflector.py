"""One kind of object kept equal to a Kubernetes API: a list, then a watch from there on.

A watch that ends or breaks is resumed from the last version that was seen, bookmarks included; where the
server no longer has that (410 Gone) everything is listed again.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog

from fedbus.core import backoff, inventory
from fedbus.errors import FedbusError, Forbidden, InvalidInput, NotFound, Unavailable
from fedbus.kube.client import Gone, KubernetesApi, parsed
from fedbus.model.inventory import Kept
from fedbus.runtime import Clock

PAGE: Final = 100
"""Objects of one page of a list: bounds what is in memory before it is cut down."""
WATCH_SECONDS: Final = 240
"""How long the server keeps a watch; a connection that died silently is noticed a little later."""
SILENCE: Final = WATCH_SECONDS + 30.0
REFUSED_SECONDS: Final = 300.0
"""How often a kind is asked for that may not be read, or that this cluster does not have."""
MAX_RESUMES: Final = 5
"""Watches that may fail one after the other until everything is listed again."""
SHORT: Final = 1.0
"""A watch that ended sooner than that many seconds is resumed with back-off, not at once."""

log = structlog.get_logger(__name__)


class Resource(msgspec.Struct, frozen=True):
    """A kind and the path of all its objects; `optional`: not every cluster has it."""

    kind: str
    path: str
    optional: bool = False


class Sink(Protocol):
    """Who keeps the objects."""

    def replace(self, kind: str, objects: Mapping[tuple[str, str], Kept]) -> None:
        """Take all objects of a kind, by namespace and name; others are gone."""
        ...

    def put(self, kind: str, key: tuple[str, str], one: Kept | None) -> None:
        """Take one object as it is now, None if it is gone."""
        ...

    def failed(self, kind: str, error: FedbusError | None) -> None:
        """Note why a kind cannot be read, None when it can again."""
        ...


class Reflector:
    """Follows one resource."""

    def __init__(self, api: KubernetesApi, resource: Resource, sink: Sink, clock: Clock) -> None:
        self._api, self._resource, self._sink, self._clock = api, resource, sink, clock
        self.lists = 0
        """How often everything was listed."""

    async def run(self) -> None:
        """Follow for ever."""
        failures = 0
        while True:
            try:
                version = await self._list()
                failures = 0
                await self._watch(version)
            except Gone as error:
                log.info("kubernetes_relist", kind=self._resource.kind, why=error.message)
                failures += 1
                pause = 0.0 if failures <= 1 else backoff.delay(failures, self._clock.jitter())
            except (Forbidden, NotFound) as error:
                self._refused(error)
                pause = REFUSED_SECONDS
            except FedbusError as error:
                failures += 1
                self._sink.failed(self._resource.kind, error)
                log.warning("kubernetes_list_failed", kind=self._resource.kind, error=error.message)
                pause = backoff.delay(failures, self._clock.jitter())
            await asyncio.sleep(pause)

    def _refused(self, error: FedbusError) -> None:
        if isinstance(error, NotFound) and self._resource.optional:
            self._sink.replace(self._resource.kind, {})
            self._sink.failed(self._resource.kind, None)
            return
        log.warning("kubernetes_refused", kind=self._resource.kind, error=error.message)
        self._sink.failed(self._resource.kind, error)

    async def _list(self) -> str:
        """Read everything, page by page; return the version that it is of."""
        found: dict[tuple[str, str], Kept] = {}
        params = {"limit": str(PAGE)}
        self.lists += 1
        while True:
            page = await self._api.get(self._resource.path, params)
            items, metadata = page.get("items"), page.get("metadata")
            for item in items if isinstance(items, list) else ():
                if (one := self._kept(item)) is not None:
                    found[one.namespace, one.name] = one
            about = metadata if isinstance(metadata, dict) else {}
            if not (more := about.get("continue")):
                break
            params = {"limit": str(PAGE), "continue": str(more)}
        self._sink.replace(self._resource.kind, found)
        self._sink.failed(self._resource.kind, None)
        return str(about.get("resourceVersion", ""))

    async def _watch(self, version: str) -> None:
        """Follow changes since `version`, over as many watches as it takes. Raises Gone."""
        failures = 0
        while True:
            began = self._clock.monotonic()
            params = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "timeoutSeconds": str(WATCH_SECONDS),
            }
            try:
                async for line in self._api.lines(self._resource.path, params, SILENCE):
                    version = self._take(parsed(line)) or version
                    failures = 0
                short = self._clock.monotonic() - began < SHORT
                failures = failures + 1 if short else 0
            except Unavailable as error:
                failures += 1
                log.info("kubernetes_watch_broke", kind=self._resource.kind, error=error.message)
            if failures > MAX_RESUMES:
                raise Gone("the watch does not get going")  # a list says what is wrong, or mends it
            if failures:
                await asyncio.sleep(backoff.delay(failures, self._clock.jitter()))

    def _take(self, event: Mapping[str, Any]) -> str:
        """Apply one event; return its version. Raises Gone, Unavailable for what the server says is wrong."""
        what, item = event.get("type"), event.get("object")
        if not isinstance(item, dict):
            raise Unavailable("an event without an object")
        if what == "ERROR":
            message = str(item.get("message", "the watch failed"))
            raise Gone(message) if item.get("code") == 410 else Unavailable(message)
        metadata = item.get("metadata")
        about = metadata if isinstance(metadata, dict) else {}
        if what in ("ADDED", "MODIFIED", "DELETED"):
            key = str(about.get("namespace", "")), str(about.get("name", ""))
            self._sink.put(self._resource.kind, key, None if what == "DELETED" else self._kept(item))
        return str(about.get("resourceVersion", ""))

    def _kept(self, item: object) -> Kept | None:
        if not isinstance(item, dict):
            return None
        try:
            return inventory.kept({**item, "kind": self._resource.kind})
        except InvalidInput as error:
            log.warning("kubernetes_object_odd", kind=self._resource.kind, error=error.message)
            return None
