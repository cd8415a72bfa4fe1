"""Errors as RFC 9457 problem details, with NeuVector's three fields beside.

One table says how each class of error is answered; nothing else in fedbus chooses a status code.
`code` is NeuVector's number (its clients branch on it), `reason` is fedbus's stable word,
`type` names the same word as a URI.
"""

from typing import NamedTuple

import msgspec
from aiohttp import web

from fedbus.errors import (
    ConfigError,
    Conflict,
    FedbusError,
    Forbidden,
    InvalidEvent,
    InvalidInput,
    NotFound,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unavailable,
)


class Answer(NamedTuple):
    """How an error is answered: HTTP status, NeuVector's error number, and its phrase."""

    status: int
    code: int
    title: str


INTERNAL = Answer(500, 55, "Server error")

BY_CLASS: dict[type[FedbusError], Answer] = {
    InvalidInput: Answer(422, 6, "Invalid input"),
    Unauthorized: Answer(401, 3, "Authentication failed"),
    Forbidden: Answer(403, 4, "Operation not allowed"),
    NotFound: Answer(404, 7, "Object not found"),
    Conflict: Answer(409, 8, "Conflict with the current state"),
    TooLarge: Answer(413, 6, "Request too large"),
    RateLimited: Answer(429, 47, "Too many attempts"),
    Unavailable: Answer(503, 11, "Service unavailable"),
    Refused: Answer(403, 39, "Federation operation refused"),
    InvalidEvent: INTERNAL,
    ConfigError: INTERNAL,
}

BY_CODE: dict[str, Answer] = {
    "BODY_MALFORMED": Answer(400, 6, "Request in wrong format"),
    "MEDIA_TYPE_UNSUPPORTED": Answer(415, 6, "Request in wrong format"),
    "FEDERATED_READ_ONLY": Answer(403, 46, "Federated objects are read-only here"),
    "CLUSTER_NAME_TAKEN": Answer(409, 41, "A cluster of this name is in the federation"),
    "PROTOCOL_UNSUPPORTED": Answer(426, 43, "Versions do not fit together"),
    "OBJECT_EXISTS": Answer(409, 13, "An object of this name exists"),
    "PRECONDITION_FAILED": Answer(412, 8, "The state is not the expected one"),
    "METHOD_NOT_ALLOWED": Answer(405, 2, "Method not allowed"),
    "ROUTE_NOT_FOUND": Answer(404, 1, "URL not found"),
}

_HTTP_REASON = {
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "MEDIA_TYPE_UNSUPPORTED",
}


class FieldError(msgspec.Struct, omit_defaults=True):
    """One thing wrong with the request: where, and what."""

    field: str
    message: str
    document: int | None = None
    line: int | None = None


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of every answer that is not a success."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: int
    error: str
    message: str
    reason: str
    request_id: str
    remedy: str = ""
    errors: list[FieldError] = []
    current_revision: int | None = None
    retry_after: float | None = None
    idempotency_key: str | None = None


def answer_for(error: FedbusError) -> Answer:
    """Look the error up: by its code where that has its own answer, else by its class."""
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    return next((BY_CLASS[kind] for kind in type(error).__mro__ if kind in BY_CLASS), INTERNAL)


def from_error(error: FedbusError, *, instance: str, request_id: str) -> Problem:
    """Describe one of our own errors."""
    answer = answer_for(error)
    problem = _problem(answer, error.code, error.message, instance, request_id)
    problem.remedy = error.remedy
    match error:
        case InvalidInput():
            problem.errors = [FieldError(f.field, f.message, f.document, f.line) for f in error.faults]
        case Conflict():
            problem.current_revision = error.current_revision
        case RateLimited():
            problem.retry_after = error.retry_after
        case Unavailable():
            problem.idempotency_key = error.idempotency_key
    return problem


def from_http(error: web.HTTPException, *, instance: str, request_id: str) -> Problem:
    """Describe an error that aiohttp raised: no such route, wrong method, body over the limit."""
    reason = _HTTP_REASON.get(error.status, "HTTP_ERROR")
    answer = BY_CODE.get(reason) or Answer(error.status, 6, error.reason)
    return _problem(answer, reason, error.text or error.reason, instance, request_id)


def internal(*, instance: str, request_id: str) -> Problem:
    """Describe an unforeseen failure: the details stay in the log, under the request id."""
    detail = f"The request failed for a reason of ours; the log has it under request id {request_id}."
    return _problem(INTERNAL, "INTERNAL", detail, instance, request_id)


def response(problem: Problem) -> web.Response:
    """Make the HTTP response of a problem."""
    headers = {"Retry-After": str(max(1, round(problem.retry_after)))} if problem.retry_after else {}
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(problem),
        content_type="application/problem+json",
        headers=headers,
    )


def _problem(answer: Answer, reason: str, detail: str, instance: str, request_id: str) -> Problem:
    return Problem(
        type=f"urn:fedbus:problem:{reason.lower().replace('_', '-')}",
        title=answer.title,
        status=answer.status,
        detail=detail,
        instance=instance,
        code=answer.code,
        error=answer.title,
        message=detail,
        reason=reason,
        request_id=request_id,
    )
