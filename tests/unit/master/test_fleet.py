"""The fleet: what silence and heartbeats make of a row."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from fedbus.bus.session import Connection, Message
from fedbus.errors import NotFound
from fedbus.master.audit import Audit
from fedbus.master.configuration import Configuration
from fedbus.master.fleet import Fleet
from fedbus.master.ledger import Ledger
from fedbus.model import codec
from fedbus.model.federation import Cluster, Federation, Heartbeat, RestInfo, Versions
from fedbus.runtime import Clock
from fedbus.settings import MasterSettings
from fedbus.store.database import Database
from tests.support.daemons import eventually

VERSIONS = Versions(fedbus="0")
SHOP = Cluster(
    id="c1", name="shop", nkey="", renew_nkey="", versions=VERSIONS, joined_at="2026-01-01T00:00:00Z"
)
HUB = Federation(id="f1", name="hub", created_at="2026-01-01T00:00:00Z", bus=RestInfo(), rest=RestInfo())


def fleet(tmp_path: Path, database: Database, seen: list[str]) -> Fleet:
    daemon = MasterSettings(data_dir=tmp_path, heartbeat_interval=0.05)
    configuration = Configuration(cast("Ledger", None), cast("Audit", None), daemon)
    return Fleet(database, HUB, Clock(), configuration, lambda row: seen.append(row.link.state))


def heartbeat() -> Message:
    beat = Heartbeat(sent_at=0.0, versions=VERSIONS, scopes={}, counts={})
    return Message("fed.v1.up.c1.hb", "", {}, codec.encode(beat))


async def test_a_cluster_that_was_offline_and_falls_silent_again_is_noticed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Message] = []

    async def attach(_reader: object, _after: object) -> int:
        return 0

    async def run(_reader: object, handle: object) -> None:
        await handle(heard)  # type: ignore[operator]

    monkeypatch.setattr("fedbus.master.fleet.Reader.attach", attach)
    monkeypatch.setattr("fedbus.master.fleet.Reader.run", run)
    stop, seen = asyncio.Event(), list[str]()
    async with Database(tmp_path / "store.db", "FULL") as database, asyncio.TaskGroup() as group:
        watched = fleet(tmp_path, database, seen)
        await watched.load([SHOP])
        group.create_task(watched.watch(stop))
        heard.append(heartbeat())
        for _ in range(2):
            seen.clear()
            await watched.follow(cast("Connection", None))

            async def silent() -> bool:
                return seen[-2:] == ["stale", "offline"]

            await eventually(silent)
            assert seen[0] == "online"
        stop.set()


async def test_a_cluster_nobody_has_seen_has_no_row(tmp_path: Path) -> None:
    async with Database(tmp_path / "store.db", "FULL") as database:
        with pytest.raises(NotFound):
            fleet(tmp_path, database, []).row("c2")
