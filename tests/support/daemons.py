"""Real daemons as child processes, on ports the system hands out, in temporary directories."""

import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

START_SECONDS = 20.0


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


class Daemon:
    """One `fedbus master` or `fedbus worker` process and a client of its REST API."""

    def __init__(self, role: str, directory: Path, **settings: object) -> None:
        self.role, self.directory = role, directory
        self.settings = {"rest_port": 0} | ({"bus_port": 0} if role == "master" else {}) | settings
        self.process: asyncio.subprocess.Process | None = None
        self._client: aiohttp.ClientSession | None = None
        self.url = ""

    async def start(self) -> Self:
        """Start the process and wait until its REST API answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        note = self.directory / "daemon.json"
        note.unlink(missing_ok=True)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("FEDBUS_")}
        environ |= {f"FEDBUS_{k.upper()}": str(v) for k, v in self.settings.items()}
        log = (self.directory / "daemon.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fedbus", self.role, "--data-dir", str(self.directory),
            env=environ, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()

        async def announced() -> bool:
            assert self.process is not None
            if self.process.returncode is not None:
                raise AssertionError(f"{self.role} ended: {self.log()[-3000:]}")
            return note.exists()

        await eventually(announced, START_SECONDS)
        found = json.loads(note.read_text())
        self.url = found["url"]
        context = ssl.create_default_context(cafile=found["ca"])
        key = Path(found["api_key_file"]).read_text().strip()
        await self._close_client()
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), headers={"X-Auth-Apikey": key}
        )
        return self

    def log(self) -> str:
        """Return what the daemon has written so far."""
        return (self.directory / "daemon.log").read_text(errors="replace")

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
        """GET something that must be there."""
        status, body = await self.call("GET", path)
        assert status == 200, (status, body)
        return body

    async def post(self, path: str, body: object = None) -> dict[str, Any]:
        """POST something that must be accepted."""
        status, answer = await self.call("POST", path, body if body is not None else {})
        assert status in (200, 201), (status, answer)
        return answer

    async def stop(self) -> int:
        """Stop with SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            return await self.process.wait()

    async def kill(self) -> None:
        """Kill with SIGKILL."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

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
