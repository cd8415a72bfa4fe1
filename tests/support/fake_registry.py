"""A registry that does what a test tells it to: wrong, slow, endless, or asking for a token."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

from aiohttp import web

from fedbus.core.registry.access import Address, Credentials
from fedbus.runtime import Clock
from fedbus.scan.oci.client import Client
from fedbus.scan.oci.transport import Transport

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
HASH = "sha256:" + "0" * 64

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PatientClock(Clock):
    """A clock whose delays are the shortest that are allowed."""

    def jitter(self) -> float:
        return 0.0


def manifest(**changes: Any) -> bytes:
    """Return a sound manifest, but for `changes`."""
    whole = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "size": 2, "digest": HASH},
        "layers": [{"mediaType": LAYER, "size": 100, "digest": HASH}],
        **changes,
    }
    return json.dumps(whole).encode()


class FakeRegistry:
    """Answers by path; `asked` is every request with its Authorization."""

    def __init__(self) -> None:
        self.answers: dict[str, Handle] = {}
        self.asked: list[tuple[str, str]] = []
        self.token_for = ""
        self.url = ""

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def client(self, credentials: Credentials | None = None) -> Client:
        address = Address("http", self.host)
        return Client(Transport(address, credentials or Credentials(), PatientClock()))

    def says(self, path: str, body: object, *, status: int = 200, **headers: str) -> None:
        """Have `path` answer something; bytes as they are, the rest as JSON."""
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = given.pop("Content-Type", "application/json")

        async def handle(_: web.Request) -> web.Response:
            return web.Response(body=raw, status=status, headers={**given, "Content-Type": kind})

        self.answers[path] = handle

    def holds(self, repository: str, tags: dict[str, bytes], kind: str = MANIFEST) -> None:
        """Have a repository with tags and their manifests."""
        self.says(f"/v2/{repository}/tags/list", {"name": repository, "tags": list(tags)})
        for tag, raw in tags.items():
            digest = f"sha256:{sha256(raw).hexdigest()}"
            for reference in (tag, digest):
                self.says(
                    f"/v2/{repository}/manifests/{reference}",
                    raw,
                    Content_Type=kind,
                    Docker_Content_Digest=digest,
                )

    def catalog(self, *repositories: str) -> None:
        self.says("/v2/", {})
        self.says("/v2/_catalog", {"repositories": repositories})

    def guard(self, user: str, password: str) -> None:
        """Want a token of this registry's own token service for everything."""
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()

        async def token(request: web.Request) -> web.Response:
            if request.headers.get("Authorization") != f"Basic {pair}":
                return web.Response(status=401)
            self.token_for = request.query_string
            return web.json_response({"token": "let-me-in", "expires_in": 300})

        self.answers["/token"] = token

    async def handle(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        self.asked.append((request.path_qs, authorization))
        if "/token" in self.answers and request.path != "/token" and authorization != "Bearer let-me-in":
            wanted = f'Bearer realm="{self.url}token",service="fake",scope="repository:a:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": wanted})
        answer = self.answers.get(request.path)
        return await answer(request) if answer else web.json_response({"errors": []}, status=404)


async def never(_: web.Request) -> web.Response:
    """Answer so late that nobody waits for it."""
    await asyncio.Event().wait()
    raise AssertionError


@asynccontextmanager
async def fake_registry() -> AsyncIterator[FakeRegistry]:
    fake = FakeRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield fake
    finally:
        await runner.cleanup()
