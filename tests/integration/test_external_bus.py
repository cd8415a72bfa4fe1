"""A bus that is not the master's child: the same keyring, a nats-server somebody else runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fedbus.bus.server_process import find_binary
from tests.support.daemons import Daemon, apply, group, joined, promoted, synced


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
