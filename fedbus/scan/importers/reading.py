"""Typed reading of JSON from elsewhere: every fault with its JSON path, never a crash."""

from collections.abc import Callable
from contextlib import suppress
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from fedbus.errors import Fault, InvalidInput
from fedbus.model.scan import Report

T = TypeVar("T")

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of the largest file."""
_MAX_LOCATED = 16 * 1024 * 1024
"""Bytes up to which a wrong value is looked for by its exact place."""


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
        where, message = _place(raw, kind, str(error))
        raise refusal(path + where, message) from error
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


def _place(raw: bytes | msgspec.Raw, kind: Any, said: str) -> tuple[str, str]:
    """Return the path below `$` of what does not fit, and why."""
    message, _, path = said.partition(" - at `$")
    path = path.rstrip("`")
    if "[...]" in path and len(bytes(raw)) <= _MAX_LOCATED:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # it is near enough as it is
            path = _search(msgspec.json.decode(raw), kind, "")
    return path, message


def _search(value: object, kind: Any, path: str) -> str:
    """Return the path of the first innermost value that does not fit."""
    for inner, inner_kind, below in _inner(value, kind):
        try:
            msgspec.convert(inner, inner_kind)
        except msgspec.ValidationError:
            return _search(inner, inner_kind, path + below)
    return path


def _inner(value: object, kind: Any) -> list[tuple[object, Any, str]]:
    """Return the values in `value`, each with the type that it must have and its path."""
    if get_origin(kind) in (Union, UnionType):
        shapes = [one for one in get_args(kind) if one is not NoneType]
        return next((found for one in shapes if (found := _inner(value, one))), [])
    if isinstance(value, list) and get_origin(kind) is list:
        return [(one, get_args(kind)[0], f"[{index}]") for index, one in enumerate(value)]
    if isinstance(value, dict) and get_origin(kind) is dict:
        return [(one, get_args(kind)[1], f".{key[:64]}") for key, one in value.items()]
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        kinds = get_type_hints(kind)
        names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
        return [(value[key], kinds[name], f".{key}") for name, key in names if key in value]
    return []
