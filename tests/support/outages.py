"""Ports under a test's control: taken away, given to somebody else, and given back."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fedbus.bus.server_process import find_binary
from tests.support.daemons import Daemon, eventually
from tests.support.intruder import bus_pid, bus_port


class Relay:
    """A port of its own in front of a server, so that a client's way there can be cut and restored.

    While it is cut nobody listens on the port, and a test may start whatever it likes there.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listen, on the port of the last time, and pass everything on."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection and stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(reader, far_writer))
            group.create_task(self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # cut
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


@asynccontextmanager
async def relayed(target: int) -> AsyncIterator[Relay]:
    """Run a relay to a port of this machine."""
    relay = Relay(target)
    await relay.open()
    try:
        yield relay
    finally:
        await relay.cut()


@asynccontextmanager
async def bus_down(master: Daemon) -> AsyncIterator[None]:
    """Kill the bus of a master and keep its port, so that it cannot come back until the end."""
    port = bus_port(master.directory)
    os.kill(bus_pid(master.directory), signal.SIGKILL)
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        async def taken() -> bool:
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                with contextlib.suppress(OSError, ValueError):  # it came back first
                    os.kill(bus_pid(master.directory), signal.SIGKILL)
                return False
            # Bound past what is left of the old server's connections, and now for nobody else beside us:
            # two sockets that both allow it share an address while none of them listens.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            return True

        await eventually(taken)
        await eventually(lambda: ready(master, expected=503))
        yield
    await eventually(lambda: ready(master))


async def ready(daemon: Daemon, *, expected: int = 200) -> bool:
    """Tell whether a daemon answers `/readyz` as expected."""
    status, _ = await daemon.call("GET", "/readyz")
    return status == expected


class Impostor:
    """Whoever answers on a port in the bus's place; keeps what it was told."""

    def __init__(self) -> None:
        self.visits = 0
        self.heard = bytearray()


@asynccontextmanager
async def plaintext_impostor(port: int = 0) -> AsyncIterator[tuple[int, Impostor]]:
    """Play a NATS server without TLS, as the protocol begins: it greets first."""
    impostor = Impostor()
    greeting = (
        b'INFO {"server_id":"N","version":"2.15.1","proto":1,"headers":true,"jetstream":true,'
        b'"max_payload":1048576,"auth_required":true,"nonce":"bm9uY2U"}\r\n'
    )

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        impostor.visits += 1
        writer.write(greeting)
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                impostor.heard += data
                known = b"CONNECT" in data or b"PING" in data
                writer.write(b"PONG\r\n" if known else b"-ERR 'Unknown Protocol Operation'\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(pretend, "127.0.0.1", port, reuse_address=True)
    try:
        yield server.sockets[0].getsockname()[1], impostor
    finally:
        server.close()


@asynccontextmanager
async def plaintext_nats_server(directory: Path, port: int) -> AsyncIterator[Path]:
    """Run a real nats-server without TLS and without authentication; yields its log."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "log"
    options = f"-DV -js -a 127.0.0.1 -p {port} -l {log} -sd {directory}".split()
    process = await asyncio.create_subprocess_exec(str(find_binary()), *options)
    try:

        async def ready() -> bool:
            return log.exists() and "Server is ready" in log.read_text()

        await eventually(ready)
        yield log
    finally:
        process.terminate()
        await process.wait()
