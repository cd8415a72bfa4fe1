"""The HTTPS server of a daemon, and the note it leaves for the CLI on the same machine."""

import asyncio
import os
import ssl
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from fedbus.pki import files

GRACE = 5.0
"""Seconds a request in progress is given when the server stops."""

_log = structlog.get_logger("fedbus.web")


class DaemonNote(msgspec.Struct, frozen=True, kw_only=True):
    """What `<data>/daemon.json` says: how to reach the daemon that owns the directory."""

    url: str
    ca: str
    api_key_file: str
    pid: int
    role: str
    webhook: str = ""
    """Where the admission webhook answers."""


class RestServer:
    """Serves `app` over TLS; a service for `runtime.serve` (`run`), or started and stopped by hand.

    Port 0 takes any free port; `port` and `url` are known after `start`.
    """

    def __init__(self, app: web.Application, host: str, port: int, context: ssl.SSLContext) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE)
        self._host = host
        self._context = context
        self._note: Path | None = None
        self.port = port

    @property
    def url(self) -> str:
        """The address for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104 - read, not bound
        return f"https://{host}:{self.port}"

    async def start(self) -> None:
        """Bind and listen; raises OSError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        _log.info("rest_listening", url=self.url)

    def announce(self, data_dir: Path, *, ca: Path, api_key_file: Path, role: str, webhook: str = "") -> None:
        """Write `<data_dir>/daemon.json`, so that `fedbus --data-dir` needs no other flag."""
        note = DaemonNote(
            url=self.url,
            ca=str(ca.resolve()),
            api_key_file=str(api_key_file.resolve()),
            pid=os.getpid(),
            role=role,
            webhook=webhook,
        )
        self._note = data_dir / "daemon.json"
        files.write(self._note, msgspec.json.encode(note))

    async def stop(self) -> None:
        """Refuse new work, end event streams, give requests in progress GRACE seconds, close."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)
        await self._runner.cleanup()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; starts the server when nobody did."""
        try:
            if self._runner.server is None:
                await self.start()
            await stop.wait()
        finally:
            await self.stop()
