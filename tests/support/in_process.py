"""A master inside the test's own process, whose clock the test moves."""

import asyncio
import json
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from fedbus.master.daemon import serve_master
from fedbus.runtime import Clock
from fedbus.settings import MasterSettings
from tests.support.daemons import START_SECONDS, Daemon, eventually


class MovedClock(Clock):
    """A clock that is `offset` seconds ahead of the machine's, behind if negative."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return super().now() + self.offset


class LocalMaster(Daemon):
    """A master as `Daemon` is one, without a process of its own; `clock` may be moved at any time."""

    def __init__(self, directory: Path) -> None:
        super().__init__("master", directory)
        self.clock = MovedClock()
        self._stop = asyncio.Event()
        self._group = asyncio.TaskGroup()

    async def start(self) -> Self:
        """Serve it and wait until its REST API answers."""
        settings = MasterSettings(data_dir=self.directory, rest_port=0, bus_port=0, webhook_port=0)
        self._group.create_task(serve_master(settings, self._stop, self.clock), name="local master")
        note = self.directory / "daemon.json"

        async def announced() -> bool:
            return note.exists()

        await eventually(announced, START_SECONDS)
        found = json.loads(note.read_text())
        self.url = found["url"]
        context = ssl.create_default_context(cafile=found["ca"])
        key = Path(found["api_key_file"]).read_text().strip()
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), headers={"X-Auth-Apikey": key}
        )
        return self

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_client()
        self._stop.set()
        await self._group.__aexit__(kind, error, trace)
