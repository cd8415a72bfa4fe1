"""Bytes on the wire: what goes in comes out, and a bomb does not go off."""

import contextlib
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import InvalidEvent
from fedbus.model import codec


@given(st.binary(max_size=20_000))
def test_a_payload_comes_back_as_it_was(payload: bytes) -> None:
    assert codec.unpack(*codec.pack(payload)) == payload


def test_only_large_payloads_are_compressed() -> None:
    assert codec.pack(b"a" * codec.COMPRESS_OVER)[1] == codec.PLAIN
    body, encoding = codec.pack(b"a" * (codec.COMPRESS_OVER + 1))
    assert encoding == codec.ZSTD
    assert len(body) < 100


def test_the_largest_payload_unpacks_and_one_byte_more_does_not() -> None:
    most = bytes(codec.MAX_PAYLOAD)
    assert codec.unpack(*codec.pack(most)) == most
    with pytest.raises(InvalidEvent, match="more than") as refused:
        codec.unpack(*codec.pack(most + b"1"))
    assert refused.value.code == "PAYLOAD_TOO_LARGE"


def test_a_bomb_takes_no_more_memory_than_the_cap() -> None:
    compressor = zstandard.ZstdCompressor(level=19).compressobj()
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(256)) + compressor.flush()
    assert len(bomb) < codec.MAX_BODY
    tracemalloc.start()
    try:
        with pytest.raises(InvalidEvent) as refused:
            codec.unpack(bomb, codec.ZSTD)
        assert tracemalloc.get_traced_memory()[1] < 4 * codec.MAX_PAYLOAD
    finally:
        tracemalloc.stop()
    assert refused.value.code == "PAYLOAD_TOO_LARGE"


@given(st.binary(max_size=200))
def test_bytes_that_are_no_zstd_are_refused_and_break_nothing(body: bytes) -> None:
    with contextlib.suppress(InvalidEvent):
        assert len(codec.unpack(body, codec.ZSTD, limit=1000)) <= 1000


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(InvalidEvent) as refused:
        codec.unpack(b"x", "br")
    assert refused.value.code == "ENCODING_UNKNOWN"


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=5))
def test_the_same_map_has_the_same_bytes_whatever_its_order(value: dict[str, object]) -> None:
    other = dict(reversed(list(value.items())))
    assert codec.encode(value) == codec.encode(other)
