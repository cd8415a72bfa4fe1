"""Bytes on the wire and in the store: JSON by msgspec, zstd over 4 KiB, bounded when unpacked."""

from typing import Any, TypeVar

import msgspec
import zstandard

from fedbus.errors import InvalidEvent

COMPRESS_OVER = 4096
"""Payloads above this many bytes are compressed."""
MAX_BODY = 512 * 1024
"""The largest body of one message, in bytes, after compression."""
MAX_PAYLOAD = 8 * 1024 * 1024
"""The largest payload, in bytes, after decompression: the output cap against bombs."""

PLAIN = ""
ZSTD = "zstd"
LARGE = "large"
"""The body is a `Large` that says where the payload is, since no message can hold it."""

T = TypeVar("T")
_encoder = msgspec.json.Encoder(order="deterministic")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def encode(value: object) -> bytes:
    """Return `value` (a Struct or builtins) as JSON, maps in sorted order."""
    return _encoder.encode(value)


def decode(data: bytes, type_: type[T]) -> T:
    """Return JSON as `type_`; raises msgspec.DecodeError or its subclass ValidationError."""
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = msgspec.json.Decoder(type_)
    result: T = decoder.decode(data)
    return result


def pack(payload: bytes) -> tuple[bytes, str]:
    """Return the body to send for a payload, and its encoding (`` or `zstd`)."""
    if len(payload) <= COMPRESS_OVER:
        return payload, PLAIN
    return zstandard.ZstdCompressor(level=3).compress(payload), ZSTD


def unpack(body: bytes, encoding: str, limit: int = MAX_PAYLOAD) -> bytes:
    """Return the payload of a body, never more than `limit` bytes; of a large one what says where it is.

    Raises InvalidEvent: ENCODING_UNKNOWN, PAYLOAD_CORRUPT or PAYLOAD_TOO_LARGE (a bomb).
    """
    if encoding in (PLAIN, LARGE):
        return body
    if encoding != ZSTD:
        raise InvalidEvent(f"no such content encoding: {encoding!r}", code="ENCODING_UNKNOWN")
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 23)
        if 0 <= zstandard.frame_content_size(body) <= limit:
            return decompressor.decompress(body)  # never more than what the frame says; half the time
        with decompressor.stream_reader(body) as reader:
            payload: bytes = reader.read(limit + 1)
    except zstandard.ZstdError as error:
        raise InvalidEvent(f"the payload does not decompress: {error}", code="PAYLOAD_CORRUPT") from error
    if len(payload) > limit:
        raise InvalidEvent(f"the payload unpacks to more than {limit} bytes", code="PAYLOAD_TOO_LARGE")
    return payload
