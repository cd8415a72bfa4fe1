"""Publish to applied: REST request sent -> committed on the workers, against bare publish and fetch."""

import asyncio
import os
import time
from pathlib import Path

import msgspec
from nats.aio.client import Client

from benchmarks import bare
from benchmarks.figures import MS, Figure, figure, percentile
from benchmarks.population import Population
from benchmarks.rest import Rest
from benchmarks.scene import Scene, document, scene
from tests.support.daemons import synced


class Plan(msgspec.Struct, frozen=True):
    """How many workers in how many processes; how many publishes, in turns with the floor's."""

    workers: int
    processes: int
    turns: int
    publishes: int
    pause: float
    """Seconds between two publishes: a hundred workers on one machine report after each, and are let."""


PLANS = (Plan(1, 1, 8, 40, 0.02), Plan(10, 1, 6, 25, 0.1), Plan(100, 2, 4, 12, 0.7))
WARM_UP = 5
FLOOR_PAUSE = 0.1
"""Bare consumers report to nobody: what they wait for at most."""


async def measure(directory: Path) -> list[Figure]:
    """Return p50 and p99 for 1, 10 and 100 workers."""
    figures: list[Figure] = []
    for plan in PLANS:
        where = directory / f"latency-{plan.workers}"
        where.mkdir()
        async with scene(where) as ready:
            figures += await _measure(ready, plan)
    return figures


async def _measure(ready: Scene, plan: Plan) -> list[Figure]:
    async with _workers(ready, plan) as fleet:
        await synced(ready.master, plan.workers)
        rest = await Rest.open(ready.master.directory)
        probe = _Publisher(rest, fleet)
        for _ in range(WARM_UP):
            await probe.publish()
        async with _consumers(ready, plan) as consumers:
            floor = await _Floor.prepare(ready, consumers)
            for _ in range(plan.turns):
                for one, pause in ((floor, min(plan.pause, FLOOR_PAUSE)), (probe, plan.pause)):
                    for _ in range(plan.publishes):
                        await one.publish()
                        await asyncio.sleep(pause)
            await floor.close()
        rest.close()
    name = f"publish to applied, {plan.workers} worker{'s' * (plan.workers > 1)}"
    probe.samples = probe.samples[WARM_UP * plan.workers :]
    return [
        figure(
            f"{name}, p{percent}",
            percentile(probe.samples, percent) * MS,
            "ms",
            percentile(floor.samples, percent) * MS,
        )
        for percent in (50, 99)
    ]


def _workers(ready: Scene, plan: Plan) -> Population:
    log, token = ready.directory / "workers.log", str(ready.token_file)
    if plan.workers == 1:
        return Population(log, ("benchmarks.worker_daemon", str(ready.directory / "worker"), token, "w"))
    share = plan.workers // plan.processes
    return Population(
        log,
        *(
            ("benchmarks.workers", str(ready.directory), token, str(number * share), str(share))
            for number in range(plan.processes)
        ),
    )


def _consumers(ready: Scene, plan: Plan) -> Population:
    os.environ[bare.ACCESS] = msgspec.json.encode(ready.access).decode()
    share = str(plan.workers // plan.processes)
    return Population(ready.directory / "bare.log", *([("benchmarks.bare", share)] * plan.processes))


class _Publisher:
    """Changes one object by REST, again and again, and sees it committed on every worker."""

    def __init__(self, rest: Rest, fleet: Population) -> None:
        self._rest, self._fleet = rest, fleet
        self._number = 0
        self.samples: list[float] = []

    async def publish(self) -> None:
        self._number += 1
        body = {"documents": [document("bench", self._number)]}
        request = self._rest.request("/v1/fed/apply", body)
        began = time.monotonic()
        answer = await self._rest.send(request)
        self.samples += [at - began for at in await self._fleet.reached(answer["version"])]


class _Floor:
    """Publishes the same bytes, and sees every bare consumer have them."""

    def __init__(self, client: Client, headers: dict[str, str], body: bytes, consumers: Population) -> None:
        self._client, self._js, self._consumers = client, client.jetstream(), consumers
        self._headers, self._body = headers, body
        self.samples: list[float] = []

    @classmethod
    async def prepare(cls, ready: Scene, consumers: Population) -> "_Floor":
        """Take the newest event of the workers for a model, and wait for the consumers."""
        client = await ready.access.connect()
        js = client.jetstream()
        await bare.make_stream(js)
        headers, body = await bare.newest(client, "group", "fed.bench")
        await consumers.reached(0)
        return cls(client, headers, body, consumers)

    async def publish(self) -> None:
        began = time.monotonic()
        ack = await self._js.publish(bare.SUBJECT, self._body, headers=self._headers)
        self.samples += [at - began for at in await self._consumers.reached(ack.seq)]

    async def close(self) -> None:
        await self._client.close()
