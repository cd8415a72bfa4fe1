"""Join storm: a hundred workers join in the same moment, and hold the policy."""

import os
import statistics
from pathlib import Path

import msgspec

from benchmarks import bare
from benchmarks.bare import BEGAN
from benchmarks.figures import Figure, figure, percentile
from benchmarks.population import Population
from benchmarks.scene import Scene, document, scene
from tests.support.daemons import apply

WORKERS = 100
PROCESSES = 2
OBJECTS = 100
TURNS = 3
SECONDS = 60.0


async def measure(directory: Path) -> list[Figure]:
    """Return the seconds until half of them, and all, hold every object."""
    half: list[float] = []
    last: list[float] = []
    floors: list[tuple[float, float]] = []
    for turn in range(TURNS):
        where = directory / f"join-storm-{turn}"
        where.mkdir()
        async with scene(where) as ready:
            head = (await apply(ready.master, *(document(f"g{n}", n) for n in range(OBJECTS))))["version"]
            os.environ[bare.ACCESS] = msgspec.json.encode(ready.access).decode()
            await bare.make_stream((client := await ready.access.connect()).jetstream())
            await client.close()
            floors.append(await _storm(_consumers(where), 0))
            middle, end = await _storm(_workers(ready), head)
            half.append(middle)
            last.append(end)
    name = f"join storm of {WORKERS} workers"
    return [
        figure(f"{name}, half hold the policy", statistics.median(half), "s", _median(floors, 0)),
        figure(f"{name}, all hold the policy", statistics.median(last), "s", _median(floors, 1)),
    ]


def _median(pairs: list[tuple[float, float]], index: int) -> float:
    return statistics.median(pair[index] for pair in pairs)


async def _storm(population: Population, key: int) -> tuple[float, float]:
    """Return after how many seconds half of them, and all, have reached `key`."""
    async with population as fleet:
        began = min(await fleet.reached(BEGAN, SECONDS))
        times = await fleet.reached(key, SECONDS)
    return percentile(times, 50) - began, max(times) - began


def _workers(ready: Scene) -> Population:
    share, token = WORKERS // PROCESSES, str(ready.token_file)
    return Population(
        ready.directory / "workers.log",
        *(
            ("benchmarks.workers", str(ready.directory), token, str(n * share), str(share), str(share))
            for n in range(PROCESSES)
        ),
    )


def _consumers(directory: Path) -> Population:
    share = str(WORKERS // PROCESSES)
    return Population(directory / "bare.log", *([("benchmarks.bare", share)] * PROCESSES))
