"""`fedbus summary [--watch]`: every cluster in one table, live through the event stream."""

import asyncio
import random
import sys
import time
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from fedbus.cli.client import Api
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Column, Output, drawn, rows, say, text
from fedbus.cli.session import Session, command
from fedbus.core.backoff import delay
from fedbus.model.federation import FederationHead, SummaryRow

FIRST_DELAY = 0.5
LONGEST_DELAY = 10.0
"""Seconds between attempts to reach the daemon again."""


class Shown(msgspec.Struct):
    """What `/v1/fed/summary` answers; a worker has no federation head."""

    clusters: list[SummaryRow]
    federation: FederationHead | None = None


class _Version(msgspec.Struct):
    version: int = 0


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app)(summary)


async def summary(
    session: Session,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show every change.")] = False,
) -> None:
    """Show every cluster: its link, whether it holds the newest policy, and its version."""
    if watch:
        await _watch(session.api, session.form)
        return
    found = await session.api.get("/v1/fed/summary")
    shown = msgspec.convert(found, Shown)
    session.emit(found, lambda: _print(shown))


def _lag(row: SummaryRow) -> str:
    if row.sync.state == "unknown":
        return "?"
    return "-" if not row.sync.lag_versions else f"{row.sync.lag_versions} ({row.sync.lag_seconds:.1f} s)"


def _scans(row: SummaryRow) -> str:
    """Return how many scan results a cluster has of how many, and their bytes until it has all."""
    scans = row.scans
    if scans.state == "unknown":
        return "?"
    have = f"{scans.have}/{scans.total}"
    if scans.state == "synced":
        return have
    return f"{have} ({scans.bytes / 2**20:.1f}/{scans.total_bytes / 2**20:.1f} MiB)"


def _age(row: SummaryRow) -> str:
    seconds = row.last_heartbeat_age_seconds
    if row.role == "master":
        return "-"  # it does not report to itself
    if seconds is None:
        return "never"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _protocol(row: SummaryRow) -> object:
    """Return the agreed version; where there is none, the range that does not fit."""
    version = row.version
    spoken = f"{version.protocol_min}-{version.protocol_max}"
    return (version.protocol or spoken) if version.compatible else f"{spoken} (unsupported)"


COLUMNS: list[tuple[str, Callable[[SummaryRow], object]]] = [
    ("NAME", lambda row: row.name),
    ("ROLE", lambda row: row.role),
    ("LINK", lambda row: row.link.state),
    ("SYNC", lambda row: row.sync.state),
    ("APPLIED/HEAD", lambda row: f"{row.sync.applied_version}/{row.sync.head_version}"),
    ("LAG", _lag),
    ("SCANS", _scans),
    ("VERSION", lambda row: row.version.fedbus),
    ("PROTOCOL", _protocol),
    ("MEMBERSHIP", lambda row: row.membership),
    ("STATUS", lambda row: row.status),
    ("HEARTBEAT", _age),
    ("OWN", lambda row: row.own_objects),
    ("HOSTS", lambda row: row.cluster.inventory and row.cluster.inventory.hosts),
    ("PODS", lambda row: row.cluster.inventory and row.cluster.inventory.running_pods),
    ("DENIED", lambda row: row.cluster.admission and row.cluster.admission.stats.k8s_denied_requests),
    ("PARKED", lambda row: row.parked or None),
    ("LABELS", lambda row: row.labels or None),
]


class Board:
    """The rows as they are now, kept by events; ages grow between them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, tuple[SummaryRow, float]] = {}
        self.federation: FederationHead | None = None

    def replace(self, shown: Shown) -> None:
        """Take a whole summary."""
        self.federation = shown.federation
        self._rows = {row.id: (row, self._clock()) for row in shown.clusters}

    def take(self, event: str, data: bytes) -> SummaryRow | None:
        """Take one event and return the row it changed, if it did."""
        if event == "cluster":
            row = msgspec.json.decode(data, type=SummaryRow)
            self._rows[row.id] = (row, self._clock())
            return row
        if event == "policy" and self.federation is not None:
            version = msgspec.json.decode(data, type=_Version).version
            if version > self.federation.head_version:
                self._advance(self.federation, version)
        return None

    def _advance(self, federation: FederationHead, version: int) -> None:
        """Note one more changeset: the master has it, and no news will come of those that are away."""
        self.federation = msgspec.structs.replace(federation, head_version=version)
        for row, since in list(self._rows.values()):
            self._rows[row.id] = (_at_head(row, version), since)

    def rows(self) -> list[SummaryRow]:
        """Return the rows by name, the master first, with ages as of now."""
        now = self._clock()
        aged = [
            row
            if row.last_heartbeat_age_seconds is None
            else msgspec.structs.replace(
                row, last_heartbeat_age_seconds=row.last_heartbeat_age_seconds + now - since
            )
            for row, since in self._rows.values()
        ]
        return sorted(aged, key=lambda row: (row.role != "master", row.name))

    def drawing(self) -> Group:
        """Draw the board for a terminal."""
        cells = [[text(value(row)) for _, value in COLUMNS] for row in self.rows()]
        return Group(
            Text(_headline(self.federation), style="bold"), drawn([name for name, _ in COLUMNS], cells)
        )


def _at_head(row: SummaryRow, version: int) -> SummaryRow:
    """Return a row as it is after one more changeset; of who is online news comes by itself."""
    sync = row.sync
    if row.role == "master":
        sync = msgspec.structs.replace(sync, applied_version=version, head_version=version)
    elif row.membership == "joined" and row.link.state == "offline":
        sync = msgspec.structs.replace(
            sync, state="syncing", head_version=version, lag_versions=sync.lag_versions + 1
        )
    return msgspec.structs.replace(row, sync=sync)


async def _watch(api: Api, form: Output) -> None:
    board = Board()
    if form is not Output.TABLE or not sys.stdout.isatty():
        as_line = _json if form is Output.JSON else _line
        await follow(api, board, lambda changed: _print_lines(changed, as_line))
        return
    with Live(get_renderable=board.drawing, refresh_per_second=4):
        await follow(api, board, lambda _changed: None)


def _print_lines(changed: list[SummaryRow], as_line: Callable[[SummaryRow], str]) -> None:
    for row in changed:
        typer.echo(as_line(row))


async def follow(api: Api, board: Board, show: Callable[[list[SummaryRow]], None]) -> None:
    """Keep `board` true for ever: subscribe, then read the state, so that nothing falls between.

    Ends only by an error that trying again would not mend.
    """
    attempt = 0
    while True:
        try:
            async for event, data in api.events("cluster,member,policy,status,applied,lost"):
                attempt = 0
                if event in {"", "member", "status", "applied", "lost"}:
                    board.replace(msgspec.convert(await api.get("/v1/fed/summary"), Shown))
                    show(board.rows())
                elif (row := board.take(event, data)) is not None:
                    show([row])
        except CliError as error:
            if error.code not in {ExitCode.UNREACHABLE, ExitCode.UNAVAILABLE} or not board.rows():
                raise
            say(f"{error.message}; trying again")
        attempt += 1
        await asyncio.sleep(delay(attempt, random.random(), base=FIRST_DELAY, cap=LONGEST_DELAY))


def _print(shown: Shown) -> None:
    if sys.stdout.isatty():
        say(_headline(shown.federation))
    columns: list[Column] = [(name, _of_record(value)) for name, value in COLUMNS]
    rows(columns, [{"row": row} for row in shown.clusters], empty="No clusters")


def _of_record(value: Callable[[SummaryRow], object]) -> Callable[[dict[str, object]], object]:
    def read(record: dict[str, object]) -> object:
        row = record["row"]
        assert isinstance(row, SummaryRow)  # noqa: S101 - `_print` puts nothing else there
        return value(row)

    return read


def _line(row: SummaryRow) -> str:
    return " ".join(text(value(row)) for _, value in COLUMNS)


def _json(row: SummaryRow) -> str:
    return msgspec.json.encode(row).decode()


def _headline(federation: FederationHead | None) -> str:
    if federation is None:
        return "This cluster"
    return f"{text(federation.name)}  epoch {federation.epoch}  version {federation.head_version}"
