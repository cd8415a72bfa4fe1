"""OpenAPI 3.1 from the routes of an application and the structs of their bodies; `GET /openapi.json`.

A handler says with `described` what it takes and answers; its path, method and parameters in the path
are the route's. A handler that says nothing is described by its docstring.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from fedbus import __version__
from fedbus.web.problem import Problem

OPENAPI = "/openapi.json"
JSON = "application/json"

F = TypeVar("F", bound=Callable[..., Any])

_OPERATION = "__fedbus_operation__"
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
_REFERENCE = "#/components/schemas/{name}"
_VARIABLE = re.compile(r"\{([^{}:]+)(?::[^{}]*)?\}")

_HEADERS = {
    "If-Match": "Refuse with 412 unless the object, or the list, has one of these ETags",
    "If-None-Match": "Answer 304 if the object, or the list, still has one of these ETags",
    "Idempotency-Key": "The same request with the same key is done once, for a day",
}


def many(of: Any) -> Any:
    """Return the type of a list of a type that is only known when the program runs."""
    return list[of]


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of the query: its name, JSON Schema, and what it means."""

    name: str
    schema: dict[str, object]
    description: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What one handler does: the types of its body and answer, None for no JSON.

    A tuple of answers is any of them.
    """

    summary: str = ""
    body: Any = None
    body_media: tuple[str, ...] = (JSON,)
    body_required: bool = True
    answer: Any = dict
    answer_media: str = JSON
    status: int = 200
    query: tuple[Parameter, ...] = ()
    headers: tuple[str, ...] = ()
    tag: str = ""
    open: bool = False
    hidden: bool = False


def described(summary: str = "", **about: Any) -> Callable[[F], F]:
    """Describe a handler; the arguments are those of Operation."""
    operation = Operation(summary=summary, **about)

    def mark(handler: F) -> F:
        setattr(handler, _OPERATION, operation)
        return handler

    return mark


def hidden(handler: F) -> F:
    """Leave a handler out of the description."""
    return described(hidden=True)(handler)


def route(app: web.Application, title: str) -> web.RouteDef:
    """Make the route of the description of everything that `app` serves when it is first asked for."""
    made: list[bytes] = []

    @described("Show this description", open=True, tag="daemon")
    async def handle(_request: web.Request) -> web.Response:
        if not made:
            made.append(msgspec.json.encode(document(app, title)))
        return web.Response(body=made[0], content_type=JSON)

    return web.get(OPENAPI, handle)


def document(app: web.Application, title: str) -> dict[str, Any]:
    """Return the description of an application."""
    found = [
        (resource.canonical, handler.method, operation_of(handler.handler))
        for resource in app.router.resources()
        for handler in resource
        if handler.method in _METHODS
    ]
    shown = sorted((path, method, op) for path, method, op in found if not op.hidden)
    schemas = _Schemas(op for _, _, op in shown)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, op in shown:
        entry = paths.setdefault(_VARIABLE.sub(r"{\1}", path), {})
        entry[method.lower()] = _operation(path, method, op, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__},
        "security": [{"apiKey": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Auth-Apikey"},
                "session": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            },
            "schemas": schemas.components,
        },
    }


def operation_of(handler: Handler | type[web.View]) -> Operation:
    """Return what a handler does."""
    found: Operation = getattr(handler, _OPERATION, Operation())
    if found.summary:
        return found
    first = (handler.__doc__ or "").strip().split("\n")[0]
    return msgspec.structs.replace(found, summary=first.rstrip(".") or handler.__name__)


class _Schemas:
    """The JSON Schemas of all types that the operations name."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        types: list[Any] = [Problem]
        for op in operations:
            types += [one for one in (op.body, *_any_of(op.answer)) if one is not None and one not in types]
        made, self.components = msgspec.json.schema_components(
            types, ref_template=_REFERENCE, schema_hook=_anything
        )
        self.components = dict(sorted(self.components.items()))
        self._types, self._made = types, made

    def of(self, wanted: Any) -> Mapping[str, Any]:
        made = [self._made[self._types.index(one)] for one in _any_of(wanted)]
        return made[0] if len(made) == 1 else {"anyOf": made}


def _any_of(wanted: Any) -> tuple[Any, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _anything(unknown: type) -> dict[str, Any]:
    if unknown is object:
        return {"description": "Any JSON"}
    raise NotImplementedError(f"{unknown} has no JSON Schema")


def _operation(path: str, method: str, op: Operation, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {"summary": op.summary, "operationId": _name(path, method)}
    if op.tag:
        made["tags"] = [op.tag]
    if op.open:
        made["security"] = []
    if parameters := _parameters(path, op):
        made["parameters"] = parameters
    if op.body is not None:
        content = {media: {"schema": schemas.of(op.body) if media == JSON else {"type": "string"}}
                   for media in op.body_media}  # fmt: skip
        made["requestBody"] = {"required": op.body_required, "content": content}
    made["responses"] = _responses(op, schemas)
    return made


def _parameters(path: str, op: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _VARIABLE.findall(path)
    ]
    in_query = [
        {"name": p.name, "in": "query", "description": p.description, "schema": p.schema} for p in op.query
    ]
    in_headers = [
        {"name": name, "in": "header", "description": _HEADERS[name], "schema": {"type": "string"}}
        for name in op.headers
    ]
    return in_path + in_query + in_headers


def _responses(op: Operation, schemas: _Schemas) -> dict[str, Any]:
    answered: dict[str, Any] = {"description": "Done"}
    if op.answer_media != JSON:
        answered["content"] = {op.answer_media: {"schema": {"type": "string"}}}
    elif op.answer is not None:
        answered["content"] = {JSON: {"schema": schemas.of(op.answer)}}
    responses = {str(op.status): answered}
    if "If-None-Match" in op.headers:
        responses["304"] = {"description": "Nothing changed"}
    problem = {"application/problem+json": {"schema": schemas.of(Problem)}}
    responses["default"] = {"description": "What went wrong, after RFC 9457", "content": problem}
    return responses


def _name(path: str, method: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.removeprefix("/v1"))
    return "_".join([method.lower(), *words])
