"""An HTTPS server on an address: what REST API and webhook have in common."""

import asyncio
import ssl
from typing import Any

import structlog
from aiohttp import web

GRACE = 5.0
"""Seconds a request in progress is given when the server stops."""

_log = structlog.get_logger("fedbus.serving")


class HttpsServer:
    """Serves `app` over TLS; a service for `runtime.serve` (`run`), or started and stopped by hand.

    `name` is for the log, `options` are those of aiohttp's runner. Port 0 takes any free port; `port` and
    `url` are known after `start`.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        context: ssl.SSLContext,
        *,
        name: str,
        **options: Any,
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE, **options)
        self._context, self._name = context, name
        self.host, self.port = host, port

    @property
    def url(self) -> str:
        """The address for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"https://{host}:{self.port}"

    async def start(self) -> None:
        """Bind and listen; raises OSError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        _log.info(f"{self._name}_listening", url=self.url)

    async def stop(self) -> None:
        """Refuse new work, end event streams, give requests in progress GRACE seconds, close."""
        await self._runner.cleanup()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; starts the server when nobody did."""
        try:
            if self._runner.server is None:
                await self.start()
            await stop.wait()
        finally:
            await self.stop()
