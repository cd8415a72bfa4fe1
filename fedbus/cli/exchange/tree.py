"""A directory of exported policy, as it is kept in git: only what differs is written."""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import to_yaml

MARK = "# Written by fedbus policy export.\n"
"""The first line of every file: a file without it is somebody else's and never removed."""


class Wrote(msgspec.Struct, frozen=True):
    """The files that were written and removed, below the directory; and how many stayed as they were."""

    written: list[str]
    removed: list[str]
    unchanged: int


def write(directory: Path, files: Mapping[str, Sequence[object]], kinds: Iterable[str]) -> Wrote:
    """Write files, and remove those of an earlier export of `kinds` that are no more. Raises CliError."""
    try:
        written = [path for path, documents in sorted(files.items()) if _write(directory / path, documents)]
        removed = [path for path in _ours(directory, kinds) if path not in files]
        for path in removed:
            (directory / path).unlink()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        where = getattr(error, "filename", None) or directory
        raise CliError(f"Cannot write {where}: {why}", code=ExitCode.USAGE) from error
    return Wrote(written, removed, len(files) - len(written))


def _write(file: Path, documents: Sequence[object]) -> bool:
    """Write a file in one step, unless that is what it holds already."""
    content = (MARK + to_yaml(documents)).encode()
    if file.is_file() and file.read_bytes() == content:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".export-")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def _ours(directory: Path, kinds: Iterable[str]) -> list[str]:
    """Return the files of earlier exports of these kinds."""
    found = [
        file
        for kind in kinds
        for file in (directory / f"{kind}.yaml", *sorted((directory / kind).glob("*.yaml")))
        if file.is_file()
    ]
    mark = MARK.encode()
    return [str(file.relative_to(directory)) for file in found if _starts(file) == mark]


def _starts(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(len(MARK))
