"""The summary, once and live."""

import asyncio
import io
import json
import re
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from rich.console import Console
from typer.testing import Result

from fedbus.cli import summary
from fedbus.cli.client import Api
from fedbus.cli.errors import CliError
from fedbus.cli.profiles import note
from fedbus.cli.summary import Board, Shown, follow
from fedbus.errors import Unauthorized
from fedbus.model.admission_events import AdmissionStats
from fedbus.model.federation import (
    AdmissionReport,
    ClusterReport,
    FederationHead,
    Link,
    ScanSync,
    SummaryRow,
    Sync,
    VersionState,
)
from fedbus.model.inventory import InventoryCounts

from .conftest import FakeApi

Run = Callable[..., Awaitable[Result]]


def row(
    name: str, *, applied: int = 4, head: int = 4, age: float | None = 1.0, link: str = "online"
) -> SummaryRow:
    return SummaryRow(
        id=f"id-{name}",
        name=name,
        role="joint",
        link=msgspec.convert({"state": link}, Link),
        sync=Sync(
            state="synced" if applied == head else "syncing",
            applied_version=applied,
            head_version=head,
            lag_versions=head - applied,
            lag_seconds=0.25,
        ),
        scans=ScanSync(state="syncing", have=12, total=40, bytes=3 * 2**19, total_bytes=5 * 2**20),
        version=VersionState(fedbus="0.1.0", protocol_min=1, protocol_max=2, protocol=1),
        membership="joined",
        status="synced",
        labels={"env": "prod"},
        last_heartbeat_age_seconds=age,
        cluster=ClusterReport(
            admission=AdmissionReport(stats=AdmissionStats(k8s_denied_requests=7)),
            inventory=InventoryCounts(hosts=3, running_pods=41),
        ),
    )


def shown(*rows: SummaryRow) -> Shown:
    return Shown(list(rows), FederationHead(id="f", name="hq", epoch=1, head_version=4))


async def test_the_summary_has_a_line_for_each_cluster(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/fed/summary"] = shown(row("east"), row("west", applied=2, age=None))

    done = await run("summary", "--data-dir", str(api.data_dir))

    heading, east, west = (re.split(r"\s{2,}", line) for line in done.stdout.splitlines())
    assert heading == [name for name, _ in summary.COLUMNS]
    assert east == [
        "east",
        "joint",
        "online",
        "synced",
        "4/4",
        "-",
        "12/40 (1.5/5.0 MiB)",
        "0.1.0",
        "1",
        "joined",
        "synced",
        "1 s",
        "0",
        "3",
        "41",
        "7",
        "-",
        "env=prod",
    ]
    assert west[3:6] == ["syncing", "2/4", "2 (0.2 s)"]
    assert west[11] == "never"


async def test_the_summary_as_json_is_what_the_api_says(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/fed/summary"] = shown(row("east"))

    done = await run("summary", "-o", "json", "--data-dir", str(api.data_dir))

    assert json.loads(done.stdout) == msgspec.to_builtins(shown(row("east")))


class Watcher:
    """Follows the API in this loop and hands on every batch of rows."""

    def __init__(self) -> None:
        self.board = Board()
        self.seen: asyncio.Queue[list[SummaryRow]] = asyncio.Queue()

    async def names(self) -> list[str]:
        async with asyncio.timeout(10):
            return [f"{one.name} {one.sync.applied_version}" for one in await self.seen.get()]


async def test_watching_shows_the_state_and_then_every_change(api: FakeApi) -> None:
    api.answers["GET /v1/fed/summary"] = shown(row("east"), row("west"))
    watcher = Watcher()
    async with Api(note(api.data_dir)) as client, asyncio.TaskGroup() as group:
        task = group.create_task(follow(client, watcher.board, watcher.seen.put_nowait))
        assert await watcher.names() == ["east 4", "west 4"]

        api.hub.publish("cluster", row("west", applied=5, head=5))
        api.hub.publish("policy", {"version": 9, "changeset": "x"})
        api.hub.publish("cluster", row("north"))

        assert await watcher.names() == ["west 5"]
        assert await watcher.names() == ["north 4"]
        assert watcher.board.federation is not None
        assert watcher.board.federation.head_version == 9
        api.answers["GET /v1/fed/summary"] = shown(row("east"))
        api.hub.publish("member", {"id": "id-west", "event": "removed"})
        assert await watcher.names() == ["east 4"]
        task.cancel()


async def test_watching_goes_on_after_the_stream_was_cut(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "FIRST_DELAY", 0.01)
    api.answers["GET /v1/fed/summary"] = shown(row("east"))
    watcher = Watcher()
    async with Api(note(api.data_dir)) as client, asyncio.TaskGroup() as group:
        task = group.create_task(follow(client, watcher.board, watcher.seen.put_nowait))
        assert await watcher.names() == ["east 4"]

        api.answers["GET /v1/fed/summary"] = shown(row("east", applied=6, head=6))
        for _ in range(300):  # more than a subscriber may lag: the hub cuts it
            api.hub.publish("cluster", row("flood"))

        while (seen := await watcher.names()) != ["east 6"]:
            assert seen[0].startswith(("flood", "east"))
        task.cancel()


async def test_watching_ends_when_trying_again_would_not_help(api: FakeApi) -> None:
    api.answers["GET /v1/fed/summary"] = Unauthorized("The session has ended")
    async with Api(note(api.data_dir)) as client:
        with pytest.raises(CliError, match="session has ended"):
            await follow(client, Board(), lambda _rows: None)


def test_ages_grow_between_events() -> None:
    now = 0.0
    board = Board(lambda: now)
    board.replace(shown(row("east", age=2.0), row("west", age=None)))

    now = 10.0

    assert [one.last_heartbeat_age_seconds for one in board.rows()] == [12.0, None]


def test_a_change_moves_the_master_and_the_head_of_who_is_away() -> None:
    board = Board()
    board.replace(
        shown(row("east"), row("west", link="offline"), msgspec.structs.replace(row("hq"), role="master"))
    )

    for version in (5, 6, 6):  # the last one was read with the state already
        board.take("policy", b'{"version": %d}' % version)

    syncs = {one.name: one.sync for one in board.rows()}
    assert (syncs["hq"].applied_version, syncs["hq"].head_version) == (6, 6)
    assert (syncs["west"].applied_version, syncs["west"].head_version, syncs["west"].lag_versions) == (
        4,
        6,
        2,
    )
    assert syncs["west"].state == "syncing"
    assert syncs["east"] == row("east").sync


def test_the_board_draws_the_master_first_and_takes_no_markup_from_names() -> None:
    board = Board()
    board.replace(shown(row("[red]a"), msgspec.structs.replace(row("hq"), role="master", id="m")))
    out = io.StringIO()
    console = Console(width=200, file=out)

    console.print(board.drawing())
    lines = out.getvalue().splitlines()

    assert lines[0].startswith("hq  epoch 1  version 4")
    assert [line.split()[0] for line in lines[1:]] == ["NAME", "hq", "[red]a"]
