"""The AdmissionReview of the Kubernetes API server, v1 and v1beta1: read, and answered in kind.

An answer repeats the version and the uid of its request. Limits are the API server's: a warning over 256
characters is cut, and those beyond 4,096 characters in all are dropped; so this cuts by itself, visibly.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from fedbus.errors import InvalidInput

V1: Final = "admission.k8s.io/v1"
V1BETA1: Final = "admission.k8s.io/v1beta1"
KIND: Final = "AdmissionReview"
MAX_WARNING: Final = 256
MAX_WARNINGS: Final = 4096
"""Characters of one warning, and of all warnings of an answer."""
MAX_MESSAGE: Final = 8192
"""Characters of a denial's message: more is no help to whoever reads it on a terminal."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class GroupVersionKind(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of object a request is about."""

    kind: str
    group: str = ""
    version: str = ""


class UserInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    username: str = ""
    groups: tuple[str, ...] | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The request in a review, as far as admission looks at it."""

    uid: str
    kind: GroupVersionKind
    operation: str
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    user_info: UserInfo = UserInfo()
    object: dict[str, Any] | None = None
    dry_run: bool | None = None


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the version in which it was asked."""

    version: str
    request: Request


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered; `code` is the HTTP status that the API server shows for a denial.

    `audit` becomes annotations of the API server's audit event.
    """

    allowed: bool
    message: str = ""
    code: int = 403
    warnings: tuple[str, ...] = ()
    audit: Mapping[str, str] = {}


class _Envelope(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: msgspec.Raw = msgspec.Raw()


_envelopes = msgspec.json.Decoder(_Envelope)
_requests = msgspec.json.Decoder(Request)


def read(raw: bytes) -> Review:
    """Read a review. Raises InvalidInput (REVIEW_MALFORMED) for what is none."""
    try:
        envelope = _envelopes.decode(raw)
        if envelope.kind != KIND or envelope.api_version not in (V1, V1BETA1):
            raise _refused(
                f"it must be {KIND} of {V1} or {V1BETA1},"
                f" not {envelope.kind[:100]!r} of {envelope.api_version[:100]!r}"
            )
        if not bytes(envelope.request):
            raise _refused("it has no request")
        request = _requests.decode(envelope.request)
    except msgspec.MsgspecError as error:
        raise _refused(str(error)) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise _refused("it is no JSON, or nested too deeply") from error
    if not request.uid:
        raise _refused("its request has no uid")
    return Review(version=envelope.api_version, request=request)


def answer(review: Review, given: Answer) -> bytes:
    """Return the review with a response to its request."""
    response: dict[str, object] = {"uid": review.request.uid, "allowed": given.allowed}
    if not given.allowed:
        reason = "Forbidden" if given.code == 403 else "InternalError"
        response["status"] = {
            "status": "Failure",
            "message": _cut(given.message, MAX_MESSAGE),
            "reason": reason,
            "code": given.code,
        }
    if given.warnings and review.version == V1:  # v1beta1 has no place for them
        response["warnings"] = list(_limited(given.warnings))
    if given.audit:
        response["auditAnnotations"] = dict(given.audit)
    return msgspec.json.encode({"apiVersion": review.version, "kind": KIND, "response": response})


def _limited(warnings: Iterable[str]) -> Iterable[str]:
    left = MAX_WARNINGS
    for warning in warnings:
        text = _cut(_UNPRINTABLE.sub(" ", warning), MAX_WARNING)
        left -= len(text)
        if left < 0:
            return
        yield text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _refused(why: str) -> InvalidInput:
    return InvalidInput(
        f"This is no AdmissionReview: {why}",
        code="REVIEW_MALFORMED",
        remedy="The Kubernetes API server sends these; see `fedbus admission webhook-config`",
    )
