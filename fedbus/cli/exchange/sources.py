"""Files and directories to documents, each judged by itself."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.core.exchange.items import Item, Judged, judge
from fedbus.core.exchange.reading import Remark
from fedbus.errors import FedbusError
from fedbus.web import yaml_documents

SUFFIXES = frozenset({".yaml", ".yml", ".json"})


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One document of one file; `document` counts from 0 and is None for a file that cannot be read."""

    file: str
    document: int | None = None
    line: int | None = None
    lines: Mapping[str, int] = {}
    judged: Judged

    @property
    def start(self) -> int | None:
        """The first line: of the item, if the document is a list of many."""
        return self.line_of(self.judged.path)

    def line_of(self, path: str) -> int | None:
        """Return the line of a path in the document, or of the nearest path above that has one."""
        return nearest(self.lines, path, self.line)


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """One document of one file as it was written; `value` is None for one that cannot be read: `fault`."""

    file: str
    document: int | None = None
    line: int | None = None
    lines: Mapping[str, int] = {}
    value: Mapping[str, object] | None = None
    field: str = ""
    fault: str = ""

    def line_of(self, path: str) -> int | None:
        """Return the line of a path in the document, or of the nearest path above that has one."""
        return nearest(self.lines, path, self.line)


def parse(names: Sequence[str]) -> list[Parsed]:
    """Read every document of files and directories, whatever it says. Raises as `load`."""
    return [one for file in _files(names) for one in _parsed(file)]


def _parsed(file: Path) -> Iterator[Parsed]:
    try:
        found, faults = yaml_documents.parse_each(_bytes(file), lines=True)
    except FedbusError as error:
        yield Parsed(file=str(file), fault=error.message)
        return
    good = [
        Parsed(file=str(file), document=one.index, line=one.line, lines=one.lines, value=one.value)
        for one in found
    ]
    bad = [
        Parsed(file=str(file), document=one.document, line=one.line, field=one.field, fault=one.message)
        for one in faults
    ]
    yield from sorted([*good, *bad], key=lambda one: one.document or 0)


def nearest(lines: Mapping[str, int], path: str, default: int | None) -> int | None:
    """Return the line of a path, or of the nearest path above that has one."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path, default) if path else default


def load(names: Sequence[str]) -> list[Source]:
    """Read every document of the files, and of the directories below which they lie.

    Raises CliError for a name that leads nowhere; everything else is a fault of its source.
    """
    return [source for file in _files(names) for source in _read(file)]


def items(sources: Sequence[Source]) -> list[Item]:
    """Return what all sources ask for, numbered by source."""
    return [
        msgspec.structs.replace(item, source=number)
        for number, source in enumerate(sources)
        for item in source.judged.items
    ]


def _files(names: Sequence[str]) -> Iterator[Path]:
    seen: set[Path] = set()
    for name in names:
        for file in _below(Path(name)) if name != "-" else [Path("-")]:
            if (place := file.resolve()) not in seen:
                seen.add(place)
                yield file


def _below(path: Path) -> list[Path]:
    """Return a file, or the policy files of a directory in the order of their paths; hidden ones are not."""
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for directory, below, files in os.walk(path, onerror=_unreadable):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(directory) / name for name in files if not name.startswith(".")]
    return sorted(file for file in found if file.suffix in SUFFIXES and file.is_file())


def _unreadable(error: OSError) -> None:
    raise CliError(f"Cannot read {error.filename}: {error.strerror}", code=ExitCode.USAGE) from error


def _read(file: Path) -> Iterator[Source]:
    try:
        raw = _bytes(file)
        found, faults = yaml_documents.parse_each(raw, lines=True)
    except FedbusError as error:
        yield _wrong(file, None, None, Remark("", error.message))
        return
    documents: dict[int, list[Source]] = {}
    for fault in faults:
        wrong = _wrong(file, fault.document, fault.line, Remark(fault.field, fault.message))
        documents[fault.document or 0] = [wrong]
    for one in found:
        documents[one.index] = [_judged(file, one, judged) for judged in judge(one.value)]
    for _, sources in sorted(documents.items()):
        yield from sources


def _judged(file: Path, one: yaml_documents.Document, judged: Judged) -> Source:
    return Source(file=str(file), document=one.index, line=one.line, lines=one.lines, judged=judged)


def _wrong(file: Path, document: int | None, line: int | None, fault: Remark) -> Source:
    judged = Judged(kind="", items=[], remarks=[], faults=[fault])
    return Source(file=str(file), document=document, line=line, judged=judged)


def _bytes(file: Path) -> bytes:
    """Read a file, no more of it than may be there: what is too large is refused before it is parsed."""
    limit = yaml_documents.MAX_BYTES + 1
    if file == Path("-"):
        return sys.stdin.buffer.read(limit)
    try:
        with file.open("rb") as opened:
            return opened.read(limit)
    except OSError as error:
        raise CliError(f"Cannot read {file}: {error.strerror}", code=ExitCode.USAGE) from error
