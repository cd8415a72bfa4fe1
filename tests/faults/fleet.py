"""A federation of real processes to break: short intervals, a writer that keeps a record, faults by hand."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp

from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Message
from tests.support import validator
from tests.support.daemons import Daemon, eventually, group, joined, promoted
from tests.support.intruder import bus_pid, intruding
from tests.support.validator import Write

FAST = {"heartbeat_interval": 0.5, "checkpoint_interval": 0.5}
CONVERGE = 40.0
"""Seconds within which everybody must be equal again, back-off of up to 15 s between sessions included."""


class Fleet:
    """One master and its workers, by name."""

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        self.master = Daemon("master", root / "master", **FAST)
        self.workers = {name: Daemon("worker", root / name) for name in names}
        self.ids: dict[str, str] = {}

    async def begin(self) -> None:
        """Start everybody, promote, join."""
        async with asyncio.TaskGroup() as group:
            for daemon in (self.master, *self.workers.values()):
                group.create_task(daemon.start())
        await promoted(self.master)
        for name, worker in self.workers.items():
            self.ids[name] = (await joined(self.master, worker, name))["id"]
        await self.converged()

    async def end(self) -> None:
        """Kill what is left, a bus that a failed test left standing still too: it does not hear its end."""
        for daemon in (self.master, *self.workers.values()):
            await daemon.__aexit__(None, None, None)
        with contextlib.suppress(OSError):
            pid = bus_pid(self.master.directory)
            if str(self.master.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    async def serving(self) -> None:
        """Wait until the master takes writes again."""

        async def ready() -> bool:
            return (await self.master.call("GET", "/readyz"))[0] == 200

        await eventually(ready, CONVERGE)

    async def row(self, name: str) -> dict[str, Any]:
        """Return the master's row of one worker."""
        summary = await self.master.get("/v1/fed/summary")
        found: dict[str, Any] = next(r for r in summary["clusters"] if r["id"] == self.ids[name])
        return found

    async def epoch(self) -> int:
        """Return the federation's epoch."""
        return int((await self.master.get("/v1/fed/summary"))["federation"]["epoch"])

    async def converged(self, *names: str) -> None:
        """Wait until the master shows these workers (all) online and synced, and it is true."""
        wanted = names or tuple(self.workers)

        async def check() -> bool:
            status, summary = await self.master.call("GET", "/v1/fed/summary")
            if status != 200:
                return False
            rows = {r["id"]: r for r in summary["clusters"]}
            head = summary["federation"]["head_version"]
            return all(
                (row := rows.get(self.ids[n])) is not None
                and row["link"]["state"] == "online"
                and row["sync"]["state"] == "synced"
                and row["sync"]["digests_equal"]
                and row["sync"]["applied_version"] >= head
                for n in wanted
            )

        await eventually(check, CONVERGE)
        expected = await held(self.master)
        for name in wanted:
            assert await held(self.workers[name]) == expected, name

    async def snapshot(self, name: str) -> dict[str, dict[str, Any]]:
        """Return a worker's own scopes."""
        scopes: dict[str, dict[str, Any]] = (await self.workers[name].get("/v1/fed/summary"))["scopes"]
        return scopes


@asynccontextmanager
async def fleet(root: Path, *names: str) -> AsyncIterator[Fleet]:
    """Run a federation of a master and these workers."""
    made = Fleet(root, names)
    try:
        await made.begin()
        yield made
    finally:
        await made.end()


async def held(daemon: Daemon) -> dict[str, str]:
    """Return the groups a daemon serves: name and comment."""
    found = await daemon.get("/v1/group?scope=fed")
    return {g["name"]: g.get("comment", "") for g in found["groups"]}


class Writer:
    """Writes until told to stop; asks again with the same key until it knows what became of each write."""

    def __init__(self, master: Daemon, objects: int = 6) -> None:
        self.master, self.objects = master, objects
        self.acknowledged: list[Write] = []
        self.unknown = 0

    async def run(self, stop: asyncio.Event, lane: int = 0) -> None:
        """Write one after the other; every third write is a changeset of two objects.

        No object is written more than 60 times: the stream has the last 64 revisions of each, and the judge
        wants all.
        """
        number = 0
        while not stop.is_set():
            number += 1
            series = f"lane{lane}" if number < 180 else f"lane{lane}-{number // 180}"
            names = [f"{series}-{number % self.objects}"]
            if number % 3 == 0:
                names.append(f"{series}-more")
            await self.write(f"lane {lane} write {number}", *names)

    async def write(self, content: str, *names: str) -> None:
        """Write one changeset, as often as it takes."""
        body = {"documents": [group(name, content) for name in names]}
        answer = await self._asked(body, {"Idempotency-Key": content.replace(" ", "-")})
        changed = {c["name"]: c for c in answer["changes"]}
        for name in names:
            change = changed[f"fed.{name}"]
            assert change["op"] in ("created", "updated"), answer
            self.acknowledged.append(Write(f"fed.{name}", answer["epoch"], change["revision"], content))

    async def _asked(self, body: object, headers: dict[str, str]) -> dict[str, Any]:
        async def once() -> dict[str, Any] | None:
            try:
                status, answer = await self.master.call(
                    "POST", "/v1/fed/apply", body, headers=headers, timeout=aiohttp.ClientTimeout(total=12)
                )
            except (aiohttp.ClientError, OSError, RuntimeError, TimeoutError, json.JSONDecodeError):
                self.unknown += 1
                return None  # it went away, before or after: who knows
            if status == 503:
                self.unknown += 1
                return None
            assert status == 200, answer
            return answer

        found: dict[str, Any] = await eventually(once, 60.0)
        return found


@asynccontextmanager
async def writing(writer: Writer, lanes: int = 2, first_lane: int = 0) -> AsyncIterator[Callable[[int], Any]]:
    """Write in the background; inside, await the yielded function to see so many more acknowledged."""
    stop = asyncio.Event()

    async def more(count: int) -> None:
        wanted = len(writer.acknowledged) + count

        async def enough() -> bool:
            return len(writer.acknowledged) >= wanted

        await eventually(enough, 60.0)

    async with asyncio.TaskGroup() as group:
        for lane in range(first_lane, first_lane + lanes):
            group.create_task(writer.run(stop, lane))
        try:
            yield more
        finally:
            stop.set()


async def history(master: Daemon) -> list[Write]:
    """Return every policy event on the stream, oldest first."""
    async with intruding(master.directory) as intruder:
        return await history_on(intruder.connection)


async def history_on(connection: Connection) -> list[Write]:
    """Return every policy event on the stream, oldest first."""
    found: list[Write] = []
    reader = Reader(connection, "POLICY", "validator", "fed.v1.ev.all.>")
    if await reader.attach(0):
        async with contextlib.aclosing(reader.batches()) as batches:
            async for batch in batches:
                found += [_write(m) for m in batch]
                if batch[-1].pending == 0:
                    break
    await reader.detach()
    return found


def _write(message: Message) -> Write:
    h = message.headers
    body = json.loads(message.data) if message.data else {}
    return Write(
        body.get("name", message.subject),
        int(h["ce-fbepoch"]),
        int(h["ce-fbrevision"]),
        body.get("comment", ""),
    )


def journal(worker: Daemon) -> list[Write]:
    """Return what a worker with a journal applied."""
    rows = validator.read_journal(worker.directory / "store.db")
    return [
        Write(name, epoch, revision, json.loads(body).get("comment", "") if body else "")
        for name, epoch, revision, body in rows
    ]


def signal_bus(master: Daemon, number: signal.Signals) -> int:
    """Send a signal to the nats-server of a master; return its process id."""
    pid = bus_pid(master.directory)
    os.kill(pid, number)
    return pid


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def tamper(store: Path, statement: str, *values: object) -> int:
    """Change a daemon's SQLite file from outside; return how many rows."""
    with closing(sqlite3.connect(store, timeout=10)) as database, database:
        return database.execute(statement, values).rowcount


def blocks(master: Daemon) -> list[Path]:
    """Return the files that hold the messages of the policy stream."""
    found = (master.directory / "bus" / "jetstream").glob("**/streams/POLICY/msgs/*.blk")
    return sorted(found)
