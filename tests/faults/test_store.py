"""A daemon's store is lost, damaged or altered: it is rebuilt from the bus (guarantees 1 and 7)."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fedbus.bus.session import Message
from fedbus.model import subjects
from tests.faults.fleet import CONVERGE, Fleet, fleet, held, signal_bus, tamper
from tests.support.daemons import Daemon, apply, eventually, group
from tests.support.intruder import intruding


def _delete(store: Path) -> None:
    for file in store.parent.glob("store.db*"):
        file.unlink()


def _overwrite(store: Path) -> None:
    store.write_bytes(os.urandom(store.stat().st_size))


def _overwrite_a_page(store: Path) -> None:
    content = bytearray(store.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    store.write_bytes(content)


BREAK = [_delete, _overwrite, _overwrite_a_page]


async def _filled(f: Fleet) -> dict[str, str]:
    for turn in range(2):
        await apply(f.master, *(group(f"g{n}", f"turn {turn}") for n in range(40)))
    await f.converged()
    return await held(f.master)


@pytest.mark.parametrize("broken", BREAK, ids=lambda b: b.__name__.strip("_"))
async def test_a_masters_broken_store_is_rebuilt_from_the_stream_with_members_and_tokens(
    tmp_path: Path, broken: Any
) -> None:
    async with fleet(tmp_path, "a") as f, Daemon("worker", tmp_path / "late") as late:
        expected = await _filled(f)
        token = await f.master.post("/v1/fed/join_token", {"uses": 2})
        used = (await f.master.get("/v1/fed/join_tokens"))["tokens"]
        before = (await f.master.get("/v1/fed/summary"))["federation"]
        assert await f.master.stop() == 0
        broken(f.master.directory / "store.db")
        await f.master.start()
        await f.serving()
        await f.converged()
        assert await held(f.master) == expected
        assert (await f.master.get("/v1/fed/summary"))["federation"] == before  # head and epoch too
        assert (await f.master.get("/v1/fed/join_tokens"))["tokens"] == used
        members = (await f.master.get("/v1/fed/member"))["joint_clusters"]
        assert [m["name"] for m in members] == ["a"]
        joined = await late.post("/v1/fed/join", {"name": "late", "join_token": token["join_token"]})
        f.workers["late"], f.ids["late"] = late, joined["id"]
        answer = await apply(f.master, group("g0", "later"))
        assert answer["changes"][0]["revision"] == 3  # counted on, not begun again
        await f.converged()


@pytest.mark.parametrize("broken", BREAK, ids=lambda b: b.__name__.strip("_"))
async def test_a_workers_broken_store_is_rebuilt(tmp_path: Path, broken: Any) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _filled(f)
        worker = f.workers["a"]
        assert await worker.stop() == 0
        broken(worker.directory / "store.db")
        await apply(f.master, group("g1", "while its store was broken"))
        await worker.start()
        await f.converged()
        assert (await held(worker)).keys() == expected.keys()


ALTER = {
    "a body": "UPDATE objects SET body=CAST(replace(body, 'turn 1', 'turn X') AS BLOB) WHERE name='fed.g1'",
    "the type of a body": "UPDATE objects SET body=replace(body, 'turn 1', 'turn X') WHERE name='fed.g2'",
    "a digest": "UPDATE objects SET digest=replace(digest, 'a', 'b') WHERE name='fed.g3'",
    "a revision": "UPDATE objects SET revision=999, epoch=9 WHERE name='fed.g4'",
    "a missing row": "DELETE FROM objects WHERE name='fed.g5'",
    "a mark of deletion": "UPDATE objects SET deleted=1 WHERE name='fed.g6'",
    "a name": "UPDATE objects SET name='fed.g7-other' WHERE name='fed.g7'",
    "an invention": (
        "INSERT INTO objects SELECT scope, kind, 'fed.own', category, epoch, revision, version, seq, digest,"
        " deleted, changed_at, encoding, body, statement, signature FROM objects WHERE name='fed.g8'"
    ),
    "a lost position": "DELETE FROM scopes WHERE scope='all'",
}
"""Ways to alter a store, each on an object of its own."""


async def test_altered_rows_are_never_served_after_a_start_and_are_repaired(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _filled(f)
        worker = f.workers["a"]
        assert await worker.stop() == 0
        for what, statement in ALTER.items():
            assert tamper(worker.directory / "store.db", statement) == 1, what
        bus = signal_bus(f.master, signal.SIGSTOP)  # nobody brings back what is wrong, for now
        try:
            await worker.start()
            found = await held(worker)
            assert {k: v for k, v in expected.items() if k not in found} == {
                f"fed.g{n}": "turn 1" for n in range(1, 8)
            }
            assert all(expected[name] == content for name, content in found.items())
        finally:
            os.kill(bus, signal.SIGCONT)
        await f.converged()
        assert await held(worker) == expected


async def test_rows_altered_under_a_running_worker_are_never_reported_as_synced_and_are_repaired(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _filled(f)
        worker = f.workers["a"]
        right = (await f.snapshot("a"))["all"]["digest"]
        reports: asyncio.Queue[Message] = asyncio.Queue()

        async def repaired() -> bool:
            return await held(worker) == expected

        async with (
            intruding(f.master.directory) as intruder,
            intruder.connection.subscription(subjects.up(f.ids["a"], "hb"), reports.put),
        ):
            for what in ("a body", "a digest", "a revision", "a missing row"):
                assert tamper(worker.directory / "store.db", ALTER[what]) == 1, what
                async with asyncio.timeout(10):  # a report tells what is there, not what should be
                    while json.loads((await reports.get()).data)["scopes"]["all"]["digest"] == right:
                        pass
                await eventually(repaired, CONVERGE)
                await f.converged()


async def test_a_forced_sync_repairs_what_no_report_has_noticed_yet(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _filled(f)
        worker = f.workers["a"]
        assert tamper(worker.directory / "store.db", ALTER["a body"]) == 1
        answer = await f.master.post("/v1/fed/deploy", {"ids": [f.ids["a"]], "force": True})
        assert answer == {"results": {f.ids["a"]: 0}}

        async def repaired() -> bool:
            return await held(worker) == expected

        await eventually(repaired, CONVERGE)
        await f.converged()
        assert '"force": true' in worker.log()


async def test_rows_altered_in_a_stopped_masters_store_are_brought_back_by_the_stream(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _filled(f)
        assert await f.master.stop() == 0
        for what, statement in ALTER.items():
            assert tamper(f.master.directory / "store.db", statement) == 1, what
        await f.master.start()
        await f.serving()
        await f.converged()
        assert await held(f.master) == expected
        assert await f.epoch() == 1
        answer = await apply(f.master, group("g3", "counted on"))
        assert answer["changes"][0]["revision"] == 3
        await f.converged()


async def test_a_failing_disk_is_no_reason_to_move_a_good_store_away(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _filled(f)
        worker = f.workers["a"]
        assert await worker.stop() == 0
        store = worker.directory / "store.db"
        aside = store.with_suffix(".real")
        store.rename(aside)
        store.mkdir()  # cannot be opened, as a disk that is gone
        with pytest.raises(AssertionError, match="ended"):
            await worker.start()
        store.rmdir()
        aside.rename(store)
        assert not list(worker.directory.glob("*.damaged-*"))
        await worker.start()
        assert await held(worker) == expected
