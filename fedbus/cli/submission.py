"""`fedbus scan submit`: results of scanners, from files or standard input, to the daemon."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import zstandard
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fedbus.cli.client import Api
from fedbus.cli.errors import ApiError, CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import rows
from fedbus.cli.session import Session, command
from fedbus.errors import FedbusError
from fedbus.runtime import rfc3339
from fedbus.scan.importers import MAX_BYTES, Format
from fedbus.scan.importers.detection import detect

PATH = "/v1/scan/result/repository"
AT_ONCE = 3
"""Files that are sent at the same time: as many as a daemon reads at once."""

_IMAGE = "The image, where the files do not say it or say it wrongly"
_ENDS = frozenset({ExitCode.UNREACHABLE, ExitCode.DENIED})
"""With these every other file would fail too."""


class _Outcome(msgspec.Struct, omit_defaults=True):
    """What became of a file; `code` is the exit code that it asks for."""

    file: str
    format: str = ""
    accepted: list[dict[str, object]] = []
    rejected: list[dict[str, object]] = []
    code: ExitCode = ExitCode.OK


class _Answer(msgspec.Struct):
    format: str = ""
    accepted: list[dict[str, object]] = []
    rejected: list[dict[str, object]] = []


def register(app: typer.Typer) -> None:
    """Add the command to `fedbus scan`."""
    command(app)(submit)


async def submit(
    session: Session,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Results; - is standard input.")],
    *,
    form: Annotated[
        Format | None, typer.Option("--format", help="What the files are.", show_default="found out")
    ] = None,
    repository: Annotated[str, typer.Option(help="Its repository.", rich_help_panel=_IMAGE)] = "",
    tag: Annotated[str, typer.Option(help="Its tag.", rich_help_panel=_IMAGE)] = "",
    digest: Annotated[str, typer.Option(help="Its digest.", rich_help_panel=_IMAGE)] = "",
    registry: Annotated[str, typer.Option(help="Its registry's host.", rich_help_panel=_IMAGE)] = "",
    into: Annotated[
        str,
        typer.Option(
            metavar="REGISTRY", help="Make them results of this registry of the daemon, such as fed.NAME."
        ),
    ] = "",
    vex: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="OpenVEX about the results; may be given again."),
    ] = None,
) -> None:
    """Submit results of scanners: of NeuVector, Trivy, Grype, in CycloneDX and in SARIF.

    A file that is rejected does not stop the others. A newer scan of the same digest that the daemon
    holds stays.
    """
    said = {
        "format": form or "",
        "repository": repository,
        "tag": tag,
        "digest": digest,
        "registry": registry,
        "into": into,
    }
    query = {name: value for name, value in said.items() if value}
    statements = [_read(str(path)) for path in vex or ()]
    sending = _Sending(session.api, query, statements)
    with _progress() as progress:
        shown = progress.add_task("Submitting", total=len(files))
        found = await sending.all(files, lambda: progress.advance(shown))
    session.emit({"files": found}, lambda: _table(found))
    if sending.stopped is not None:
        raise sending.stopped
    if bad := [one for one in found if one.code]:
        worst = ExitCode.UNAVAILABLE if any(one.code == ExitCode.UNAVAILABLE for one in bad) else bad[0].code
        raise CliError(f"{len(bad)} of {len(files)} files were not accepted, or not wholly", code=worst)


class _Sending:
    """Sends files; `stopped` is the error after which no more were sent."""

    def __init__(self, api: Api, query: dict[str, str], vex: Sequence[bytes]) -> None:
        self._api, self._query, self._vex = api, query, vex
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.stopped: CliError | None = None

    async def all(self, files: Sequence[str], done: Callable[[], None]) -> list[_Outcome]:
        """Send files and return what became of them, in their order."""
        found = [_Outcome(file=file) for file in files]

        async def one(outcome: _Outcome) -> None:
            async with self._turns:
                if self.stopped is None:
                    await self._send(outcome)
                done()

        async with asyncio.TaskGroup() as group:
            for outcome in found:
                group.create_task(one(outcome))
        return [one for one in found if one.code or one.format]

    async def _send(self, outcome: _Outcome) -> None:
        try:
            body = await asyncio.to_thread(self._body, outcome.file)
            sent = await self._api.call(
                "POST", PATH, raw=body, query=self._query, headers={"Content-Encoding": "zstd"}
            )
        except CliError as error:
            outcome.code, outcome.rejected = error.code, _reasons(error)
            if error.code in _ENDS:
                self.stopped = error
        else:
            answer = msgspec.convert(sent, _Answer)
            outcome.format = answer.format
            outcome.accepted, outcome.rejected = answer.accepted, answer.rejected
            outcome.code = ExitCode.INVALID if answer.rejected else ExitCode.OK

    def _body(self, file: str) -> bytes:
        raw = _read(file)
        if "format" not in self._query:
            try:
                detect(raw)  # what is none of them is not sent at all
            except FedbusError as error:
                raise CliError(error.message, remedy=error.remedy, code=ExitCode.INVALID) from error
        if self._vex:
            raw = b'{"scan":' + raw + b',"vex":[' + b",".join(self._vex) + b"]}"
        return zstandard.ZstdCompressor(level=3).compress(raw)


def _read(file: str) -> bytes:
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise CliError(f"Cannot read {file}: {error.strerror}", code=ExitCode.USAGE) from error
    if len(raw) > MAX_BYTES:
        raise CliError(f"{file} has more than {MAX_BYTES >> 20} MiB", code=ExitCode.INVALID)
    return raw


def _reasons(error: CliError) -> list[dict[str, object]]:
    faults = error.problem.errors if isinstance(error, ApiError) else []
    found: list[dict[str, object]] = [{"path": one.field, "message": one.message} for one in faults]
    found = found or [{"path": "", "message": error.message}]
    return [one | {"remedy": error.remedy} if error.remedy else one for one in found]


def _progress() -> Progress:
    """Return a bar on standard error; nothing where no terminal is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _table(found: Sequence[_Outcome]) -> None:
    columns = [
        (heading, lambda one, heading=heading: one.get(heading.lower()))
        for heading in ("FILE", "FORMAT", "IMAGE", "RESULT", "CRITICAL", "HIGH", "ALL", "WHY")
    ]
    lines = [line for one in found for line in _lines(one)]
    rows(columns, lines, empty="Nothing was submitted")


def _lines(outcome: _Outcome) -> list[dict[str, object]]:
    about: dict[str, object] = {"file": outcome.file, "format": outcome.format}
    kept: list[dict[str, object]] = [
        about
        | {
            "image": f"{one.get('repository')}:{one['tag']}" if one.get("tag") else one.get("repository"),
            "result": one.get("result"),
            "critical": one.get("critical"),
            "high": one.get("high"),
            "all": one.get("vulnerabilities"),
            "why": _older(one),
        }
        for one in outcome.accepted
    ]
    refused: list[dict[str, object]] = [
        about | {"image": None, "result": "rejected", "why": _why(one)} for one in outcome.rejected
    ]
    return kept + refused or [about | {"result": "empty"}]


def _older(one: dict[str, object]) -> str | None:
    held = one.get("older_than")
    if not isinstance(held, dict):
        return None
    return (
        f"a scan of {_stamp(held.get('scanned_at'))} is held, this one is of {_stamp(one.get('scanned_at'))}"
    )


def _stamp(seconds: object) -> str:
    at = float(seconds) if isinstance(seconds, (int, float)) else 0.0
    return rfc3339(at, "seconds")


def _why(one: dict[str, object]) -> str:
    said = ": ".join(str(one[key]) for key in ("path", "message") if one.get(key))
    return f"{said} ({one['remedy']})" if one.get("remedy") else said
