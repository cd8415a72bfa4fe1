"""Catch-up: a worker that was away starts, and holds the 10,000 events that it missed."""

import os
import statistics
import time
from pathlib import Path

import msgspec

from benchmarks import bare
from benchmarks.figures import Figure, figure
from benchmarks.population import Population
from benchmarks.scene import Scene, document, scene
from tests.support.daemons import apply

MISSED = 10_000
CHANGESET = 100
TURNS = 3
SECONDS = 60.0


async def measure(directory: Path) -> list[Figure]:
    """Return the seconds from the start of the process until everything is committed."""
    where = directory / "catch-up"
    where.mkdir()
    async with scene(where) as ready:
        first = await apply(ready.master, document("before", 0))
        for turn in range(TURNS):
            async with _worker(ready, turn) as worker:  # joins, reads what there is, and is away then
                await worker.marks(first["version"], SECONDS)
        for begin in range(0, MISSED, CHANGESET):
            documents = [document(f"g{n}", n) for n in range(begin, begin + CHANGESET)]
            head = (await apply(ready.master, *documents))["version"]
        took, floors = [], []
        os.environ[bare.ACCESS] = msgspec.json.encode(ready.access).decode()
        for turn in range(TURNS):
            drain = Population(where / "bare.log", ("benchmarks.bare_drain", str(MISSED)))
            floors.append(await _seconds(drain, MISSED))
            took.append(await _seconds(_worker(ready, turn), head))
    value, floor = statistics.median(took), statistics.median(floors)
    return [figure(f"catch-up of {MISSED:,} missed events, from the start", value, "s", floor)]


async def _seconds(population: Population, key: int) -> float:
    began = time.monotonic()
    async with population as process:
        return (await process.marks(key, SECONDS))[-1].at[0] - began


def _worker(ready: Scene, turn: int) -> Population:
    where, token = ready.directory / f"worker-{turn}", str(ready.token_file)
    return Population(
        ready.directory / "worker.log", ("benchmarks.worker_daemon", str(where), token, f"w{turn}")
    )
