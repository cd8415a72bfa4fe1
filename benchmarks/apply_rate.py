"""Apply rate: a worker comes back to a backlog of 50,000 events, verified and durable."""

import statistics
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Figure, figure
from benchmarks.population import Population
from benchmarks.scene import Scene, document, scene
from benchmarks.stopwatch import Mark
from tests.support.daemons import apply

BACKLOG = 50_000
CHANGESET = 1000
TURNS = 3
SECONDS = 120.0


async def measure(directory: Path) -> list[Figure]:
    """Return the rate, and the CPU time an event costs the worker."""
    where = directory / "apply-rate"
    where.mkdir()
    async with scene(where) as ready:
        first = await apply(ready.master, document("before", 0))
        for turn in range(TURNS):
            async with _worker(ready, turn) as worker:  # joins, reads what there is, and is away then
                await worker.marks(first["version"], SECONDS)
        head = await _publish(ready)
        rates, costs, floors = [], [], []
        client = await ready.access.connect()
        for turn in range(TURNS):
            floors.append(await bare.drain(client.jetstream(), "POLICY", "fed.v1.ev.all.>", BACKLOG))
            async with _worker(ready, turn) as worker:
                rate, cost = _rate(await worker.marks(head, SECONDS))
            rates.append(rate)
            costs.append(cost)
        await client.close()
    return [
        figure("apply rate, backlog of 50,000", statistics.median(rates), "/s", statistics.median(floors)),
        figure("apply, worker CPU an event", statistics.median(costs) * 1e6, "us"),
    ]


def _worker(ready: Scene, turn: int) -> Population:
    where, token = ready.directory / f"worker-{turn}", str(ready.token_file)
    return Population(
        ready.directory / "worker.log", ("benchmarks.worker_daemon", str(where), token, f"w{turn}")
    )


async def _publish(ready: Scene) -> int:
    """Publish the backlog by REST, as changesets of a thousand objects; return the version after it."""
    head = 0
    for begin in range(0, BACKLOG, CHANGESET):
        documents = [document(f"g{n}", n) for n in range(begin, begin + CHANGESET)]
        head = (await apply(ready.master, *documents))["version"]
    return head


def _rate(marks: list[Mark]) -> tuple[float, float]:
    """Return events a second and CPU seconds an event, from the first commit to the last."""
    applied = sum(mark.amount for mark in marks[1:])
    seconds = marks[-1].at[0] - marks[0].at[0]
    return applied / seconds, (marks[-1].cpu - marks[0].cpu) / applied
