"""Whose policy a request writes: its `scope`, or what its path and body say (as NeuVector finds out)."""

from collections.abc import Mapping

from aiohttp import web

from fedbus.errors import Fault, InvalidInput
from fedbus.model.policy import FED, KINDS, LOCAL, Scope
from fedbus.model.policy.scope import FED_RULE_IDS, PREFIX

_NAMING = ("name", "group")


def asked_scope(request: web.Request) -> Scope | None:
    """Return the scope that the query names; None if it names none. Raises InvalidInput for another word."""
    text = request.query.get("scope", "")
    found = {"": None, FED.name: FED, LOCAL.name: LOCAL}.get(text, text)
    if isinstance(found, str):
        message = f"there is no scope {text[:64]!r}"
        raise InvalidInput(message, (Fault("scope", message),), remedy="Send scope=fed or scope=local")
    return found


def scope_of(
    request: web.Request, kind: str, name: str = "", body: Mapping[str, object] | None = None
) -> Scope:
    """Return whose object a request writes.

    The query's `scope` counts; then the name, for a rule its id; then the origin in the body. What says
    nothing is the cluster's own, as in NeuVector. Raises InvalidInput where the query and the name differ.
    """
    asked, named = asked_scope(request), _named(kind, name, body or {})
    if asked is not None and named is not None and asked is not named:
        message = f"this {kind} is {named.word} by its name or origin, the request says scope={asked.name}"
        raise InvalidInput(message, (Fault("scope", message),), code="SCOPE_WRONG")
    return asked or named or LOCAL


def _named(kind: str, name: str, body: Mapping[str, object]) -> Scope | None:
    if KINDS[kind].ordered:
        number = body.get("id") if not name else (int(name) if name.isdecimal() and len(name) < 10 else None)
        if isinstance(number, int) and number:
            return FED if number in FED_RULE_IDS else LOCAL
    elif KINDS[kind].identity and kind != "vulnerability_profile":
        called = name or next((text for key in _NAMING if isinstance(text := body.get(key), str)), "")
        if called:
            return FED if called.startswith(PREFIX) else LOCAL
    origin = body.get("cfg_type")
    return FED if origin == FED.cfg_type else (LOCAL if origin == LOCAL.cfg_type else None)
