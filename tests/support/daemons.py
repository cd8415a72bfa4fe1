"""Real daemons as child processes, on ports the system hands out, in temporary directories."""

import asyncio
import json
import signal
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from fedbus.cli.demo import process
from fedbus.cli.demo.process import DaemonProcess
from fedbus.cli.errors import CliError

START_SECONDS = process.START_SECONDS


async def eventually(check: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
    """Return the first truthy result of `check`; fail with the last one when the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        last = await check()
        if last:
            return last
        if loop.time() > end:
            raise AssertionError(f"not within {seconds} s; last: {last!r}")
        await asyncio.sleep(0.02)


class Daemon(DaemonProcess):
    """One `fedbus master` or `fedbus worker` process and a client of its REST API."""

    def __init__(self, role: str, directory: Path, **settings: object) -> None:
        super().__init__(role, directory, settings)
        self._client: aiohttp.ClientSession | None = None
        self.url = ""

    async def start(self) -> Self:
        """Start the process and wait until its REST API answers."""
        try:
            await super().start()
        except CliError as error:
            raise AssertionError(f"{error.message}\n{self.log()[-3000:]}") from error
        self.url = self.reached_by.url
        context = ssl.create_default_context(cafile=self.reached_by.ca)
        key = Path(self.reached_by.api_key_file).read_text().strip()
        await self._close_client()
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), headers={"X-Auth-Apikey": key}
        )
        return self

    async def call(
        self, method: str, path: str, body: object = None, **kwargs: Any
    ) -> tuple[int, dict[str, Any]]:
        """Call the REST API; return status and JSON."""
        assert self._client is not None
        if body is not None:
            kwargs["json"] = body
        async with self._client.request(method, self.url + path, **kwargs) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else {}

    async def get(self, path: str) -> dict[str, Any]:
        """GET something that must be there, once a master that has just started knows it."""
        status, body = await self._started("GET", path, None)
        assert status == 200, (status, body)
        return body

    async def _started(self, method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
        async def answered() -> tuple[int, dict[str, Any]] | None:
            status, answer = await self.call(method, path, body)
            return None if answer.get("reason") == "FEDERATION_STARTING" else (status, answer)

        found: tuple[int, dict[str, Any]] = await eventually(answered)
        return found

    async def post(self, path: str, body: object = None) -> dict[str, Any]:
        """POST something that must be accepted."""
        status, answer = await self._started("POST", path, body if body is not None else {})
        assert status in (200, 201), (status, answer)
        return answer

    async def stop(self, grace: float = 15.0) -> int:
        """Stop with SIGTERM, and with nothing else; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(grace):
            return await self.process.wait()

    async def _close_client(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_client()
        await self.kill()


async def assessed_by(master: Daemon, cluster: str) -> None:
    """Wait until a cluster answers what the master asks over the bus."""
    path = f"/v1/fed/assess/admission/rule?cluster={cluster}"

    async def answered() -> bool:
        found = await master.post(path, {"kind": "Pod", "metadata": {"name": "asked"}})
        return [one["name"] for one in found["clusters"] if one["assessment"]] == [cluster]

    await eventually(answered)


async def promoted(master: Daemon, name: str = "hub") -> dict[str, Any]:
    """Promote a master."""
    return await master.post("/v1/fed/promote", {"name": name})


async def joined(master: Daemon, worker: Daemon, name: str, **token: object) -> dict[str, Any]:
    """Join a worker with a new token."""
    made = await master.post("/v1/fed/join_token", token)
    return await worker.post("/v1/fed/join", {"name": name, "join_token": made["join_token"]})


def group(name: str, comment: str = "") -> dict[str, Any]:
    """Return a document of a group."""
    criteria = [{"key": "namespace", "op": "=", "value": "shop"}]
    return {"kind": "group", "spec": {"name": f"fed.{name}", "comment": comment, "criteria": criteria}}


async def apply(master: Daemon, *documents: dict[str, Any]) -> dict[str, Any]:
    """Apply documents as one changeset."""
    return await master.post("/v1/fed/apply", {"documents": list(documents)})


async def synced(master: Daemon, count: int) -> list[dict[str, Any]]:
    """Wait until `count` joined workers are synced with the head; return their rows."""

    async def check() -> list[dict[str, Any]]:
        summary = await master.get("/v1/fed/summary")
        rows = [r for r in summary["clusters"] if r["role"] == "joint" and r["membership"] == "joined"]
        good = [r for r in rows if r["sync"]["state"] == "synced" and r["link"]["state"] == "online"]
        return good if len(good) == count else []

    rows: list[dict[str, Any]] = await eventually(check)
    return rows
