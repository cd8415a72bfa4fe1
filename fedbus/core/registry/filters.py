"""Which repositories and tags of a registry are meant: NeuVector's filters `organisation/repository:tag`.

A pattern is a regular expression in which a bare `*` is any text, and is about the whole name; a filter
without a tag means every tag. Patterns run on RE2, as NeuVector's do: its time is linear in the text,
whatever the pattern.
"""

import re
from collections.abc import Sequence
from typing import Self

import msgspec

from fedbus.core.expressions import EXPRESSION_MAX, Expression, compiled

_OPENSHIFT, _GITHUB = "OpenShift Registry", "GitHub Container Registry"
_ORGANISATION = re.compile(r"[a-zA-Z0-9.\-_]*")
_BARE_STAR = re.compile(r"(?<![.\])])\*")
_LITERAL = re.compile(r"[a-zA-Z0-9._/-]+")
"""What names one repository: whoever writes a dot alone means a dot."""


class FilterError(ValueError):
    """A filter that cannot be used; the text says why."""


class Filter(msgspec.Struct, frozen=True):
    """One filter; the patterns are regular expressions."""

    organisation: str
    repository: str
    tag: str

    @classmethod
    def read(cls, text: str, registry_type: str = "") -> Self:
        """Take a filter apart. Raises FilterError."""
        organisation, slash, rest = text.partition("/")
        if not slash:
            organisation, rest = "", text
        repository, colon, tag = (part.strip() for part in rest.partition(":"))
        if not _ORGANISATION.fullmatch(organisation):
            raise FilterError(f"the organisation {organisation!r} may hold letters, digits and . - _ only")
        if registry_type == _OPENSHIFT and not organisation and text != "*":
            raise FilterError("OpenShift needs the organisation")
        if registry_type == _GITHUB and text.strip() in ("*", "*:*"):
            raise FilterError("GitHub cannot list every repository, '*' alone is not possible")
        if not repository or (colon and not tag):
            raise FilterError("neither the repository nor a tag after the colon may be empty")
        read = cls(organisation, _BARE_STAR.sub(".*", repository), _BARE_STAR.sub(".*", tag or "*"))
        for pattern in (read.repository, read.tag):
            _compiled(pattern)
        return read

    @property
    def literal(self) -> str:
        """The one repository that is meant, empty if a pattern says it."""
        if not _LITERAL.fullmatch(self.repository):
            return ""
        return f"{self.organisation}/{self.repository}" if self.organisation else self.repository


class _Compiled(msgspec.Struct, frozen=True):
    prefix: str
    repository: Expression
    tag: Expression

    def takes(self, name: str) -> bool:
        if not name.startswith(self.prefix):
            return False
        return self.repository.fullmatch(name[len(self.prefix) :]) is not None


class Selection:
    """All filters of a registry: what any of them takes is meant."""

    def __init__(self, filters: Sequence[str], registry_type: str = "") -> None:
        """Read the filters. Raises FilterError."""
        read = [Filter.read(text, registry_type) for text in filters]
        self._literals = [one.literal for one in read]
        self._compiled = [
            _Compiled(
                f"{one.organisation}/" if one.organisation else "",
                _compiled(one.repository),
                _compiled(one.tag),
            )
            for one in read
        ]

    @property
    def repositories(self) -> list[str] | None:
        """The repositories, where the filters name each one; None where the registry must be asked."""
        return sorted(set(self._literals)) if all(self._literals) else None

    def takes_repository(self, name: str) -> bool:
        """Tell whether any tag of a repository may be meant."""
        return any(one.takes(name) for one in self._compiled)

    def takes(self, repository: str, tag: str) -> bool:
        """Tell whether a tag is meant."""
        return any(one.takes(repository) and one.tag.fullmatch(tag) for one in self._compiled)


def _compiled(pattern: str) -> Expression:
    if len(pattern) > EXPRESSION_MAX:
        raise FilterError(f"longer than {EXPRESSION_MAX} characters")
    try:
        return compiled(pattern)
    except ValueError as error:
        raise FilterError(str(error)) from None


def newest_first(tags: Sequence[str]) -> list[str]:
    """Return tags as a limit takes them: `latest` first, then by the numbers in them, the highest first.

    A registry does not say when a tag was made, so versions are all there is to go by.
    """
    return sorted(tags, key=_age, reverse=True)


def _age(tag: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    parts = [part for part in re.split(r"([0-9]+)", tag) if part]
    numbers = [(part.isdecimal(), int(part[:18]) if part.isdecimal() else 0, part) for part in parts]
    return tag == "latest", numbers
