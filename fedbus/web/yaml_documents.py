"""YAML streams as plain JSON data: many documents, each judged on its own.

Built on libyaml's events alone, so there is nothing that could construct a Python object. What
differs from YAML at large, on purpose:

- Scalars follow the YAML 1.2 core schema: `op: =`, `value: on` and `22:22` are text, not an error,
  a boolean or a number in base 60.
- Anchors, aliases and explicit tags are refused: policy needs none, bombs need them.
- A key that appears twice is refused, keys are always text, depth and document count are bounded.
"""

import math
import re
from collections.abc import Iterator, Mapping

import msgspec
import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from fedbus.errors import Fault, InvalidInput, TooLarge

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_DOCUMENTS = 10_000

_MARKER = re.compile(r"^(---|\.\.\.)(?=\s|$)")
_INTEGER = re.compile(r"[-+]?[0-9]{1,19}|0o[0-7]{1,21}|0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """One document: its place among those of the request, its first line (if text), its content.

    `lines` has the line of every value by its path, such as `spec.criteria[0].op`, where asked for.
    """

    index: int
    line: int | None
    value: dict[str, object]
    lines: Mapping[str, int] = {}


class _Refused(Exception):
    def __init__(self, field: str, message: str, line: int) -> None:
        super().__init__(message)
        self.field = field
        self.line = line


def parse(raw: bytes) -> tuple[Document, ...]:
    """Read every document of a stream; empty ones do not count.

    Raises InvalidInput with a fault for each bad document (with its index and line in the stream),
    TooLarge when the stream is over a limit.
    """
    found, faults = parse_each(raw)
    if faults:
        message = f"{len(faults)} of {len(found) + len(faults)} documents cannot be read"
        raise InvalidInput(message, tuple(faults))
    return tuple(found)


def parse_each(raw: bytes, *, lines: bool = False) -> tuple[list[Document], list[Fault]]:
    """Read every document that can be read, and return a fault for each of the others.

    Raises InvalidInput when the stream is no text, TooLarge when it is over a limit.
    """
    if len(raw) > MAX_BYTES:
        raise TooLarge(f"A YAML stream may have {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The body is no UTF-8 text: {error}", code="BODY_MALFORMED") from error
    found: list[Document] = []
    faults: list[Fault] = []
    index = 0
    for line, part in _parts(text):
        builder = _Builder(part, line, lines=lines)
        try:
            value = builder.document()
            if value is None:
                continue
            found.append(Document(index, line, _as_mapping(value, line), builder.lines))
        except _Refused as refused:
            faults.append(Fault(refused.field, str(refused), index, refused.line))
        index += 1
        if index > MAX_DOCUMENTS:
            raise TooLarge(f"A request may have {MAX_DOCUMENTS} documents")
    return found, faults


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return what unquoted `text` means; raises OverflowError for a number JSON cannot carry."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        number = int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        if not -(2**63) <= number < 2**63:
            raise OverflowError(text)
        return number
    if _FLOAT.fullmatch(text):
        real = float(text)
        if not math.isfinite(real):
            raise OverflowError(text)
        return real
    return text


def _as_mapping(value: object, line: int) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _Refused("", "A document must be a mapping", line)
    return value


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Cut a stream at its document markers, so that a bad document does not hide the good ones.

    A marker at the start of a line ends a document even inside a block or quoted scalar (YAML 1.2,
    section 9.1.2), so cutting lines is exact.
    """
    start, lines = 1, list[str]()
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if marker := _MARKER.match(line):
            yield start, "".join(lines)
            # `---` opens what follows it, also on its own line; `...` only ends what stands before.
            start, lines = number, [line if marker[1] == "---" else "   " + line[3:]]
        else:
            lines.append(line)
    yield start, "".join(lines)


class _Builder:
    """Builds the plain data of one document from libyaml's events."""

    def __init__(self, text: str, first_line: int, *, lines: bool) -> None:
        self.lines: dict[str, int] = {}
        self._wants_lines = lines
        self._first_line = first_line
        self._events = yaml.parse(text, Loader=yaml.CSafeLoader)

    def document(self) -> object:
        """Return the document's content, None when it is empty."""
        try:
            value = None
            for event in self._events:
                if isinstance(event, DocumentStartEvent):
                    value = self._value(next(self._events), "", 0)
                elif isinstance(event, DocumentEndEvent):
                    continue
        except yaml.YAMLError as error:
            raise self._syntax(error) from error
        return value

    def _value(self, event: Event, path: str, depth: int) -> object:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._refused(event, path, "Anchors and aliases are not accepted: write the value out")
        if depth > MAX_DEPTH:
            raise self._refused(event, path, f"Nested more than {MAX_DEPTH} levels deep")
        tag = getattr(event, "tag", None)
        if tag is not None and not (isinstance(event, ScalarEvent) and tag == "!"):
            raise self._refused(event, path, f"Tags are not accepted: {tag}")
        if self._wants_lines:
            self.lines[path] = self._line(event)
        match event:
            case ScalarEvent():
                return self._scalar(event, path)
            case SequenceStartEvent():
                return self._sequence(path, depth)
            case MappingStartEvent():
                return self._mapping(path, depth)
        raise self._refused(event, path, "Not understood")

    def _sequence(self, path: str, depth: int) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent) or event.anchor is not None:
                raise self._refused(event, path, "A key must be plain text")
            field = f"{path}.{event.value}" if path else event.value
            if event.value in found:
                raise self._refused(event, field, f"The key {event.value!r} appears twice")
            found[event.value] = self._value(next(self._events), field, depth + 1)
        return found

    def _scalar(self, event: ScalarEvent, path: str) -> object:
        if not event.implicit[0]:
            return event.value  # quoted, or a block: text whatever it looks like
        try:
            return plain_scalar(event.value)
        except OverflowError as error:
            raise self._refused(event, path, "The number is out of range") from error

    def _refused(self, event: Event, path: str, message: str) -> _Refused:
        return _Refused(path, message, self._line(event))

    def _line(self, event: Event) -> int:
        mark = event.start_mark
        return self._first_line + (mark.line if mark is not None else 0)

    def _syntax(self, error: yaml.YAMLError) -> _Refused:
        mark = getattr(error, "problem_mark", None)
        line = self._first_line + (mark.line if mark is not None else 0)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        return _Refused("", f"This is no valid YAML: {what}", line)
