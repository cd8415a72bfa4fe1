"""Commands against a small API on a real TLS server, found through the note in its data directory."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from typer.testing import CliRunner, Result

from fedbus.cli.main import app
from fedbus.errors import FedbusError, NotFound
from fedbus.web import respond
from fedbus.web.app import new_app
from fedbus.web.auth import Authenticator
from fedbus.web.server import RestServer
from fedbus.web.sse import Hub
from fedbus.web.tls import RestTls


class FakeApi:
    """Answers what the test laid down, and keeps what it was sent."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.hub = Hub()
        self.answers: dict[str, object | FedbusError | Callable[[], object]] = {}
        self.sent: list[tuple[str, object]] = []
        self.headers: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        asked = f"{request.method} {request.path}"
        raw = await request.read()
        is_json = request.content_type == "application/json" and raw
        self.sent.append((asked, respond.decode(raw, object) if is_json else raw.decode()))
        self.headers.append(request.headers.get("Idempotency-Key", ""))
        answer = self.answers.get(asked, NotFound(f"no answer for {asked}"))
        answer = answer() if callable(answer) else answer
        if isinstance(answer, FedbusError):
            raise answer
        return respond.json(answer)

    def bodies(self, asked: str) -> list[object]:
        return [body for what, body in self.sent if what == asked]


@pytest.fixture(autouse=True)
def _no_logs() -> Iterator[None]:
    """Keep the server's log out of what the command prints: they share a process here alone."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[FakeApi]:
    fake = FakeApi(tmp_path / "data")
    auth = Authenticator(fake.data_dir, clock=time.monotonic)
    tls = RestTls(fake.data_dir, ["127.0.0.1"], now=time.time(), randomness=os.urandom)  # noqa: TID251
    served = new_app(auth)
    fake.hub.attach(served)
    served.router.add_route("*", "/{path:.*}", fake.handle)
    server = RestServer(served, "127.0.0.1", 0, tls.context)
    await server.start()
    server.announce(fake.data_dir, ca=tls.ca_file, api_key_file=auth.api_key_file, role="master")
    fake.url = server.url
    yield fake
    await server.stop()


@pytest.fixture
def run(home: Path) -> Callable[..., Awaitable[Result]]:
    """Run a command line in a thread; the environment holds a HOME and what the test gives."""

    async def invoke(*line: str, stdin: str = "", **environ: str) -> Result:
        env = {name: None for name in os.environ if name.startswith(("FEDBUS_", "XDG_"))}
        return await asyncio.to_thread(
            CliRunner().invoke, app, list(line), input=stdin, env={**env, "HOME": str(home), **environ}
        )

    return invoke
