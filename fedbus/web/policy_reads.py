"""NeuVector's paths of policy, as one table, and reading on them; both daemons serve it from their stores.

`scope=fed` is what the federation gave, `scope=local` the cluster's own, no scope both, federated first; what
every cluster starts with is read with its own, before all. Objects are passed on as the bytes that were
signed. Beside NeuVector's list stands
`revisions`, name to revision, and on a master `targets` for what is not for all clusters; beside such an
item stand `target` and `clusters`. Items and lists carry an ETag. `start` and `limit` page as NeuVector
does; `next_cursor` goes on from the last object seen, whatever came or went meanwhile.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from fedbus.core import etags
from fedbus.core.unwritten import OF_A_GROUP, unwritten
from fedbus.errors import Fault, InvalidInput, NotFound
from fedbus.model.objects import StoredObject
from fedbus.model.policy import KINDS, Policy, Webhook
from fedbus.model.policy.scope import scope_named
from fedbus.web import respond
from fedbus.web.openapi import Parameter, described, many

FED, LOCAL = "fed", "local"
BUILT_IN = "built in"
"""The scope of what every cluster starts with: it is read with the cluster's own, and stands first."""
_SCOPES = {"": (FED, LOCAL), FED: (FED,), LOCAL: (LOCAL,)}

SCOPE = Parameter("scope", {"type": "string", "enum": [FED, LOCAL]}, "fed, local, or neither for both")
_PAGING = (
    Parameter("start", {"type": "integer", "minimum": 0}, "How many objects to leave out first"),
    Parameter("limit", {"type": "integer", "minimum": 0}, "How many objects to answer; 0 is all"),
    Parameter("cursor", {"type": "string"}, "The next_cursor of the page before"),
)


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
ADMISSION_RULE = "/v1/admission/rule"
ENTRY = "/v1/vulnerability/profile/{name}/entry"

Cursor = tuple[int, str, int]
"""Where an object stands in a list: the scope's place, rank or name, id or 0."""


class Webhooks(msgspec.Struct, frozen=True):
    """The webhooks of one scope."""

    webhooks: list[Webhook]
    revisions: dict[str, int]
    targets: dict[str, dict[str, object]] = {}


class SystemConfig(msgspec.Struct, frozen=True):
    """NeuVector's system configuration, as far as it is policy: federated and the cluster's own."""

    fed_config: Webhooks | None = None
    config: Webhooks | None = None


class _Placed(msgspec.Struct):
    rank: str = ""
    id: int = 0


class _Item(msgspec.Struct, frozen=True):
    place: Cursor
    stored: StoredObject


class Beside(msgspec.Struct, frozen=True):
    """What objects of a kind are shown with that is no part of them: its type, and what it is by name.

    It changes without the object, so these are always answered whole and never with 304.
    """

    type: type[msgspec.Struct]
    of: Callable[[str], Awaitable[msgspec.Struct]]


_NOTHING: Mapping[str, Beside] = MappingProxyType({})


def routes(reader: PolicyReader, beside: Mapping[str, Beside] = _NOTHING) -> list[web.RouteDef]:
    """Make the routes; `beside` says by kind what objects are shown with."""
    made: list[web.RouteDef] = []
    for kind, paths in PATHS.items():
        more = beside.get(kind)
        made.append(web.get(paths.list_path, _list(reader, kind, paths.list_key, more)))
        made.append(web.get(paths.item_path, _item(reader, kind, paths.item_key, more)))
    made.append(web.get(ADMISSION_STATE, _admission_state(reader)))
    made.append(web.get(SYSTEM_CONFIG, _system_config(reader)))
    return made


def _list(reader: PolicyReader, kind: str, key: str, beside: Beside | None) -> Handler:
    @described(
        f"List every {kind}",
        answer=_list_type(kind, key, beside),
        query=(SCOPE, *_PAGING),
        headers=("If-None-Match",),
        tag=kind,
    )
    async def handle(request: web.Request) -> web.Response:
        found = await _read(reader, _scopes(request), kind)
        tag = etags.of_all(item.stored for item in found)
        if beside is None and _known(request, tag):
            return web.Response(status=304, headers={"ETag": tag})
        page, more = _page(request, found)
        answer: dict[str, object] = {
            key: [await _shown(item.stored, beside) for item in page],
            **_about([item.stored for item in page]),
        }
        if more:
            answer["next_cursor"] = _cursor(page[-1].place)
        return respond.json(answer, headers={"ETag": tag})

    return handle


async def _shown(stored: StoredObject, beside: Beside | None) -> object:
    """Return an object as it is answered."""
    if beside is None:
        return msgspec.Raw(stored.payload)
    shown = msgspec.json.decode(stored.payload, type=dict[str, object])
    return shown | msgspec.to_builtins(await beside.of(stored.name))


@cache
def _shown_type(kind: str, beside: Beside | None) -> type[msgspec.Struct]:
    of = KINDS[kind].type
    if beside is None:
        return of
    more = [(field.name, field.type, field.default) for field in msgspec.structs.fields(beside.type)]
    return msgspec.defstruct(f"{of.__name__}Summary", more, bases=(of,), frozen=True, kw_only=True)


def _list_type(kind: str, key: str, beside: Beside | None) -> type[msgspec.Struct]:
    """Make the type of the answer to a list of a kind."""
    of = _shown_type(kind, beside)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (key, many(of)),
        ("revisions", dict[str, int]),
        ("targets", dict[str, dict[str, Any]], {}),
        ("next_cursor", str, ""),
    ]
    return msgspec.defstruct(f"{KINDS[kind].type.__name__}List", fields)


def _item_type(kind: str, key: str, beside: Beside | None = None) -> type[msgspec.Struct]:
    """Make the type of the answer to one object of a kind."""
    of = _shown_type(kind, beside)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (key, of),
        ("target", dict[str, Any], {}),
        ("clusters", dict[str, str], {}),
    ]
    return msgspec.defstruct(f"{KINDS[kind].type.__name__}Item", fields)


def _item(reader: PolicyReader, kind: str, key: str, beside: Beside | None) -> Handler:
    answer = _item_type(kind, key, beside)

    @described(f"Show one {kind}", answer=answer, query=(SCOPE,), headers=("If-None-Match",), tag=kind)
    async def handle(request: web.Request) -> web.Response:
        scopes, name = _scopes(request), request.match_info["name"]
        try:
            stored = await _find(reader, scopes, kind, name)
        except NotFound:
            if (empty := await _unwritten(reader, scopes, kind, name)) is None:
                raise
            return respond.json({key: empty})
        if beside is None:
            return _one(request, key, stored)
        shown = {key: await _shown(stored, beside), **_placed(stored)}
        return respond.json(shown, headers={"ETag": etags.of(stored)})

    return handle


async def _unwritten(reader: PolicyReader, scopes: tuple[str, ...], kind: str, name: str) -> Policy | None:
    """Return what NeuVector shows of an object that is there and was never written; it has no tag."""
    for scope in map(scope_named, scopes):
        known = name in scope.reserved or (
            kind in OF_A_GROUP and await reader.object(scope.name, "group", name) is not None
        )
        if (empty := unwritten(kind, name, scope, group=known)) is not None:
            return empty
    return None


def _admission_state(reader: PolicyReader) -> Handler:
    answer = _item_type("admission_state", "state")

    @described(
        "Show the admission state",
        answer=answer,
        query=(SCOPE,),
        headers=("If-None-Match",),
        tag="admission_state",
    )
    async def handle(request: web.Request) -> web.Response:
        return _one(request, "state", await _find(reader, _scopes(request), "admission_state", "default"))

    return handle


def _system_config(reader: PolicyReader) -> Handler:
    @described(
        "Show the webhooks, as part of the system's configuration",
        answer=SystemConfig,
        query=(SCOPE,),
        headers=("If-None-Match",),
        tag="webhook",
    )
    async def handle(request: web.Request) -> web.Response:
        answer: dict[str, object] = {}
        everything: list[StoredObject] = []
        for scope in _scopes(request):
            found = [item.stored for item in await _read(reader, (scope,), "webhook")]
            everything += found
            section = {"webhooks": [msgspec.Raw(stored.payload) for stored in found], **_about(found)}
            answer["fed_config" if scope == FED else "config"] = section
        tag = etags.of_all(everything)
        if _known(request, tag):
            return web.Response(status=304, headers={"ETag": tag})
        return respond.json(answer, headers={"ETag": tag})

    return handle


def _one(request: web.Request, key: str, stored: StoredObject) -> web.Response:
    headers, placed = {"ETag": etags.of(stored)}, _placed(stored)
    # Who has a copy changes without the object.
    if not placed and _known(request, headers["ETag"]):
        return web.Response(status=304, headers=headers)
    return respond.json({key: msgspec.Raw(stored.payload), **placed}, headers=headers)


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


def _known(request: web.Request, tag: str) -> bool:
    return etags.matches(request.headers.get("If-None-Match", ""), tag, weak=True)


def _scopes(request: web.Request) -> tuple[str, ...]:
    scope = request.query.get("scope", "")
    if scope not in _SCOPES:
        raise InvalidInput(
            f"There is no scope {scope!r}", remedy="Use fed or local, or leave it out for both"
        )
    return _SCOPES[scope]


async def _read(reader: PolicyReader, scopes: Sequence[str], kind: str) -> list[_Item]:
    found = []
    for number, scope in enumerate(scopes):
        held = await reader.objects(scope, kind)
        found += [_Item(_place(kind, number, s), s) for s in held]
    return sorted(found, key=lambda item: item.place)


def _place(kind: str, scope: int, stored: StoredObject) -> Cursor:
    scope = -1 if stored.scope == BUILT_IN else scope
    if not KINDS[kind].ordered:
        return scope, stored.name, 0
    placed = msgspec.json.decode(stored.payload, type=_Placed)
    return scope, placed.rank, placed.id


def _page(request: web.Request, found: list[_Item]) -> tuple[list[_Item], bool]:
    """Return what of a list is asked for, and whether more comes after it."""
    start, limit = _number(request, "start"), _number(request, "limit")
    if text := request.query.get("cursor", ""):
        behind = _cursor_of(text)
        found = [item for item in found if item.place > behind]
    page = found[start : start + limit] if limit else found[start:]
    return page, bool(page) and start + len(page) < len(found)


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        message = f"{name} is a number of objects, not {text[:64]!r}"
        raise InvalidInput(message, (Fault(name, message),))
    return int(text)


def _cursor(place: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _cursor_of(text: str) -> Cursor:
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii", "replace") + b"=" * (-len(text) % 4))
        place: Cursor = msgspec.json.decode(raw, type=Cursor)
    except (binascii.Error, ValueError) as error:
        message = "cursor is none that a list answered"
        raise InvalidInput(message, (Fault("cursor", message),)) from error
    return place


async def _find(reader: PolicyReader, scopes: tuple[str, ...], kind: str, name: str) -> StoredObject:
    for scope in scopes:
        if (stored := await reader.object(scope, kind, name)) is not None:
            return stored
    raise NotFound(f"There is no {kind} named {name!r} here")
