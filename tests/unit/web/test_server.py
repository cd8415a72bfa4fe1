"""The server and its note."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientConnectorCertificateError, ClientSession, web

from fedbus.web.app import new_app
from fedbus.web.server import DaemonNote, RestServer
from fedbus.web.sse import Hub
from fedbus.web.tls import RestTls


async def test_a_free_port_is_taken_and_noted_for_the_cli(tls: RestTls, tmp_path: Path) -> None:
    server = RestServer(new_app(), "127.0.0.1", 0, tls.context)
    await server.start()
    server.announce(tmp_path, ca=tls.ca_file, api_key_file=tmp_path / "api-key", role="worker")

    note = msgspec.json.decode((tmp_path / "daemon.json").read_bytes(), type=DaemonNote)
    assert note == DaemonNote(
        url=f"https://127.0.0.1:{server.port}",
        ca=str(tls.ca_file),
        api_key_file=str(tmp_path / "api-key"),
        pid=os.getpid(),
        role="worker",
    )
    await server.stop()
    assert not (tmp_path / "daemon.json").exists()


async def test_as_a_service_it_serves_until_told_to_stop_and_ends_event_streams(tls: RestTls) -> None:
    hub, app, stop = Hub(), new_app(), asyncio.Event()
    hub.attach(app)
    server = RestServer(app, "127.0.0.1", 0, tls.context)
    await server.start()
    async with asyncio.TaskGroup() as group, ClientSession() as client:
        group.create_task(server.run(stop), name="rest")
        stream = await client.get(f"{server.url}/v1/events", ssl=False)
        stop.set()
        async with asyncio.timeout(3):  # less than the grace: nothing is waited for
            await stream.read()


async def test_a_client_that_trusts_other_authorities_does_not_connect(tls: RestTls) -> None:
    server = RestServer(web.Application(), "127.0.0.1", 0, tls.context)
    await server.start()
    async with ClientSession() as client:
        with pytest.raises(ClientConnectorCertificateError):
            await client.get(server.url)
    await server.stop()


def test_the_address_for_this_machine_is_one_that_can_be_reached(tls: RestTls) -> None:
    assert RestServer(web.Application(), "0.0.0.0", 1, tls.context).url == "https://127.0.0.1:1"  # noqa: S104
    assert RestServer(web.Application(), "host", 1, tls.context).url == "https://host:1"
