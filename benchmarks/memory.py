"""Resident memory of real daemons after the main job; the floor is Python with the same libraries."""

import asyncio
import sys
from pathlib import Path

import psutil

from benchmarks.figures import Figure, figure
from benchmarks.scene import document
from tests.support.daemons import Daemon, apply, joined, promoted, synced

OBJECTS = 500
SETTLE_SECONDS = 12.0
"""Over one heartbeat interval, so that everything idle has run once."""
MIB = 1024 * 1024

_LIBRARIES = """
import aiohttp.web, cryptography.x509, msgspec, nats, nacl.signing
import psutil, sqlite3, structlog, uvloop, zstandard
print(psutil.Process().memory_info().rss)
"""


async def measure(directory: Path) -> list[Figure]:
    """Return the resident memory of worker, master and nats-server."""
    floor = await _libraries()
    where = directory / "memory"
    async with Daemon("master", where / "master") as master, Daemon("worker", where / "worker") as worker:
        await promoted(master)
        await joined(master, worker, "w")
        for content in range(2):
            for begin in range(0, OBJECTS, 50):
                await apply(master, *(document(f"g{n}", content) for n in range(begin, begin + 50)))
        await synced(master, 1)
        await asyncio.sleep(SETTLE_SECONDS)
        assert master.process is not None
        assert worker.process is not None
        (server,) = psutil.Process(master.process.pid).children()
        return [
            figure("memory, worker idle", _resident(worker.process.pid), "MiB", floor),
            figure("memory, master idle", _resident(master.process.pid), "MiB", floor),
            figure("memory, nats-server idle", _resident(server.pid), "MiB"),
        ]


def _resident(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / MIB


async def _libraries() -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LIBRARIES, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return int(out) / MIB
