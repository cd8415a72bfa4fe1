"""Writes of policy on a worker: 403 where they would change a federated object, 405 otherwise."""

from aiohttp import web

from fedbus.errors import Forbidden
from fedbus.model.policy import FED_RULE_IDS
from fedbus.web import respond
from fedbus.web.openapi import hidden
from fedbus.web.policy_reads import ADMISSION_RULE, ADMISSION_STATE, ENTRY, FED, PATHS, SYSTEM_CONFIG, WEBHOOK

_WRITES = ("POST", "PATCH", "PUT", "DELETE")
_NAMING = ("name", "group", "from", "to")


def routes() -> list[web.RouteDef]:
    """Make the routes: every path of policy, every method that writes."""
    written = {path for paths in PATHS.values() for path in (paths.list_path, paths.item_path)}
    written |= {ADMISSION_RULE, ADMISSION_STATE, SYSTEM_CONFIG, WEBHOOK, WEBHOOK + "/{name}"}
    written |= {ENTRY, ENTRY + "/{id}"}
    return [web.route(method, path, _refuse) for path in sorted(written) for method in _WRITES]


@hidden
async def _refuse(request: web.Request) -> web.Response:
    if await _touches_federated(request):
        raise Forbidden(
            "Federated objects are read-only in a managed cluster",
            code="FEDERATED_READ_ONLY",
            remedy="Change them on the master",
        )
    raise web.HTTPMethodNotAllowed(
        request.method, ["GET"], text="This cluster has no policy of its own to write here"
    )


async def _touches_federated(request: web.Request) -> bool:
    if request.query.get("scope") == FED or _is_federated_name(request.match_info.get("name", "")):
        return True
    if not request.can_read_body:
        return False
    return _says_federated(await respond.body(request, object))


def _says_federated(sent: object) -> bool:
    """Tell whether any object in a body is a federated one, or names one."""
    waiting = [sent]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            if _is_federated(value):
                return True
    return False


def _is_federated(sent: dict[str, object]) -> bool:
    if sent.get("cfg_type") == "federal" or sent.get("id") in FED_RULE_IDS:
        return True
    if any(_is_federated_name(str(sent.get(key, ""))) for key in _NAMING):
        return True
    deleted = sent.get("delete")
    return isinstance(deleted, list) and any(_is_federated_name(str(one)) for one in deleted)


def _is_federated_name(name: str) -> bool:
    return name.startswith("fed.") or (name.isdecimal() and len(name) < 10 and int(name) in FED_RULE_IDS)
