"""Bodies in and out: JSON and YAML to structs, structs to JSON."""

import asyncio
import re
from typing import TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError

from fedbus.errors import Fault, InvalidInput, TooLarge
from fedbus.web import yaml_documents
from fedbus.web.yaml_documents import Document

T = TypeVar("T")

_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "zstd"})
"""What a body may be compressed with; aiohttp decompresses it as it is read, so that a limit bounds both."""

READ_TIMEOUT = 30.0
"""Seconds a client may take to send its body."""

_JSON = frozenset({"application/json"})
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
_WHERE = re.compile(r" - at `(?P<path>.+)`$")
_NAMED = re.compile(r"^Object (?:missing required|contains unknown) field `(?P<name>[^`]+)`")


class Documents(msgspec.Struct, frozen=True):
    """The documents of one request, and what its author says about it."""

    documents: tuple[Document, ...]
    comment: str = ""

    @property
    def placed(self) -> list[tuple[int, int | None, dict[str, object]]]:
        """Each document with its index and line, as plans read them."""
        return [(one.index, one.line, one.value) for one in self.documents]


class _JsonDocuments(msgspec.Struct, forbid_unknown_fields=True):
    documents: list[dict[str, object]]
    comment: str = ""


async def body(request: web.Request, kind: type[T]) -> T:
    """Read the request's JSON body as `kind`; no body at all reads as `{}`.

    Raises InvalidInput: BODY_MALFORMED (400), MEDIA_TYPE_UNSUPPORTED (415), or one that names
    the field (422).
    """
    raw = await _read(request)
    if raw:
        _require(request, _JSON)
    return decode(raw or b"{}", kind)


async def documents(request: web.Request) -> Documents:
    """Read many documents: JSON `{"documents": [...], "comment"}` or a YAML stream.

    With YAML, the comment is the query parameter `comment`. Raises InvalidInput with every fault.
    """
    raw = await _read(request)
    if _require(request, _JSON | _YAML) in _YAML:
        # In a thread: a large stream takes long enough to be felt by heartbeats.
        found = await asyncio.to_thread(yaml_documents.parse, raw)
        return Documents(found, request.query.get("comment", ""))
    sent = decode(raw, _JsonDocuments)
    return Documents(tuple(Document(i, None, value) for i, value in enumerate(sent.documents)), sent.comment)


async def text(request: web.Request) -> tuple[bytes, bool]:
    """Read a body that is JSON or YAML as it is, and tell whether it says that it is JSON.

    Raises InvalidInput (BODY_MALFORMED, MEDIA_TYPE_UNSUPPORTED).
    """
    raw = await _read(request)
    return raw, _require(request, _JSON | _YAML) in _JSON


def json(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with a struct, or plain data, as JSON."""
    return encoded(msgspec.json.encode(value), status=status, headers=headers)


def encoded(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with what is JSON already."""
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def decode(raw: bytes, kind: type[T]) -> T:
    """Decode JSON as `kind`; raises InvalidInput (see `body`)."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        message, fault = str(error), _fault(str(error))
        raise InvalidInput(f"The request does not fit: {message}", (fault,)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The body is no valid JSON: {error}", code="BODY_MALFORMED") from error
    except RecursionError as error:
        raise InvalidInput("The body is nested too deeply", code="BODY_MALFORMED") from error


def _fault(message: str) -> Fault:
    where = _WHERE.search(message)
    path = where["path"].removeprefix("$").removeprefix(".") if where else ""
    text = message[: where.start()] if where else message
    if named := _NAMED.match(text):
        path = f"{path}.{named['name']}" if path else named["name"]
    return Fault(path, text)


async def large_json(request: web.Request, most: int, seconds: float) -> bytes:
    """Read a JSON body of at most `most` bytes, decompressed, that arrives within `seconds`.

    It is for routes that take more than the application does. Raises TooLarge, and InvalidInput as `body`.
    """
    if request.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise InvalidInput(
            "The Content-Encoding is not understood here",
            code="MEDIA_TYPE_UNSUPPORTED",
            remedy="Send it as it is, or compressed with gzip or zstd",
        )
    if not request.content_type.endswith("+json"):
        _require(request, _JSON)
    read = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while part := await request.content.readany():
                read += part
                if len(read) > most:
                    raise TooLarge(f"The body has more than {most >> 20} MiB")
    except TimeoutError as error:
        raise InvalidInput("The body did not arrive in time", code="BODY_MALFORMED") from error
    except (ContentEncodingError, web.RequestPayloadError) as error:
        raise InvalidInput("The body is not what its Content-Encoding says", code="BODY_MALFORMED") from error
    return bytes(read)


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            return await request.read()
    except TimeoutError as error:
        raise InvalidInput("The body did not arrive in time", code="BODY_MALFORMED") from error


def _require(request: web.Request, allowed: frozenset[str]) -> str:
    # Also what keeps a foreign web page from posting here with a form: forms cannot send JSON.
    if request.content_type not in allowed:
        raise InvalidInput(
            f"Content-Type {request.content_type} is not understood here",
            code="MEDIA_TYPE_UNSUPPORTED",
            remedy=f"Send one of: {', '.join(sorted(allowed))}",
        )
    return request.content_type
