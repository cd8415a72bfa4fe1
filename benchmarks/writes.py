"""REST writes a second, single and in changesets, against bare publishes of the same messages."""

import statistics
import time
from pathlib import Path

from nats.aio.client import Client

from benchmarks import bare
from benchmarks.figures import Figure, figure
from benchmarks.rest import Rest
from benchmarks.scene import Scene, document, scene

PLANS = ((1, 200), (100, 10), (1000, 3))
"""Objects in a changeset, and changesets a turn."""
TURNS = 5


async def measure(directory: Path) -> list[Figure]:
    """Return objects a second for each size of a changeset."""
    where = directory / "writes"
    where.mkdir()
    async with scene(where) as ready:
        rest, client = await Rest.open(ready.master.directory), await ready.access.connect()
        writer = _Writer(rest)
        await writer.write(1)
        floor = await _Floor.prepare(ready, client)
        figures = [await _compare(writer, floor, size, changesets) for size, changesets in PLANS]
        await client.close()
        rest.close()
    return figures


async def _compare(writer: "_Writer", floor: "_Floor", size: int, changesets: int) -> Figure:
    rates: dict[str, list[float]] = {"writer": [], "floor": []}
    await writer.write(size)  # the objects are there, as they mostly are
    for _ in range(TURNS):
        for name, one in (("floor", floor), ("writer", writer)):
            began = time.monotonic()
            for _ in range(changesets):
                await one.write(size)
            rates[name].append(size * changesets / (time.monotonic() - began))
    name = "REST writes, single" if size == 1 else f"REST writes, changesets of {size:,}"
    return figure(name, statistics.median(rates["writer"]), "/s", statistics.median(rates["floor"]))


class _Writer:
    """Changes objects by REST, on one connection, one request after the other."""

    def __init__(self, rest: Rest) -> None:
        self._rest, self._number = rest, 0

    async def write(self, size: int) -> None:
        self._number += 1
        documents = [document(f"bench-{n}", self._number) for n in range(size)]
        await self._rest.send(self._rest.request("/v1/fed/apply", {"documents": documents}))


class _Floor:
    """Publishes the same bytes on the same server, and is told that they are on disk."""

    def __init__(self, client: Client, headers: dict[str, str], body: bytes) -> None:
        self._client, self._js, self._number = client, client.jetstream(), 0
        self._headers, self._body = headers, body

    @classmethod
    async def prepare(cls, ready: Scene, client: Client) -> "_Floor":
        """Take the newest event for a model."""
        await bare.make_stream(client.jetstream())
        model = await bare.newest(client, "group", "fed.bench-0")
        return cls(client, *model)

    async def write(self, size: int) -> None:
        self._number += 1
        if size == 1:
            await self._js.publish(bare.SUBJECT, self._body, headers=self._headers)
        else:
            await bare.publish_batch(self._client, self._headers, self._body, size, f"b{self._number}")
