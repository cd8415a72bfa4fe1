"""`/livez`, `/readyz` and `/version`: open to everybody, and never dependent on each other.

Liveness does not look at the bus or the store: a bus that is away must not restart the daemons.
Readiness writes to the disk and is open to everybody: it is found out once a second, whoever asks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from fedbus import __version__
from fedbus.core import protocol
from fedbus.errors import FedbusError
from fedbus.web import respond
from fedbus.web.openapi import described

Check = Callable[[], Awaitable[None]]
Reasons = dict[str, dict[str, str]]

READY_SECONDS, NOT_READY_SECONDS = 1.0, 0.1
"""How long an answer holds; a bad one less, since what is wrong may be over or turn into something else."""


class Readiness:
    """What the checks found, no more often than that and never twice at a time."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks, self._asking = checks, asyncio.Lock()
        self._found: Reasons = {}
        self._until = float("-inf")

    async def reasons(self) -> Reasons:
        """Return why the daemon is not ready; empty if it is."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() >= self._until:
                self._found = await self._look()
                self._until = loop.time() + (NOT_READY_SECONDS if self._found else READY_SECONDS)
            return self._found

    async def _look(self) -> Reasons:
        reasons = {}
        for name, check in self._checks.items():
            try:
                await check()
            except FedbusError as error:
                reasons[name] = {"code": error.code, "message": error.message, "remedy": error.remedy}
        return reasons


def routes(checks: Mapping[str, Check], role: Callable[[], str]) -> list[web.RouteDef]:
    """Make the routes; a check raises FedbusError when its part is not ready."""
    readiness = Readiness(checks)

    @described("Tell that the daemon runs", open=True, tag="daemon")
    async def live(_request: web.Request) -> web.Response:
        return respond.json({"status": "ok"})

    @described("Tell whether the daemon can do its work; 503 with reasons if not", open=True, tag="daemon")
    async def ready(_request: web.Request) -> web.Response:
        reasons = await readiness.reasons()
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return respond.json(body, status=503 if reasons else 200)

    @described("Tell the version and the protocol range", open=True, tag="daemon")
    async def version(_request: web.Request) -> web.Response:
        spoken = {"min": protocol.OLDEST, "max": protocol.NEWEST}
        return respond.json({"version": __version__, "protocol": spoken, "role": role()})

    return [web.get("/livez", live), web.get("/readyz", ready), web.get("/version", version)]
