"""Real servers on loopback, with TLS as in production."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession, TCPConnector, web

from fedbus.pki.ca import client_context
from fedbus.web.server import RestServer
from fedbus.web.tls import RestTls

Serve = Callable[[web.Application], Awaitable[ClientSession]]


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> RestTls:
    data_dir = tmp_path_factory.mktemp("daemon")
    return RestTls(data_dir, ["127.0.0.1"], now=time.time(), randomness=os.urandom)  # noqa: TID251


@pytest.fixture
async def serve(tls: RestTls) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(app: web.Application) -> ClientSession:
            server = RestServer(app, "127.0.0.1", 0, tls.context)
            await server.start()
            stack.push_async_callback(server.stop)
            trust = client_context(tls.ca_file.read_bytes())
            return await stack.enter_async_context(
                ClientSession(server.url, connector=TCPConnector(ssl=trust))
            )

        yield start
