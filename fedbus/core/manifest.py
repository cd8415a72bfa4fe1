"""Reading a Kubernetes object that may be anything: every step knows its path, for the one who wrote it."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import msgspec

from fedbus.errors import Fault, InvalidInput


class Field(msgspec.Struct, frozen=True):
    """A value in a manifest and the path to it, such as `spec.template.spec.containers[0].image`.

    What is absent or null reads as empty; what has the wrong shape raises InvalidInput
    (MANIFEST_INVALID) with its path.
    """

    value: Any
    path: str = ""

    def __getitem__(self, name: str) -> "Field":
        """Return a member of this object, absent in one that is absent."""
        return Field(self.table().get(name), f"{self.path}.{name}" if self.path else name)

    def at(self, *names: str) -> "Field":
        """Return what lies that many members deeper."""
        found = self
        for name in names:
            found = found[name]
        return found

    def __bool__(self) -> bool:
        """Tell whether there is anything, an empty object too."""
        return self.value is not None

    def table(self) -> Mapping[str, Any]:
        """Return this object."""
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            self.refuse("an object")
        return self.value

    def items(self) -> Iterator["Field"]:
        """Yield the members of this list."""
        if self.value is None:
            return
        if not isinstance(self.value, list | tuple):
            self.refuse("a list")
        for index, value in enumerate(self.value):
            yield Field(value, f"{self.path}[{index}]")

    def text(self, default: str = "") -> str:
        """Return this text."""
        if self.value is None:
            return default
        if not isinstance(self.value, str):
            self.refuse("a text")
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        """Return this list of texts."""
        return tuple(item.text() for item in self.items())

    def pairs(self) -> dict[str, str]:
        """Return this map of texts, as labels are."""
        return {str(name): self[name].text() for name in self.table()}

    def flag(self) -> bool | None:
        """Return this boolean, None when it is absent."""
        if self.value is not None and not isinstance(self.value, bool):
            self.refuse("true or false")
        return self.value

    def integer(self) -> int | None:
        """Return this whole number, None when it is absent."""
        if self.value is not None and (not isinstance(self.value, int) or isinstance(self.value, bool)):
            self.refuse("a whole number")
        return self.value

    def refuse(self, wanted: str) -> NoReturn:
        """Raise InvalidInput: this should have been something else."""
        where = self.path or "the manifest"
        message = f"{where} must be {wanted}, not {str(self.value)[:100]!r}"
        raise InvalidInput(message, (Fault(self.path, message),), code="MANIFEST_INVALID")
