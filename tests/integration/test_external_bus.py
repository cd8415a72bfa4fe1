"""A bus that is not the master's child: the same keyring, a nats-server somebody else runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fedbus.bus.server_process import find_binary
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced


@contextlib.asynccontextmanager
async def nats_server(config: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        str(find_binary()), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_master_moves_to_an_external_bus_and_its_workers_come_along(tmp_path: Path) -> None:
    directory = tmp_path / "master"
    async with Daemon("worker", tmp_path / "a") as worker:
        async with Daemon("master", directory) as master:
            port = (await promoted(master))["port"]
            await joined(master, worker, "a")
            await apply(master, group("before"))
            await synced(master, 1)
            await master.stop()
        async with (
            nats_server(directory / "bus" / "nats-server.conf"),
            Daemon("master", directory, bus_urls=f"tls://127.0.0.1:{port}") as master,
        ):
            await synced(master, 1)
            await apply(master, group("after"))
            await synced(master, 1)
            names = {g["name"] for g in (await worker.get("/v1/group?scope=fed"))["groups"]}
            assert names == {"fed.before", "fed.after"}
            assert master.process is not None
            assert await master.stop() == 0


async def test_a_master_whose_bus_is_away_at_its_start_still_shows_its_fleet(tmp_path: Path) -> None:
    directory = tmp_path / "master"
    async with Daemon("worker", tmp_path / "a") as worker:
        async with Daemon("master", directory) as master:
            port = (await promoted(master))["port"]
            cluster = (await joined(master, worker, "a"))["id"]
            await apply(master, group("before"))
            await synced(master, 1)
            before = (await master.get("/v1/fed/summary"))["federation"]
            await master.stop()
        async with Daemon("master", directory, bus_urls=f"tls://127.0.0.1:{port}") as master:

            async def known() -> Any:
                status, summary = await master.call("GET", "/v1/fed/summary")
                assert (status, summary.get("reason")) in ((200, None), (503, "FEDERATION_STARTING"))
                return summary if status == 200 else None

            shown = await eventually(known)
            assert shown["federation"] == before
            assert [row["name"] for row in shown["clusters"]] == ["hub", "a"]
            assert (await master.get(f"/v1/fed/cluster/{cluster}"))["link"]["state"] == "never"
            status, answer = await master.call("POST", "/v1/fed/apply", {"documents": [group("lost")]})
            assert (status, answer["reason"]) == (503, "TCP_REFUSED")
