"""A master that makes up scan results when it is asked to: `python -m tests.support.scan_master DIR`.

The same daemon, with a few routes more, which write as a registry's scan or a pipeline's submission does.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from aiohttp import web

from fedbus import config
from fedbus.bus.objects import Bucket
from fedbus.master import daemon, federated_scans
from fedbus.master.api import app as api
from fedbus.master.large import Large
from fedbus.master.lifecycle import Master
from fedbus.model.subjects import SCAN_SCOPES
from fedbus.web import respond
from fedbus.web.auth import Authenticator
from tests.support import scans
from tests.support.daemons import Daemon


class Put(msgspec.Struct):
    """Images by number, and what is said of each."""

    first: int
    count: int = 1
    registry: str = "fed.hub"
    scanned_at: float = 1_780_000_000.0
    vulnerabilities: int = 100
    tags: bool = True


def make_app(master: Master, auth: Authenticator) -> web.Application:
    app = _make_app(master, auth)

    async def put(request: web.Request) -> web.Response:
        body = await respond.body(request, Put)
        reports = [
            scans.report(
                number,
                registry=body.registry,
                scanned_at=body.scanned_at,
                vulnerabilities=body.vulnerabilities,
            )
            for number in range(body.first, body.first + body.count)
        ]
        images = [scans.image(one) for one in reports] if body.tags else []
        await master.federation().scans.results.put(reports, images)
        return respond.json({})

    async def remove(request: web.Request) -> web.Response:
        body = await respond.body(request, Put)
        reports = [scans.report(n, vulnerabilities=0) for n in range(body.first, body.first + body.count)]
        tags = [(one.repository, one.tag) for one in reports]
        await master.federation().scans.results.remove(body.registry, [r.digest for r in reports], tags)
        return respond.json({})

    async def collect(_request: web.Request) -> web.Response:
        federated = master.federation().scans
        await federated._large.collect(federated._connection())
        return respond.json({})

    async def objects(_request: web.Request) -> web.Response:
        connection = master.federation().scans._connection()
        return respond.json({s: len(await Bucket(connection, s).names()) for s in SCAN_SCOPES})

    async def lose(_request: web.Request) -> web.Response:
        for scope in SCAN_SCOPES:
            await master.federation().scans._connection().request(f"$JS.API.STREAM.PURGE.OBJ_{scope}")
        return respond.json({})

    app.add_routes([web.post("/test/lose", lose)])
    app.add_routes([web.post("/test/put", put), web.post("/test/remove", remove)])
    app.add_routes([web.post("/test/collect", collect), web.get("/test/objects", objects)])
    return app


_make_app = api.make_app


class ScanMaster(Daemon):
    """That daemon as a process."""

    def __init__(self, directory: Path, **settings: object) -> None:
        super().__init__("master", directory, **settings)

    @property
    def words(self) -> tuple[str, ...]:
        return ("-m", "tests.support.scan_master")

    async def put(self, first: int, count: int = 1, **about: Any) -> None:
        """Have it write the results of images `first` and so on."""
        await self.post("/test/put", {"first": first, "count": count} | about)

    async def remove(self, first: int, count: int = 1, **about: Any) -> None:
        """Have it remove the results of images `first` and so on."""
        await self.post("/test/remove", {"first": first, "count": count} | about)


if __name__ == "__main__":
    soon = partial(Large, grace=1.0)
    with mock.patch.object(api, "make_app", make_app), mock.patch.object(federated_scans, "Large", soon):
        sys.exit(config.main("master", daemon.run))
