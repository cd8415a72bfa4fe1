"""How texts of a rule match texts of a workload: literally, by wildcard, or by regular expression.

Everything that is not a literal runs on RE2, whose time is linear in the text: no rule, however it is
written, keeps the API server waiting. It is also the syntax of the rules' origin: look-around and
back-references do not exist there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import re2

from fedbus.core.expressions import compiled

Match = Callable[[str], bool]

_WILDCARDS = frozenset("?*")


def regex_fault(expression: str) -> str:
    """Return why RE2 refuses an expression, the empty text when it takes it."""
    try:
        compiled(expression)
    except ValueError as error:
        return str(error)
    return ""


def regex(expression: str) -> Match:
    """Return a search for `expression` anywhere in a text. Raises ValueError when it is none."""
    try:
        return _safely(compiled(expression).search)
    except ValueError as error:
        raise ValueError(f"{expression!r} is no regular expression: {error}") from None


def wildcard(value: str) -> Match:
    """Return a match of the whole text, case and all; `*` stands for anything, `?` for one character."""
    if _WILDCARDS.isdisjoint(value):
        return value.__eq__
    inner = value.strip("*")
    if _WILDCARDS.isdisjoint(inner):
        return _edges(value, inner)
    escaped = "".join({"*": ".*", "?": "."}.get(one) or re2.escape(one) for one in value)
    return _safely(compiled(f"(?s:{escaped})").fullmatch)


def _safely(match: Callable[[str], object]) -> Match:
    def matches(text: str) -> bool:
        try:
            return bool(match(text))
        except UnicodeEncodeError:  # half a character of UTF-16, which JSON can write: no rule means it
            return False

    return matches


def _edges(value: str, inner: str) -> Match:
    """Return the match of a value with wildcards at its ends only, which needs no expression."""
    if value.startswith("*") and value.endswith("*"):
        return lambda text: inner in text
    if value.endswith("*"):
        return lambda text: text.startswith(inner)
    return lambda text: text.endswith(inner)


class Patterns:
    """The comma list of a rule, ready to be asked whether it has a text."""

    def __init__(self, values: Iterable[str]) -> None:
        values = list(values)
        self._literal = frozenset(value for value in values if _WILDCARDS.isdisjoint(value))
        self._wild = tuple(wildcard(value) for value in values if value not in self._literal)

    def has(self, text: str) -> bool:
        """Tell whether any value matches."""
        return text in self._literal or (bool(self._wild) and any(match(text) for match in self._wild))

    def any_found(self, texts: Collection[str]) -> bool:
        """Tell whether any value matches any text."""
        if not self._literal.isdisjoint(texts):
            return True
        return bool(self._wild) and any(match(text) for match in self._wild for text in texts)

    def all_found(self, texts: Collection[str]) -> bool:
        """Tell whether every value matches some text."""
        return self._literal.issubset(texts) and all(any(map(match, texts)) for match in self._wild)


SetOperator = Callable[[Patterns, Collection[str]], bool]


def _contains_other_than(patterns: Patterns, texts: Collection[str]) -> bool:
    return any(not patterns.has(text) for text in texts)


SET_OPERATORS: Mapping[str, SetOperator] = {
    "containsAll": lambda patterns, texts: bool(texts) and patterns.all_found(texts),
    "containsAny": Patterns.any_found,
    "notContainsAny": lambda patterns, texts: not patterns.any_found(texts),
    "containsOtherThan": _contains_other_than,
}
"""What a comma list asks of a set; of the empty set only `notContainsAny` holds."""

NEGATIVE = frozenset({"notContainsAny", "!regex", "!="})
"""Operators that hold when something is absent: several on one name all have to hold."""

Held = Mapping[str, Sequence[str]]
Wanted = tuple[str, Match | None]
"""A key, and what its value has to match (None: anything)."""


def wanted(item: str) -> Wanted:
    """Read `key` or `key=value`."""
    key, equals, value = item.partition("=")
    return key.strip(), wildcard(value.strip()) if equals else None


def _found(want: Wanted, held: Held) -> bool:
    key, match = want
    values = held.get(key)
    return values is not None and (match is None or any(match(value) for value in values))


def _other(wants: Sequence[Wanted], held: Held) -> bool:
    known: dict[str, list[Match | None]] = {}
    for key, match in wants:
        known.setdefault(key, []).append(match)
    return any(
        not any(match is None or match(value) for match in known.get(key, ()))
        for key, values in held.items()
        for value in values
    )


PairOperator = Callable[[Sequence[Wanted], Held], bool]
PAIR_OPERATORS: Mapping[str, PairOperator] = {
    "containsAll": lambda wants, held: bool(held) and all(_found(want, held) for want in wants),
    "containsAny": lambda wants, held: any(_found(want, held) for want in wants),
    "notContainsAny": lambda wants, held: not any(_found(want, held) for want in wants),
    "containsOtherThan": _other,
}
"""The same operators on `key` and `key=value` lists: labels, environment, modules."""
