"""Whoever answers on the federation port in the bus's place: at the first connect and at every later one.

The worker reaches the bus through a relay, so that the test can take the port away from it and give it
to somebody else, and back.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from fedbus.bus.server import EmbeddedServer
from fedbus.bus.server_config import ServerSettings
from fedbus.pki import files
from fedbus.pki.keyring import Keyring
from tests.support.daemons import Daemon, apply, eventually, group, promoted, synced
from tests.support.intruder import clock, credentials_of
from tests.support.outages import Relay, plaintext_impostor, plaintext_nats_server, relayed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_bad_servers")]


class Scene(NamedTuple):
    master: Daemon
    worker: Daemon
    relay: Relay
    candidate: Daemon


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("servers")
    async with (
        Daemon("master", base / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", base / "worker") as worker,
        Daemon("worker", base / "candidate") as candidate,
        relayed((await promoted(master))["port"]) as relay,
    ):
        token = (await master.post("/v1/fed/join_token"))["join_token"]
        await worker.post("/v1/fed/join", {"name": "worker", "join_token": token, "port": relay.port})
        await apply(master, group("standing"))
        await synced(master, 1)
        yield Scene(master, worker, relay, candidate)


@asynccontextmanager
async def bus_replaced(scene: Scene) -> AsyncIterator[int]:
    """Take the port away from the bus; yields it. At the end the worker must come back by itself."""
    await scene.worker.stop()  # each test begins with the shortest back-off
    await scene.worker.start()
    await synced(scene.master, 1)
    await scene.relay.cut()
    yield scene.relay.port
    await scene.relay.open()
    stamp = os.urandom(4).hex()
    await apply(scene.master, group("standing", stamp))

    async def applied() -> bool:
        found = await scene.worker.get("/v1/group/fed.standing?scope=fed")
        return bool(found["group"]["comment"] == stamp)

    await eventually(applied)


async def refusal(worker: Daemon) -> str:
    member = await worker.get("/v1/fed/member")
    assert member["membership"] == "joined"
    return member["refusal"]["code"] if member["refusal"] else ""


async def serves_its_policy(worker: Daemon) -> bool:
    return (await worker.call("GET", "/v1/group/fed.standing?scope=fed"))[0] == 200


def secrets_of(worker: Daemon) -> list[bytes]:
    bus, renew, _ = credentials_of(worker.directory)
    return [bus.jwt.encode(), bus.seed.encode(), renew.jwt.encode(), renew.seed.encode(), b"CONNECT"]


async def attempt(scene: Scene, port: int) -> tuple[str, tuple[int, dict[str, Any]]]:
    """Have the candidate join over a port; return its token and what it was told."""
    token = (await scene.master.post("/v1/fed/join_token"))["join_token"]
    body = {"name": "candidate", "join_token": token, "server": "127.0.0.1", "port": port}
    return token, await scene.candidate.call("POST", "/v1/fed/join", body)


async def test_a_plaintext_impostor_at_the_first_connect_is_refused_and_learns_nothing(scene: Scene) -> None:
    async with plaintext_impostor() as (port, impostor):
        token, (status, answer) = await attempt(scene, port)

    assert (status, answer["reason"]) == (403, "TLS_UNTRUSTED")
    assert impostor.visits >= 1
    assert b"CONNECT" not in impostor.heard
    assert token[100:160].encode() not in impostor.heard


async def test_a_plaintext_nats_server_at_the_first_connect_is_refused(scene: Scene, tmp_path: Path) -> None:
    async with plaintext_impostor() as (port, _):
        pass  # a port that is free
    async with plaintext_nats_server(tmp_path / "nats", port) as log:
        _, (status, answer) = await attempt(scene, port)
        said = log.read_text()

    assert (status, answer["reason"]) == (403, "TLS_UNTRUSTED")
    assert "Client connection created" in said
    assert "[CONNECT" not in said


async def test_a_plaintext_impostor_on_reconnect_is_refused_until_the_bus_is_back(scene: Scene) -> None:
    secrets = secrets_of(scene.worker)
    async with bus_replaced(scene) as port, plaintext_impostor(port) as (_, impostor):

        async def tried_again() -> bool:
            return impostor.visits >= 2 and await refusal(scene.worker) == "TLS_UNTRUSTED"

        await eventually(tried_again)
        assert not any(secret in impostor.heard for secret in secrets)
        assert await serves_its_policy(scene.worker)
        summary = await scene.worker.get("/v1/fed/summary")
        assert summary["clusters"][0]["link"]["state"] == "offline"


async def test_a_plaintext_nats_server_on_reconnect_is_refused_until_the_bus_is_back(
    scene: Scene, tmp_path: Path
) -> None:
    async with (
        bus_replaced(scene) as port,
        plaintext_nats_server(tmp_path / "nats", port) as log,
    ):

        async def tried() -> bool:
            return await refusal(scene.worker) == "TLS_UNTRUSTED"

        await eventually(tried)
        assert "Client connection created" in log.read_text()
        assert "[CONNECT" not in log.read_text()
        assert await serves_its_policy(scene.worker)


def another_bus(directory: Path, port: int, keyring: Keyring, certificate: Path) -> EmbeddedServer:
    """Return a bus with TLS first, whose certificate the worker has no reason to believe."""
    settings = ServerSettings(
        directory=directory / "bus",
        certificate_file=certificate,
        operator_jwt=keyring.operator_jwt,
        system_account=keyring.system_account,
        accounts=keyring.account_jwts(now=clock()),
        host="127.0.0.1",
        port=port,
        sync_always=False,
    )
    return EmbeddedServer(settings)


def stranger(scene: Scene, directory: Path) -> Keyring:
    """Return the keys of a federation that calls itself the same."""
    own = Keyring.load(scene.master.directory / "keyring")
    return Keyring.create(
        directory / "keyring",
        federation_id=own.federation_id,
        hosts=["127.0.0.1", "localhost"],
        now=clock(),
        randomness=os.urandom,
    )


async def test_a_server_of_another_authority_at_the_first_connect_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    keyring = stranger(scene, tmp_path)
    async with another_bus(tmp_path, 0, keyring, keyring.server_file) as server:
        _, (status, answer) = await attempt(scene, server.port)

    assert (status, answer["reason"]) == (403, "TLS_UNTRUSTED")
    assert "authentication" not in (tmp_path / "bus" / "nats-server.log").read_text().lower()


async def test_a_server_of_another_authority_on_reconnect_is_refused_until_the_bus_is_back(
    scene: Scene, tmp_path: Path
) -> None:
    keyring = stranger(scene, tmp_path)
    async with (
        bus_replaced(scene) as port,
        another_bus(tmp_path, port, keyring, keyring.server_file),
    ):

        async def tried() -> bool:
            return await refusal(scene.worker) == "TLS_UNTRUSTED"

        await eventually(tried)
        assert await serves_its_policy(scene.worker)
    assert "authentication" not in (tmp_path / "bus" / "nats-server.log").read_text().lower()


async def test_a_certificate_of_our_authority_for_another_host_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    keyring = Keyring.load(scene.master.directory / "keyring")
    certificate = tmp_path / "elsewhere.pem"
    issued = keyring.authority.issue(["elsewhere.example"], now=clock(), randomness=os.urandom)
    files.write(certificate, issued.pem)
    async with another_bus(tmp_path, 0, keyring, certificate) as server:
        _, (status, answer) = await attempt(scene, server.port)

    assert (status, answer["reason"]) == (403, "TLS_UNTRUSTED")


async def test_a_port_where_nobody_answers_is_unavailable_and_not_untrusted(scene: Scene) -> None:
    async with plaintext_impostor() as (port, _):
        pass

    _, (status, answer) = await attempt(scene, port)

    assert (status, answer["reason"]) == (503, "BUS_UNREACHABLE")
