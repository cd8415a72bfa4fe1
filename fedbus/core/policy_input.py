"""From what a person or a program sent to a policy object, or to every fault in it.

This checks shape: known fields, types, enumerations. What the values mean is checked by
`fedbus.core.policy_rules`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from fedbus.core.policy_rules.checks import MAX_FAULTS
from fedbus.core.policy_rules.normal import normalise
from fedbus.errors import Fault, InvalidInput
from fedbus.model.policy import FED, KINDS, Policy, Scope
from fedbus.model.policy.common import Part

P = TypeVar("P", bound=Part)

MAX_INT = 2**32 - 1
"""NeuVector keeps its numbers in unsigned 32 bits."""

_SHAPES = {name: inspect.type_info(kind.type) for name, kind in KINDS.items()}
_NOUNS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "nothing"),
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "a string"),
    ((list, tuple), "a list"),
    (dict, "an object"),
)


def parse(kind: str, spec: object, path: str = "", scope: Scope = FED) -> Policy:
    """Return the object that `spec` (plain data, as JSON or YAML gives it) describes, normalised.

    A field that NeuVector computes is left out; a null stands for an absent field, as Go writes
    empty lists, and so does an empty `cfg_type`, which is then that of the scope. Raises InvalidInput
    with all faults found, at most MAX_FAULTS; `path` is where in the request the object is.
    """
    shape = _SHAPES.get(kind)
    if shape is None:
        fault = Fault("kind", f"{kind!r} is no kind of policy; the kinds are {', '.join(KINDS)}")
        raise InvalidInput(fault.message, (fault,))
    return normalise(msgspec.convert(_checked(shape, spec, path, kind, scope), KINDS[kind].type))


def read(type_: type[P], given: object, path: str, scope: Scope = FED) -> P:
    """Return a part of a request as its struct, by the rules of `parse`. Raises InvalidInput."""
    return msgspec.convert(_checked(_shape(type_), given, path, "request", scope), type_)


def _checked(shape: inspect.Type, given: object, path: str, what: str, scope: Scope) -> object:
    faults: list[Fault] = []
    data = _Reading(scope, faults).read(shape, given, path)
    if faults:
        raise InvalidInput(f"this is not a valid {what}: {faults[0].message}", tuple(faults[:MAX_FAULTS]))
    return data


@cache
def _shape(type_: type[Part]) -> inspect.Type:
    return inspect.type_info(type_)


class _Reading:
    """One way through what was sent: what does not fit is appended to `faults`."""

    def __init__(self, scope: Scope, faults: list[Fault]) -> None:
        self._scope, self._faults = scope, faults

    def read(self, shape: inspect.Type, value: object, path: str) -> object:
        """Return `value` without what is left out."""
        if isinstance(shape, inspect.UnionType):
            (shape,) = (option for option in shape.types if not isinstance(option, inspect.NoneType))
        if isinstance(shape, inspect.StructType):
            if isinstance(value, Mapping):
                return self._fields(shape, value, path)
            wanted = "an object"
        elif isinstance(shape, inspect.VarTupleType):
            if isinstance(value, (list, tuple)):
                return [
                    self.read(shape.item_type, item, f"{path}[{index}]") for index, item in enumerate(value)
                ]
            wanted = "a list"
        else:
            wanted = _scalar_wanted(shape, value)
        if wanted:
            self._wrong(path or "spec", f"must be {wanted}, not {_noun(value)}")
        return value

    def _fields(self, shape: inspect.StructType, value: Mapping[Any, object], path: str) -> dict[str, object]:
        prefix = f"{path}." if path else ""
        fields = {field.encode_name: field for field in shape.fields}
        computed = cast(type[Part], shape.cls).computed
        for name in value:
            if name not in fields and name not in computed:
                where = prefix + (str(name)[:100].encode(errors="replace").decode() or "''")
                self._wrong(where, f"is not a field; the fields here are {', '.join(fields)}")
        data: dict[str, object] = {}
        for name, field in fields.items():
            given = value.get(name)
            if name == "cfg_type" and not given:
                given = self._scope.cfg_type  # Go writes an empty one where nobody set it
            if given is not None:
                data[name] = self.read(field.type, given, prefix + name)
            elif field.required:
                self._wrong(prefix + name, "is missing")
        return data

    def _wrong(self, field: str, text: str) -> None:
        self._faults.append(Fault(field, f"{field} {text}"))


def _scalar_wanted(shape: inspect.Type, value: object) -> str:
    """Return what was wanted instead of `value`, the empty text when it fits."""
    match shape:
        case inspect.LiteralType(values=values):
            fits, wanted = value in values, f"one of {', '.join(repr(option) for option in values)}"
        case inspect.BoolType():
            fits, wanted = isinstance(value, bool), "true or false"
        case inspect.IntType():
            fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INT
            wanted = f"a whole number from 0 to {MAX_INT}"
        case inspect.StrType():
            fits = isinstance(value, str) and _is_unicode(value)
            wanted = "a string"
        case _:
            raise TypeError(f"policy has no fields like {shape}")
    return "" if fits else wanted


def _is_unicode(text: str) -> bool:
    """Tell whether `text` can be written as UTF-8 (JSON lets half a surrogate pair through)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _noun(value: object) -> str:
    """Return what `value` is, and its value where that is short."""
    if isinstance(value, str) and len(value) <= 64:
        return repr(value)
    noun = next((noun for types, noun in _NOUNS if isinstance(value, types)), type(value).__name__)
    small = isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**64)
    return f"{noun} ({value})" if small else noun
