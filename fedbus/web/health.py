"""`/livez`, `/readyz` and `/version`: open to everybody, and never dependent on each other.

Liveness does not look at the bus or the store: a bus that is away must not restart the daemons.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from fedbus import __version__
from fedbus.core import protocol
from fedbus.errors import FedbusError
from fedbus.web import respond
from fedbus.web.openapi import described

Check = Callable[[], Awaitable[None]]


def routes(checks: Mapping[str, Check], role: Callable[[], str]) -> list[web.RouteDef]:
    """Make the routes; a check raises FedbusError when its part is not ready."""

    @described("Tell that the daemon runs", open=True, tag="daemon")
    async def live(_request: web.Request) -> web.Response:
        return respond.json({"status": "ok"})

    @described("Tell whether the daemon can do its work; 503 with reasons if not", open=True, tag="daemon")
    async def ready(_request: web.Request) -> web.Response:
        reasons = {}
        for name, check in checks.items():
            try:
                await check()
            except FedbusError as error:
                reasons[name] = {"code": error.code, "message": error.message, "remedy": error.remedy}
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return respond.json(body, status=503 if reasons else 200)

    @described("Tell the version and the protocol range", open=True, tag="daemon")
    async def version(_request: web.Request) -> web.Response:
        spoken = {"min": protocol.OLDEST, "max": protocol.NEWEST}
        return respond.json({"version": __version__, "protocol": spoken, "role": role()})

    return [web.get("/livez", live), web.get("/readyz", ready), web.get("/version", version)]
