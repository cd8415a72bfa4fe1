"""Scan results and all that can go wrong: nothing acknowledged is lost, nothing foreign counts."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from fedbus.bus.session import Message
from fedbus.model import events, subjects
from tests.faults.fleet import CONVERGE, FAST, Fleet, held, signal_bus, tamper
from tests.support import scans
from tests.support.daemons import Daemon, apply, eventually, group
from tests.support.intruder import Intruder, intruding
from tests.support.scan_master import ScanMaster

REGISTRY = {
    "name": "fed.hub",
    "registry_type": "Docker Registry",
    "registry": "https://registry.example.com/",
    "filters": ["*"],
}
COUNT = 40


class ScanFleet(Fleet):
    """A federation with a registry."""

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        super().__init__(root, names)
        self.scans = ScanMaster(root / "master", **FAST)
        self.master = self.scans

    async def begin(self) -> None:
        await super().begin()
        await self.master.post("/v1/fed/apply", {"documents": [{"kind": "registry", "spec": REGISTRY}]})

    async def put(self, first: int = 0, count: int = COUNT, **about: Any) -> None:
        body = {"first": first, "count": count, "vulnerabilities": 3} | about

        async def written() -> bool:
            status, answer = await self.master.call("POST", "/test/put", body)
            assert status in (200, 503), answer
            return status == 200

        await eventually(written, CONVERGE)

    async def equal(self, *names: str) -> dict[str, Any]:
        """Wait until the master shows the workers (all) synced, and it is true; return what all hold."""

        async def check() -> bool:
            status, summary = await self.master.call("GET", "/v1/fed/summary")
            if status != 200:
                return False
            rows = {r["id"]: r for r in summary["clusters"]}
            own = next(r for r in summary["clusters"] if r["role"] == "master")["scans"]
            return own["state"] == "synced" and all(
                (row := rows[self.ids[name]])["link"]["state"] == "online"
                and row["sync"]["state"] == row["scans"]["state"] == "synced"
                and row["scans"]["applied_version"] == own["head_version"]
                for name in names or self.workers
            )

        await eventually(check, CONVERGE)
        found: dict[str, Any] = {}

        async def same() -> bool:
            found.update({"master": await images(self.master)})
            return all([await images(self.workers[n]) == found["master"] for n in names or self.workers])

        await eventually(same)  # a file that turns out to be damaged is replaced behind the first look
        shown: dict[str, Any] = found["master"]
        return shown


async def images(daemon: Daemon) -> dict[str, Any]:
    """Return what a daemon shows, by tag; without what is older a moment later."""
    status, found = await daemon.call("GET", "/v1/scan/images?limit=1000&registry=fed.hub")
    if status == 503:
        return {"nothing": status}
    return {
        f"{i['repository']}:{i['tag']}": {k: v for k, v in i.items() if k != "age_seconds"}
        for i in found["images"]
    }


@asynccontextmanager
async def fleet(root: Path, *names: str) -> AsyncIterator[ScanFleet]:
    made = ScanFleet(root, names)
    try:
        await made.begin()
        yield made
    finally:
        await made.end()


async def later(f: ScanFleet, before: dict[str, Any]) -> None:
    """Check that nothing was lost and that later results still reach everybody."""
    await f.serving()
    after = await f.equal()
    assert {k: v for k, v in after.items() if k in before} == before
    await f.put(500, 2)
    assert len(await f.equal()) == len(after) + 2


def streams(f: ScanFleet) -> Path:
    (found,) = (f.master.directory / "bus" / "jetstream").glob("**/streams/SCANS")
    return found


def lose_the_stream(f: ScanFleet) -> None:
    shutil.rmtree(streams(f))


def flip_a_bit(f: ScanFleet) -> None:
    block = max((streams(f) / "msgs").glob("*.blk"))
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 0x10
    block.write_bytes(content)


@pytest.mark.parametrize("broken", [lose_the_stream, flip_a_bit], ids=lambda b: b.__name__)
async def test_a_damaged_stream_is_made_anew_and_policy_has_no_part_in_it(
    tmp_path: Path, broken: Callable[[ScanFleet], None]
) -> None:
    async with fleet(tmp_path, "a") as f:
        await f.put()
        await f.put(3, 5, scanned_at=1_790_000_000.0)
        before = await f.equal()
        assert await f.master.stop() == 0
        broken(f)
        await f.master.start()

        await later(f, before)

        assert await f.epoch() == 1
        assert "stream_rewritten" in f.master.log()


def delete(store: Path) -> None:
    for file in store.parent.glob("scans.db*"):
        file.unlink()


def overwrite(store: Path) -> None:
    store.write_bytes(os.urandom(store.stat().st_size))


def overwrite_pages(store: Path) -> None:
    content = bytearray(store.read_bytes())
    for page in range(len(content) // 4096 // 2, len(content) // 4096, 3):
        content[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    store.write_bytes(content)


def alter(store: Path) -> None:
    assert tamper(store, "UPDATE objects SET body=CAST('{}' AS BLOB) WHERE kind='image' AND rowid%3=0")
    assert tamper(store, "UPDATE objects SET revision=9 WHERE kind='report' AND rowid%4=0")
    assert tamper(store, "DELETE FROM objects WHERE kind='report' AND rowid%5=0")


BREAK = [delete, overwrite, overwrite_pages, alter]


@pytest.mark.parametrize("broken", BREAK, ids=lambda b: b.__name__)
@pytest.mark.parametrize("whose", ["master", "worker"])
async def test_a_broken_store_is_rebuilt(tmp_path: Path, whose: str, broken: Callable[[Path], None]) -> None:
    async with fleet(tmp_path, "a") as f:
        await f.put()
        before = await f.equal()
        daemon = f.master if whose == "master" else f.workers["a"]
        assert await daemon.stop() == 0
        broken(daemon.directory / "scans.db")
        await daemon.start()

        await later(f, before)


async def test_a_master_that_is_killed_again_and_again_loses_nothing_acknowledged(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        acknowledged: set[int] = set()
        stop = asyncio.Event()

        async def write() -> None:
            number = 0
            while not stop.is_set():
                try:
                    body = {"first": number, "count": 3, "vulnerabilities": 3}
                    status, _ = await f.master.call("POST", "/test/put", body)
                except (aiohttp.ClientError, OSError, RuntimeError, AttributeError):
                    await asyncio.sleep(0.05)
                    continue
                if status == 200:
                    acknowledged.update(range(number, number + 3))
                    number += 3

        async def more(count: int) -> None:
            wanted = len(acknowledged) + count

            async def enough() -> bool:
                return len(acknowledged) >= wanted

            await eventually(enough, 60)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            for _ in range(3):
                await more(30)
                await f.master.kill()
                await f.master.start()
            await more(30)
            stop.set()

        found = await f.equal()
        reports = [scans.report(n, vulnerabilities=0) for n in acknowledged]
        assert {f"{r.repository}:{r.tag}" for r in reports} <= found.keys()


async def test_a_worker_that_is_killed_while_it_takes_in_results_goes_on_where_it_was(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        worker = f.workers["a"]
        await worker.stop()
        await f.put(0, 400, vulnerabilities=60)
        for _ in range(2):
            await worker.start()

            async def begun() -> bool:
                row = (await worker.get("/v1/fed/summary"))["clusters"][0]
                return bool(row["scans"]["have"] > 0)

            await eventually(begun)
            await worker.kill()
        await worker.start()

        assert len(await f.equal()) == 400


async def _message(intruder: Intruder, subject: str) -> Message:
    return await intruder.connection.request(f"$JS.API.DIRECT.GET.SCANS.{subject}")


def _own(message: Message) -> dict[str, str]:
    return {k: v for k, v in message.headers.items() if k.startswith("ce-")}


async def test_what_the_master_did_not_write_counts_nowhere(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        await f.put(0, 10)
        await f.put(0, 1, scanned_at=1_790_000_000.0, vulnerabilities=2)
        before = await f.equal()
        wanted = scans.report(0, vulnerabilities=0)
        name = f"{wanted.registry}/{wanted.digest}"
        async with intruding(f.master.directory) as intruder:
            stranger = intruder.forge(
                "fed.hub/sha256:stranger", b"{}", category="scan", kind="report", scope="scans",
                type=events.SCAN_UPSERTED, signed=False,
            )  # fmt: skip
            genuine = await _message(intruder, msgspec.structs.replace(
                stranger, address=msgspec.structs.replace(stranger.address, name=name)).subject)  # fmt: skip
            await intruder.put(stranger)
            await intruder.publish(genuine.headers["Nats-Subject"], genuine.data[:-1] + b"x", _own(genuine))
            misplaced = intruder.forge(
                "fed.hub/elsewhere", msgspec.json.encode(wanted), category="scan", kind="report",
                scope="scans", type=events.SCAN_UPSERTED,
            )  # fmt: skip
            await intruder.put(misplaced)

        async def set_aside() -> bool:
            found = (await f.workers["a"].get("/v1/fed/quarantine"))["events"]
            return {"SIGNATURE_INVALID", "DIGEST_MISMATCH", "PAYLOAD_MISPLACED"} <= {e["code"] for e in found}

        await eventually(set_aside)
        await later(f, before)


async def test_an_old_result_that_is_played_again_does_not_come_back(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        await f.put(0, 3)
        await f.equal()
        wanted = scans.report(0, vulnerabilities=0)
        async with intruding(f.master.directory) as intruder:
            subject = f"fed.v1.ev.scans.scan.report.{subjects.escape(f'{wanted.registry}/{wanted.digest}')}"
            old = await _message(intruder, subject)
            await f.put(0, 1, scanned_at=1_790_000_000.0, vulnerabilities=2)
            before = await f.equal()
            await intruder.publish(subject, old.data, _own(old))

        async def covered() -> bool:
            return "foreign_event_covered" in f.master.log()

        await eventually(covered)
        await later(f, before)


async def test_an_emptied_stream_never_takes_results_away(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        await f.put()
        before = await f.equal()
        pid = signal_bus(f.master, signal.SIGKILL)
        await f.master.kill()
        assert pid
        lose_the_stream(f)
        delete(f.master.directory / "scans.db")  # both copies: only the worker has them now
        await f.master.start()
        await f.serving()

        await apply(f.master, group("later"))

        async def arrived() -> bool:
            return "fed.later" in await held(f.workers["a"])

        await eventually(arrived)
        assert await images(f.workers["a"]) == before


async def test_a_large_report_is_brought_back_from_either_copy(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        await f.put(0, 1, vulnerabilities=40_000)
        before = await f.equal()
        (bucket,) = (f.master.directory / "bus" / "jetstream").glob("**/streams/OBJ_scans")
        assert await f.master.stop() == 0
        shutil.rmtree(bucket)
        await f.master.start()
        await f.serving()
        worker = f.workers["a"]
        assert await worker.stop() == 0
        delete(worker.directory / "scans.db")
        await worker.start()
        assert await f.equal() == before

        assert await f.master.stop() == 0
        delete(f.master.directory / "scans.db")
        await f.master.start()
        await later(f, before)


async def test_objects_that_the_bus_loses_while_it_runs_are_put_there_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        await f.put(0, 1, vulnerabilities=40_000)
        before = await f.equal()
        worker = f.workers["a"]
        assert await worker.stop() == 0
        delete(worker.directory / "scans.db")
        await f.master.post("/test/lose")
        await worker.start()
        assert await f.equal() == before


async def test_a_cluster_that_leaves_keeps_none_of_the_results(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as f:
        await f.put()
        await f.equal()

        await f.workers["a"].post("/v1/fed/leave", {})
        await f.master.call("DELETE", f"/v1/fed/cluster/{f.ids['b']}")

        for worker in f.workers.values():

            async def empty(worker: Daemon = worker) -> bool:
                return not await images(worker)

            await eventually(empty, CONVERGE)
