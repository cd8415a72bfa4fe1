"""The text of nats-server's configuration. Pure: settings in, text out.

Every limit that has a default elsewhere is written down, so that another server version changes nothing.
Sources: nats-server 2.15 `server/opts.go`; what we measured of it is said beside the setting.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from fedbus.errors import ConfigError

RANDOM_PORT: Final = 0
MONITOR_OFF: Final = 0
# nats-server's own word for "any free port"; 0 would mean its default port
_ANY_PORT: Final = -1


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a server one of several that keep the same streams."""

    name: str
    routes: tuple[str, ...]
    """Every server's `host:port` for the others, its own included."""
    host: str = "0.0.0.0"  # noqa: S104 - the others dial in; both sides show a certificate of the CA
    port: int = 6222


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between servers."""

    directory: Path
    """Everything the server writes is below it."""
    certificate_file: Path
    """The server's certificate, its CA and its key, as PEM in one file."""
    operator_jwt: str
    system_account: str
    accounts: Mapping[str, str]
    """Account public key to JWT: the system account, the federation's and its members'."""
    host: str = "0.0.0.0"  # noqa: S104 - workers dial in from other networks; TLS and JWTs guard the port
    port: int = RANDOM_PORT
    """0 takes a free port."""
    monitor_port: int = MONITOR_OFF
    """Port of the HTTP monitor on 127.0.0.1; 0 turns it off."""
    server_name: str = "fedbus"
    max_payload: int = 1024 * 1024
    """Bytes in one message, its headers included."""
    max_connections: int = 20_000
    memory_bytes: int = 512 * 1024**2
    file_bytes: int = 50 * 1024**3
    log_bytes: int = 10 * 1024**2
    """Size at which the server's log file is put aside; three old ones are kept."""
    sync_always: bool = True
    """Whether an acknowledged message is on disk, not just handed to the operating system."""
    ca_file: Path | None = None
    """The CA that the other servers' certificates are of; needed with `cluster`."""
    cluster: Cluster | None = None

    @property
    def jwt_directory(self) -> Path:
        """Where the resolver keeps the account JWTs that were pushed."""
        return self.directory / "jwt"

    @property
    def log_file(self) -> Path:
        """What the server has to say."""
        return self.directory / "nats-server.log"

    @property
    def pid_file(self) -> Path:
        """The server's process id while it runs."""
        return self.directory / "nats-server.pid"


def render(settings: ServerSettings) -> str:
    """Write the configuration. Raises ConfigError when a value cannot be put into one."""
    lines = [*_listener(settings), *_tls(settings)]
    if settings.cluster is not None:
        lines += _cluster(settings, settings.cluster)
    lines += [*_jetstream(settings), *_accounts(settings)]
    return "\n".join(lines) + "\n"


def _listener(settings: ServerSettings) -> list[str]:
    monitor = [f'http: "127.0.0.1:{settings.monitor_port}"'] if settings.monitor_port else []
    return [
        f"server_name: {_quote(settings.server_name)}",
        f"host: {_quote(settings.host)}",
        f"port: {settings.port or _ANY_PORT}",
        *monitor,
        f"ports_file_dir: {_quote(settings.directory)}",
        f"pid_file: {_quote(settings.pid_file)}",
        f"log_file: {_quote(settings.log_file)}",
        f"log_size_limit: {settings.log_bytes}",
        "log_max_num: 4",
        f"max_payload: {settings.max_payload}",
        f"max_connections: {settings.max_connections}",
        "max_control_line: 4KB",
        "max_pending: 64MB",
        'write_deadline: "10s"',
        'ping_interval: "30s"',
        "ping_max: 3",
        "authorization { timeout: 5 }",
    ]


def _tls(settings: ServerSettings) -> list[str]:
    return [
        "tls {",
        f"  cert_file: {_quote(settings.certificate_file)}",
        f"  key_file: {_quote(settings.certificate_file)}",
        # Without it nats-py takes a server that offers no TLS for an answer, and goes on in plain text.
        "  handshake_first: true",
        "  timeout: 5",
        "}",
    ]


def _cluster(settings: ServerSettings, cluster: Cluster) -> list[str]:
    return [
        "cluster {",
        f"  name: {_quote(cluster.name)}",
        f"  host: {_quote(cluster.host)}",
        f"  port: {cluster.port}",
        f"  routes: [{', '.join(_quote(f'tls://{route}') for route in cluster.routes)}]",
        # whoever gets onto a route is a server to the others, and reads everything
        "  tls {",
        f"    cert_file: {_quote(settings.certificate_file)}",
        f"    key_file: {_quote(settings.certificate_file)}",
        f"    ca_file: {_quote(settings.ca_file or '')}",
        "    verify: true",
        "    timeout: 5",
        "  }",
        "  no_advertise: true",
        "}",
    ]


def _jetstream(settings: ServerSettings) -> list[str]:
    sync = "always" if settings.sync_always else '"2m"'
    return [
        # the space before a brace is not taste: `jetstream{` is a parse error
        "jetstream {",
        # the server appends "jetstream" to it
        f"  store_dir: {_quote(settings.directory)}",
        f"  max_mem: {settings.memory_bytes}",
        f"  max_file: {settings.file_bytes}",
        f"  sync_interval: {sync}",
        '  limits { max_request_batch: 2000, duplicate_window: "2m", batch { max_msgs: 1000 } }',
        "}",
        # nats-py 2.16 stops reading, without an error, on the second form of acknowledgement subjects
        "feature_flags { js_ack_fc_v2: false }",
    ]


def _accounts(settings: ServerSettings) -> list[str]:
    return [
        f"operator: {_quote(settings.operator_jwt)}",
        f"system_account: {_quote(settings.system_account)}",
        # `full`, since only that takes pushed account JWTs; the newer of stored and preloaded one wins
        "resolver {",
        "  type: full",
        f"  dir: {_quote(settings.jwt_directory)}",
        "  allow_delete: false",
        # A server of a cluster that was away learns from the others at this interval who was revoked.
        f'  interval: "{"5s" if settings.cluster else "2m"}"',
        "  limit: 1000",
        "}",
        "resolver_preload {",
        *(f"  {key}: {_quote(token)}" for key, token in sorted(settings.accounts.items())),
        "}",
    ]


def _quote(value: str | Path) -> str:
    text = str(value)
    if not text.isprintable():
        raise ConfigError(f"{text!r} has characters that cannot stand in the server's configuration")
    # quotation marks and backslashes are escaped as in JSON; the rest of JSON's escapes cannot occur
    return json.dumps(text, ensure_ascii=False)
