"""The files of a bus that runs on its own: one nats-server, or several that keep the same streams.

Each node gets a directory: the configuration, its certificate with its key, and the CA. What the master
holds beside that (the keys that sign) no server needs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import msgspec

from fedbus.bus.server_config import Cluster, ServerSettings, render
from fedbus.errors import InvalidInput
from fedbus.model.names import check_cluster
from fedbus.pki.ca import Randomness
from fedbus.pki.keyring import Keyring

CONFIG = "nats-server.conf"
CERTIFICATE = "server.pem"
CA = "ca.pem"
CLIENT_PORT = 11443
ROUTE_PORT = 6222


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One nats-server: its name, and where clients and the other servers reach it."""

    name: str
    host: str
    port: int = CLIENT_PORT
    route_port: int = ROUTE_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME=HOST[:PORT[/ROUTE_PORT]]`. Raises InvalidInput."""
        name, equals, at = text.partition("=")
        try:
            check_cluster(name)
            parts = urlsplit(f"//{at}")
            route = int(parts.path.removeprefix("/") or ROUTE_PORT)
            port = parts.port or CLIENT_PORT
        except ValueError as error:
            raise _malformed(text) from error
        if not equals or not parts.hostname or not 0 < route < 65_536:
            raise _malformed(text)
        return cls(name=name, host=parts.hostname, port=port, route_port=route)

    @property
    def url(self) -> str:
        """Where clients connect, TLS first."""
        return f"tls://{_bracketed(self.host)}:{self.port}"

    @property
    def route(self) -> str:
        """Where the other servers connect."""
        return f"{_bracketed(self.host)}:{self.route_port}"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node has its files, and what it listens on."""

    configuration: Path = Path("/etc/nats")
    """The directory that the generated files are put into."""
    data: Path = Path("/var/lib/nats")
    """The directory that the server writes to."""
    listen: str = "0.0.0.0"  # noqa: S104 - workers dial in from other networks; TLS and JWTs guard the port


def files_of(
    node: Node,
    nodes: Sequence[Node],
    keyring: Keyring,
    layout: Layout,
    *,
    now: float,
    randomness: Randomness,
) -> dict[str, bytes]:
    """Return a node's files by name; `nodes` are all, the node among them.

    Raises ConfigError when the keyring is for somebody else's bus, InvalidInput for names that clash.
    """
    for what in ("name", "url", "route"):
        if len({getattr(one, what) for one in nodes}) < len(nodes):
            raise InvalidInput(f"two nodes have the same {what}")
    hosts = {node.host, "localhost", "127.0.0.1"}
    certificate = keyring.authority.issue(sorted(hosts), now=now, randomness=randomness, peer=len(nodes) > 1)
    cluster = Cluster(
        name=f"fedbus-{keyring.federation_id}",
        routes=tuple(one.route for one in nodes),
        host=layout.listen,
        port=node.route_port,
    )
    settings = ServerSettings(
        directory=layout.data,
        certificate_file=layout.configuration / CERTIFICATE,
        ca_file=layout.configuration / CA,
        operator_jwt=keyring.operator_jwt,
        system_account=keyring.system_account,
        # dated at the beginning of time: whatever is pushed later has revocations, and wins
        accounts=keyring.account_jwts(now=1),
        host=layout.listen,
        port=node.port,
        server_name=node.name,
        cluster=cluster if len(nodes) > 1 else None,
    )
    return {
        CONFIG: render(settings).encode(),
        CERTIFICATE: certificate.pem,
        CA: keyring.ca_pem,
    }


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _malformed(text: str) -> InvalidInput:
    return InvalidInput(
        f"{text!r} is no node", code="NODE_INVALID", remedy="write NAME=HOST[:PORT[/ROUTE_PORT]]"
    )
