"""NeuVector's paths for reading policy, as one table; both daemons serve them from their stores.

`scope=fed` is what the federation gave, `scope=local` the cluster's own, no scope both, federated
first. Objects are passed on as the bytes that were signed. Beside NeuVector's list stands
`revisions`, name to revision, and an item carries its revision as ETag. On a master `targets` stands
there too for what is not for all clusters, and beside such an item `target` and `clusters`.

Policy is written through `POST /v1/fed/apply` on the master. A write on one of these paths is
refused: 403 where it would change a federated object on a worker, 405 otherwise.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from fedbus.errors import Forbidden, InvalidInput, NotFound
from fedbus.model.objects import StoredObject
from fedbus.model.policy import FED_RULE_IDS, KINDS
from fedbus.web import respond

FED, LOCAL = "fed", "local"
_SCOPES = {"": (FED, LOCAL), FED: (FED,), LOCAL: (LOCAL,)}
_WRITES = ("POST", "PATCH", "PUT", "DELETE")


class PolicyReader(Protocol):
    """Where the objects come from; `scope` is `fed` or `local`, deleted objects are left out."""

    async def objects(self, scope: str, kind: str) -> list[StoredObject]:
        """Return all objects of a kind, in any order."""
        ...

    async def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object."""
        ...


class Paths(msgspec.Struct, frozen=True):
    """Where a kind is read: the path and key of the list, the path and key of an item."""

    list_path: str
    list_key: str
    item_path: str
    item_key: str


PATHS: dict[str, Paths] = {
    "group": Paths("/v1/group", "groups", "/v1/group/{name}", "group"),
    "network_rule": Paths("/v1/policy/rule", "rules", "/v1/policy/rule/{name}", "rule"),
    "admission_rule": Paths("/v1/admission/rules", "rules", "/v1/admission/rule/{name}", "rule"),
    "response_rule": Paths("/v1/response/rule", "rules", "/v1/response/rule/{name}", "rule"),
    "process_profile": Paths(
        "/v1/process_profile", "process_profiles", "/v1/process_profile/{name}", "process_profile"
    ),
    "file_profile": Paths("/v1/file_monitor", "profiles", "/v1/file_monitor/{name}", "profile"),
    "dlp_sensor": Paths("/v1/dlp/sensor", "sensors", "/v1/dlp/sensor/{name}", "sensor"),
    "dlp_group": Paths("/v1/dlp/group", "dlp_groups", "/v1/dlp/group/{name}", "dlp_group"),
    "waf_sensor": Paths("/v1/waf/sensor", "sensors", "/v1/waf/sensor/{name}", "sensor"),
    "waf_group": Paths("/v1/waf/group", "waf_groups", "/v1/waf/group/{name}", "waf_group"),
    "registry": Paths("/v1/scan/registry", "summarys", "/v1/scan/registry/{name}", "summary"),
    "vulnerability_profile": Paths(
        "/v1/vulnerability/profile", "profiles", "/v1/vulnerability/profile/{name}", "profile"
    ),
}
"""All kinds but the two that NeuVector puts elsewhere: webhooks and the admission state."""

ADMISSION_STATE = "/v1/admission/state"
SYSTEM_CONFIG = "/v1/system/config"
WEBHOOK = "/v1/system/config/webhook"


class _Placed(msgspec.Struct):
    rank: str = ""
    id: int = 0


def routes(reader: PolicyReader, *, read_only: bool) -> list[web.RouteDef]:
    """Make the routes; `read_only` is True on a worker, whose federated objects nobody may write."""
    made: list[web.RouteDef] = []
    for kind, paths in PATHS.items():
        made.append(web.get(paths.list_path, _list(reader, kind, paths.list_key)))
        made.append(web.get(paths.item_path, _item(reader, kind, paths.item_key)))
    made.append(web.get(ADMISSION_STATE, _admission_state(reader)))
    made.append(web.get(SYSTEM_CONFIG, _system_config(reader)))
    written = {path for paths in PATHS.values() for path in (paths.list_path, paths.item_path)}
    written |= {"/v1/admission/rule", ADMISSION_STATE, SYSTEM_CONFIG, WEBHOOK, WEBHOOK + "/{name}"}
    refuse = _refuse(read_only=read_only)
    made += [web.route(method, path, refuse) for path in sorted(written) for method in _WRITES]
    return made


def _list(reader: PolicyReader, kind: str, key: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        found = [stored for scope in _scopes(request) for stored in await _sorted(reader, scope, kind)]
        return respond.json({key: [msgspec.Raw(s.payload) for s in found], **_about(found)})

    return handle


def _item(reader: PolicyReader, kind: str, key: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        stored = await _find(reader, _scopes(request), kind, request.match_info["name"])
        return respond.json({key: msgspec.Raw(stored.payload), **_placed(stored)}, headers=_etag(stored))

    return handle


def _admission_state(reader: PolicyReader) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        stored = await _find(reader, _scopes(request), "admission_state", "default")
        answer = {"state": msgspec.Raw(stored.payload), **_placed(stored)}
        return respond.json(answer, headers=_etag(stored))

    return handle


def _about(found: list[StoredObject]) -> dict[str, object]:
    """Return what stands beside a list: revisions, and the targets of what is not for all."""
    about: dict[str, object] = {"revisions": {stored.name: stored.revision for stored in found}}
    if targets := {stored.name: stored.target for stored in found if stored.target}:
        about["targets"] = targets
    return about


def _placed(stored: StoredObject) -> dict[str, object]:
    """Return whom an object is for and who has it, where it is not just for all."""
    placed = {"target": stored.target} if stored.target else {}
    return placed | ({"clusters": stored.clusters} if stored.target or stored.clusters else {})


def _system_config(reader: PolicyReader) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        answer: dict[str, object] = {}
        for scope in _scopes(request):
            found = await _sorted(reader, scope, "webhook")
            section = {"webhooks": [msgspec.Raw(stored.payload) for stored in found], **_about(found)}
            answer["fed_config" if scope == FED else "config"] = section
        return respond.json(answer)

    return handle


def _refuse(*, read_only: bool) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        if read_only and await _touches_federated(request):
            raise Forbidden(
                "Federated objects are read-only in a managed cluster",
                code="FEDERATED_READ_ONLY",
                remedy="Change them on the master",
            )
        raise web.HTTPMethodNotAllowed(
            request.method, ["GET"], text="Policy is written through POST /v1/fed/apply on the master"
        )

    return handle


async def _touches_federated(request: web.Request) -> bool:
    if request.query.get("scope") == FED or _is_federated_name(request.match_info.get("name", "")):
        return True
    if not request.can_read_body:
        return False
    return any(map(_says_federated, _mappings(await respond.body(request, object))))


def _says_federated(sent: dict[str, object]) -> bool:
    if sent.get("cfg_type") == "federal" or sent.get("id") in FED_RULE_IDS:
        return True
    if any(_is_federated_name(str(sent.get(key, ""))) for key in ("name", "group", "from", "to")):
        return True
    deleted = sent.get("delete")
    return isinstance(deleted, list) and any(_is_federated_name(str(one)) for one in deleted)


def _is_federated_name(name: str) -> bool:
    return name.startswith("fed.") or (name.isdecimal() and len(name) < 10 and int(name) in FED_RULE_IDS)


def _mappings(value: object) -> Iterator[dict[str, object]]:
    match value:
        case dict():
            yield value
            for inner in value.values():
                yield from _mappings(inner)
        case list():
            for inner in value:
                yield from _mappings(inner)


def _scopes(request: web.Request) -> tuple[str, ...]:
    scope = request.query.get("scope", "")
    if scope not in _SCOPES:
        raise InvalidInput(
            f"There is no scope {scope!r}", remedy="Use fed or local, or leave it out for both"
        )
    return _SCOPES[scope]


async def _sorted(reader: PolicyReader, scope: str, kind: str) -> list[StoredObject]:
    found = await reader.objects(scope, kind)
    if KINDS[kind].ordered:
        return sorted(found, key=_place)
    return sorted(found, key=lambda stored: stored.name)


def _place(stored: StoredObject) -> tuple[str, int]:
    placed = msgspec.json.decode(stored.payload, type=_Placed)
    return placed.rank, placed.id


async def _find(reader: PolicyReader, scopes: tuple[str, ...], kind: str, name: str) -> StoredObject:
    for scope in scopes:
        if (stored := await reader.object(scope, kind, name)) is not None:
            return stored
    raise NotFound(f"There is no {kind} named {name!r} here")


def _etag(stored: StoredObject) -> dict[str, str]:
    return {"ETag": f'"{stored.epoch}.{stored.revision}"'}
