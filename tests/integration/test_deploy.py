"""`POST /v1/fed/deploy`: tell one cluster, some, or every one to compare itself with the master."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[tuple[Daemon, Daemon, str]]:
    async with Daemon("master", tmp_path / "master") as master, Daemon("worker", tmp_path / "a") as worker:
        await promoted(master)
        cluster = (await joined(master, worker, "a"))["id"]
        await apply(master, group("web"))
        await synced(master, 1)
        yield master, worker, cluster


async def resyncs(worker: Daemon, count: int) -> None:
    async def told() -> bool:
        events = [json.loads(line).get("event") for line in worker.log().splitlines() if line.startswith("{")]
        return events.count("resync") == count

    await eventually(told)


async def test_without_ids_every_cluster_is_told(scene: tuple[Daemon, Daemon, str]) -> None:
    master, worker, cluster = scene
    for number, body in enumerate(({}, {"force": True}), start=1):
        assert await master.post("/v1/fed/deploy", body) == {"results": {cluster: 0}}
        await resyncs(worker, number)
    await synced(master, 1)


async def test_a_cluster_that_could_not_be_told_is_named_with_its_reason(
    scene: tuple[Daemon, Daemon, str],
) -> None:
    master, _, cluster = scene
    answer = await master.post("/v1/fed/deploy", {"ids": ["nobody", cluster, cluster]})
    assert answer["results"] == {"nobody": 3, cluster: 0}
    assert answer["errors"]["nobody"]["code"] == "CLUSTER_UNKNOWN"


async def test_an_order_that_reaches_nobody_is_an_error(scene: tuple[Daemon, Daemon, str]) -> None:
    master, _, _ = scene
    found: list[Any] = []
    for ids in (["nobody"], []):
        status, problem = await master.call("POST", "/v1/fed/deploy", {"ids": ids})
        found.append((status, problem["reason"]))
    assert found == [(404, "CLUSTER_UNKNOWN"), (422, "INVALID_INPUT")]
