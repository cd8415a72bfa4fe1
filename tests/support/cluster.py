"""A bus of several real nats-servers on loopback, from the files that `fedbus bus config` writes."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fedbus.bus import topology
from fedbus.bus.deployment import CONFIG, Layout, Node, files_of
from fedbus.bus.server_process import find_binary, tied_to_this_process
from fedbus.bus.session import Connection, Endpoint, connect
from fedbus.errors import FedbusError
from fedbus.pki import files
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Keyring
from tests.support.daemons import eventually

START_SECONDS = 40.0
"""Three servers on a busy machine choose a leader of leaders, then one for each stream."""


def clock() -> float:
    return time.time()  # noqa: TID251 - the servers judge by the machine's clock


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Server:
    """One nats-server process."""

    def __init__(self, name: str, url: str, config: Path) -> None:
        self.name, self.url, self.config = name, url, config
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *tied_to_this_process(find_binary(), "-c", str(self.config)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()


class Cluster:
    """Servers that keep the same streams, and a client with the master's rights."""

    def __init__(self, servers: Sequence[Server], ca_pem: bytes) -> None:
        self.servers = {server.name: server for server in servers}
        self._ca_pem = ca_pem
        self.credentials: Credentials | None = None
        """The master's; set once there are accounts."""

    @property
    def urls(self) -> str:
        """As the setting has them."""
        return ",".join(server.url for server in self.servers.values())

    @asynccontextmanager
    async def client(self, *names: str, who: Credentials | None = None) -> AsyncIterator[Connection]:
        """Connect to one of these servers, or to any; as the master, or as `who`."""
        credentials = who or self.credentials
        assert credentials is not None
        at = tuple(server.url for name, server in self.servers.items() if name in (names or self.servers))
        async with connect("test", Endpoint(at, self._ca_pem), credentials) as connection:
            yield connection

    async def info(self, stream: str = topology.POLICY) -> dict[str, Any]:
        """Return what the stream's leader says of it; empty while nobody does."""
        try:
            async with self.client() as connection:
                reply = await connection.request(f"$JS.API.STREAM.INFO.{stream}", timeout=2.0)
                found: dict[str, Any] = json.loads(reply.data)
                return {} if "error" in found else found
        except FedbusError:
            return {}

    async def leader(self, stream: str = topology.POLICY) -> Server:
        """Return the server that leads a stream."""

        async def known() -> str:
            return str((await self.info(stream)).get("cluster", {}).get("leader", ""))

        return self.servers[await eventually(known, START_SECONDS)]

    async def whole(self) -> None:
        """Wait until every stream has a leader and every server of it is there and has caught up."""

        async def caught_up() -> bool:
            for stream in topology.STREAMS:
                group = (await self.info(stream.name)).get("cluster", {})
                peers = group.get("replicas", [])
                if not group.get("leader") or len(peers) + 1 < len(self.servers):
                    return False
                if any(peer.get("offline") or not peer.get("current") for peer in peers):
                    return False
            return True

        await eventually(caught_up, START_SECONDS)


def files_for_loopback(keyring: Keyring, root: Path, count: int = 3) -> list[Server]:
    """Write what each server needs, on free ports."""
    ports = free_ports(2 * count)
    nodes = [
        Node(name=f"n{i}", host="127.0.0.1", port=ports[2 * i], route_port=ports[2 * i + 1])
        for i in range(count)
    ]
    servers = []
    for node in nodes:
        home = files.make_directory(root / node.name)
        layout = Layout(configuration=home, data=files.make_directory(home / "data"), listen="127.0.0.1")
        made = files_of(node, nodes, keyring, layout, now=clock(), randomness=os.urandom)
        for name, content in made.items():
            files.write(home / name, content)
        servers.append(Server(node.name, node.url, home / CONFIG))
    return servers


@asynccontextmanager
async def running(servers: Sequence[Server], keyring: Keyring) -> AsyncIterator[Cluster]:
    """Run servers of a keyring of ours; ready when JetStream answers."""
    cluster = Cluster(servers, keyring.ca_pem)
    cluster.credentials = keyring.credentials("master", "test", now=clock(), randomness=os.urandom)
    try:
        for server in servers:
            await server.start()

        async def stores() -> bool:
            try:
                async with cluster.client() as connection:
                    reply = await connection.request("$JS.API.INFO", timeout=2.0)
                    return "error" not in json.loads(reply.data)
            except FedbusError:
                return False

        await eventually(stores, START_SECONDS)
        yield cluster
    finally:
        for server in servers:
            await server.end()
