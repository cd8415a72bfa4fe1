"""The aiohttp application both daemons start from: what happens around every request.

Outermost first: an id and one log line per request, errors to problem details, authentication.
Handlers raise the errors of `fedbus.errors`; none of them chooses a status code.
"""

import re
import secrets
import time
from collections.abc import Sequence

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fedbus import tracing
from fedbus.errors import FedbusError
from fedbus.web import problem
from fedbus.web.auth import Authenticator, principal

MAX_BODY = 4 * 1024 * 1024
"""Bytes of the largest request body; a policy set of ten thousand rules is under it."""

REQUEST_ID = web.RequestKey("request_id", str)

_log = structlog.get_logger("fedbus.web")
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/livez", "/readyz", "/version", "/metrics"})
_UNTRACED = _QUIET | {"/v1/events"}

_SECURITY_HEADERS = {
    "Server": "fedbus",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_DEFAULT_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}


def new_app(
    auth: Authenticator | None = None, *, middlewares: Sequence[Middleware] = (), max_body: int = MAX_BODY
) -> web.Application:
    """Make an application with the middlewares of fedbus, and `/v1/auth` when `auth` is given.

    `middlewares` run innermost, after authentication. A body over `max_body` bytes is a 413.
    """
    chain: list[Middleware] = [_identify_and_log, _trace, _errors_to_problems]
    if auth is not None:
        chain.append(auth.middleware())
    app = web.Application(middlewares=[*chain, *middlewares], client_max_size=max_body)
    app.on_response_prepare.append(_add_headers)
    if auth is not None:
        app.add_routes(auth.routes())
    return app


@web.middleware
async def _identify_and_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
    started = time.perf_counter()
    status = 499  # the client went away, or the server is stopping: the handler never answered
    with structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]):
        try:
            response = await handler(request)
            status = response.status
        finally:
            _log_line(request, status, time.perf_counter() - started)
    return response


@web.middleware
async def _trace(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Open the span of a request, under the caller's if it names one."""
    if not tracing.on() or request.path in _UNTRACED:
        return await handler(request)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unknown"
    about = {"http.request.method": request.method, "http.route": route, "url.scheme": "https"}
    parent = tracing.well_formed(request.headers.get(tracing.HEADER, ""))
    with tracing.span(f"{request.method} {route}", "SERVER", parent=parent, attributes=about) as span:
        response = await handler(request)
        span.set_attribute("http.response.status_code", response.status)
    return response


def _log_line(request: web.Request, status: int, seconds: float) -> None:
    if request.path in _QUIET and status < 400:
        return
    who = principal(request)
    # The path only: a query string or a header may hold what must not be logged.
    _log.info(
        "http_request",
        method=request.method,
        path=request.path,
        status=status,
        ms=round(seconds * 1000, 1),
        remote=request.remote,
        user=who.name if who else None,
    )


@web.middleware
async def _errors_to_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    about = {"instance": request.path, "request_id": request[REQUEST_ID]}
    try:
        return await handler(request)
    except FedbusError as error:
        described = problem.from_error(error, **about)
        if described.status >= 500:
            _log.warning("request_failed", reason=error.code, detail=error.message)
        return problem.response(described)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = problem.response(problem.from_http(error, **about))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionError:
        raise  # the client went away: there is nobody to answer
    except Exception:  # noqa: BLE001 - the boundary: the client must never see a traceback
        _log.exception("request_crashed", method=request.method, path=request.path)
        return problem.response(problem.internal(**about))


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SECURITY_HEADERS)
    for name, value in _DEFAULT_HEADERS.items():
        response.headers.setdefault(name, value)
    if (request_id := request.get(REQUEST_ID)) is not None:
        response.headers["X-Request-Id"] = request_id
