"""Reading foreign documents field by field, so that nothing of them is lost without being said."""

from collections.abc import Mapping

import msgspec


class Remark(msgspec.Struct, frozen=True):
    """Something to say about one place of a document; `path` is such as `spec.rules[0].id`."""

    path: str
    message: str


class Found(msgspec.Struct, frozen=True):
    """One object that a document describes, as plain data, and where it does."""

    kind: str
    spec: dict[str, object]
    path: str


class Conversion:
    """What a document gave: objects, what was ignored or changed, and what is wrong with it."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.faults: list[Remark] = []
        self._remarks: dict[Remark, None] = {}
        self.places: Mapping[str, str] = {}
        """Rule id to rank, where the document carries our own annotations."""

    @property
    def remarks(self) -> list[Remark]:
        """What was ignored or changed, each once."""
        return list(self._remarks)

    def add(self, kind: str, spec: dict[str, object], path: str) -> None:
        """Take an object."""
        self.found.append(Found(kind, spec, path))

    def remark(self, path: str, message: str) -> None:
        """Say once that something is ignored or changed."""
        self._remarks[Remark(path, message)] = None

    def refuse(self, path: str, message: str) -> None:
        """Say what is wrong."""
        self.faults.append(Remark(path, message))


class Node:
    """One mapping of a document. What is asked for is checked; `rest` reports what nobody asked for.

    A null stands for an absent field, as Go writes empty lists. A fault never raises: it is kept in
    the conversion, and the field reads as absent.
    """

    def __init__(self, value: object, path: str, out: Conversion) -> None:
        self.path, self.out = path, out
        self._left: dict[str, object] = {}
        if isinstance(value, Mapping):
            self._left = {str(key): item for key, item in value.items() if item is not None}
        elif value is not None:
            out.refuse(path, "must be an object")

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def at(self, key: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str, default: str = "") -> str:
        """Read a string; a number is refused, as by the Kubernetes API."""
        value = self._left.pop(key, default)
        if isinstance(value, str):
            return value
        self.out.refuse(self.at(key), f"must be a string, not {_noun(value)}; put it in quotes")
        return default

    def needed(self, key: str) -> str:
        """Read a string that must be there."""
        if key not in self._left:
            self.out.refuse(self.at(key), "is missing")
        return self.text(key)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Read a boolean."""
        value = self._left.pop(key, default)
        if isinstance(value, bool):
            return value
        self.out.refuse(self.at(key), f"must be true or false, not {_noun(value)}")
        return default

    def number(self, key: str) -> int:
        """Read a whole number, 0 where there is none."""
        value = self._left.pop(key, 0)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.out.refuse(self.at(key), f"must be a whole number, not {_noun(value)}")
        return 0

    def texts(self, key: str) -> list[str]:
        """Read a list of strings."""
        found = []
        for index, item in enumerate(self._list(key)):
            if isinstance(item, str):
                found.append(item)
            else:
                self.out.refuse(f"{self.at(key)}[{index}]", f"must be a string, not {_noun(item)}")
        return found

    def node(self, key: str) -> "Node | None":
        """Read an object, None where there is none."""
        return Node(self._left.pop(key), self.at(key), self.out) if key in self._left else None

    def nodes(self, key: str) -> "list[Node]":
        """Read a list of objects."""
        return [
            Node(item, f"{self.at(key)}[{index}]", self.out) for index, item in enumerate(self._list(key))
        ]

    def ignore(self, key: str, why: str) -> None:
        """Pass over a field that fedbus has no place for, and say so where it says anything."""
        value = self._left.pop(key, None)
        if value not in (None, "", False, 0, [], {}):
            self.out.remark(self.at(key), f"ignored: {why}")

    def rest(self) -> None:
        """Report every field that was not asked for."""
        for key in list(self._left):
            self.ignore(key, "fedbus does not know this field")

    def items(self) -> dict[str, object]:
        """Take everything that is left."""
        left, self._left = self._left, {}
        return left

    def _list(self, key: str) -> list[object]:
        value = self._left.pop(key, [])
        if isinstance(value, list):
            return value
        self.out.refuse(self.at(key), f"must be a list, not {_noun(value)}")
        return []


def _noun(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool() | int() | float():
            return str(value).lower()
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"
