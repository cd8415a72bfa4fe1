"""Typed reading of JSON from elsewhere: every fault with its JSON path, never a crash."""

from collections.abc import Callable
from typing import Any

import msgspec

from fedbus.errors import Fault, InvalidInput
from fedbus.model.scan import Report

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of the largest file."""


class Part(msgspec.Struct, frozen=True):
    """One report of a file: where it stands, and what makes it. `make` raises InvalidInput."""

    path: str
    make: Callable[[], Report]


def decode(raw: bytes | msgspec.Raw, kind: Any, path: str = "$") -> Any:
    """Decode JSON; `path` is where `raw` stands in its file.

    Raises InvalidInput with one fault: BODY_MALFORMED if it is no JSON, else INVALID_INPUT.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise refusal(path + where.rstrip("`"), message) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fault = Fault(path, f"no valid JSON: {error}")
        raise InvalidInput(f"This is no valid JSON: {error}", (fault,), code="BODY_MALFORMED") from error
    except RecursionError as error:
        raise refusal(path, "nested too deeply") from error


def refusal(path: str, message: str, *, remedy: str = "") -> InvalidInput:
    """Make the error that says where and why something cannot be read."""
    return InvalidInput(f"{path}: {message}", (Fault(path, message),), remedy=remedy)


def failed(path: str, error: InvalidInput) -> Part:
    """Make the part of a report that cannot be read, so that the others of its file are."""

    def make() -> Report:
        raise error

    return Part(path, make)
