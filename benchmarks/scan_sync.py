"""Scan results to workers from cold, what policy notices of it, and one large report.

`FEDBUS_BENCH_REPORTS` takes fewer reports than 10,000.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks import bare
from benchmarks.bare import Access
from benchmarks.figures import MS, Figure, figure, percentile
from benchmarks.rest import Rest
from benchmarks.scan_worker import Commit
from benchmarks.scene import document
from fedbus.model import subjects
from tests.support.daemons import promoted
from tests.support.scan_master import ScanMaster

REPORTS = int(os.environ.get("FEDBUS_BENCH_REPORTS", "10000"))
AT_ONCE = 100
SECONDS = 180.0
LATENCIES = 150
PAUSE = 0.03
LARGE = 5_600
"""Vulnerabilities of a report of 3.8 MB."""
REGISTRY = {
    "name": "fed.hub",
    "registry_type": "Docker Registry",
    "registry": "https://registry.example.com/",
    "filters": ["*"],
}


class Child:
    """A worker in a process of its own, and the commits it has told of."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.commits: list[Commit] = []
        self._more = asyncio.Event()

    async def read(self) -> None:
        """Take its lines until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.commits.append(msgspec.json.decode(line, type=Commit))
            self._more.set()

    def of(self, scope: str) -> list[Commit]:
        """Return the commits that changed something in a scope."""
        return [c for c in self.commits if c.scope == scope and c.applied]

    async def reached(self, scope: str, version: int) -> Commit:
        """Wait for the commit of a version."""
        async with asyncio.timeout(SECONDS):
            while True:
                self._more.clear()
                for commit in self.commits:
                    if commit.scope == scope and commit.version >= version:
                        return commit
                await self._more.wait()

    async def first(self, scope: str) -> None:
        """Wait for the first commit in a scope."""
        async with asyncio.timeout(SECONDS):
            while not self.of(scope):
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def child(where: Path, token_file: Path, name: str) -> AsyncIterator[Child]:
    """Start a worker that joins; it ends at the end."""
    with (where / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.scan_worker", str(where / name), str(token_file), name,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    made = Child(process)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(made.read())
        try:
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            reading.cancel()


async def measure(directory: Path) -> list[Figure]:
    """Return rates, sizes, and latencies of policy beside."""
    where = directory / "scan-sync"
    async with ScanMaster(where / "master") as master:
        await promoted(master)
        await master.post("/v1/fed/apply", {"documents": [{"kind": "registry", "spec": REGISTRY}]})
        made = await master.post("/v1/fed/join_token", {"uses": 20})
        token_file = where / "token"
        token_file.write_text(made["join_token"])
        for first in range(0, REPORTS, AT_ONCE):
            await master.put(first, min(AT_ONCE, REPORTS - first))
        member = await master.get("/v1/fed/member")
        access = Access.of(where / "master", member["master_cluster"]["rest_info"])
        client = await access.connect()
        js = client.jetstream()
        info = await js.stream_info("SCANS")
        head = await _head(master)
        floor = await bare.drain(js, "SCANS", "fed.v1.ev.scans.>", 2 * REPORTS) / 2
        await client.close()
        rest = await Rest.open(where / "master")
        figures = []
        async with child(where, token_file, "one") as one:
            rate, cost, busy = await _cold(rest, one, head)
            figures += [
                figure(f"scan sync, {REPORTS:,} reports, 1 worker", rate, "results/s", floor),
                figure("scan sync, worker CPU a result", cost * 1e6, "us"),
                figure("scan sync, bytes a result", info.state.bytes / REPORTS, "B"),
            ]
            idle = await _latencies(rest, one, LATENCIES)
            for percent in (50, 99):
                figures.append(
                    figure(
                        f"policy during scan sync, p{percent}",
                        percentile(busy, percent) * MS,
                        "ms",
                        percentile(idle, percent) * MS,
                    )
                )
            figures.append(
                figure("large report, 3.8 MB, submit to present", await _large(master, one) * MS, "ms")
            )
        async with contextlib.AsyncExitStack() as stack:
            five = [await stack.enter_async_context(child(where, token_file, f"w{n}")) for n in range(5)]
            head = await _head(master)
            ends = [(await one.reached(subjects.SCOPE_SCANS, head)).at for one in five]
            begun = min(one.of(subjects.SCOPE_SCANS)[0].at for one in five)
            together = figure(
                "scan sync, 5 workers at once, each", REPORTS / (max(ends) - begun), "results/s"
            )
            figures.append(together)
        rest.close()
    return figures


async def _head(master: ScanMaster) -> int:
    rows = (await master.get("/v1/fed/summary"))["clusters"]
    return next(int(r["scans"]["head_version"]) for r in rows if r["role"] == "master")


async def _cold(rest: Rest, one: Child, head: int) -> tuple[float, float, list[float]]:
    """Return results a second, CPU a result, and the latencies of policy meanwhile."""
    await one.first(subjects.SCOPE_SCANS)
    async with asyncio.TaskGroup() as group:
        done = group.create_task(one.reached(subjects.SCOPE_SCANS, head))
        busy: list[float] = []
        while not done.done():
            busy += await _latencies(rest, one, 1)
    commits = one.of(subjects.SCOPE_SCANS)
    begun, ended = commits[0], done.result()
    results = sum(c.applied for c in commits[1:] if c.at <= ended.at) / 2
    return results / (ended.at - begun.at), (ended.cpu - begun.cpu) / results, busy


async def _latencies(rest: Rest, one: Child, count: int) -> list[float]:
    """Change one group so many times; return how long each took until the worker had committed it."""
    samples = []
    for number in range(count):
        body = {"documents": [document("bench", time.monotonic_ns() + number)]}
        request = rest.request("/v1/fed/apply", body)
        began = time.monotonic()
        answer = await rest.send(request)
        samples.append((await one.reached(subjects.SCOPE_ALL, answer["version"])).at - began)
        await asyncio.sleep(PAUSE)
    return samples


async def _large(master: ScanMaster, one: Child) -> float:
    """Return how long a report of 3.8 MB takes; the first one has it made up, the second is measured."""
    await master.put(900_000, vulnerabilities=LARGE)
    head = await _head(master)
    began = time.monotonic()
    await master.put(900_000, vulnerabilities=LARGE, scanned_at=1_790_000_000.0, tags=False)
    return (await one.reached(subjects.SCOPE_SCANS, head + 1)).at - began
