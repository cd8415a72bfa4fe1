"""The settings of a daemon: a TOML file, then `FEDBUS_*` from the environment, then flags.

`load` is called once and says everything that is wrong at once. Secrets are never settings: a
setting names the file that holds one.
"""

import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, overload

import msgspec
from msgspec import Meta

from fedbus.errors import ConfigError, FedbusError

PREFIX = "FEDBUS_"
CONFIG_FILE = "FEDBUS_CONFIG"
"""The variable that names the TOML file, where there is no command line to do so."""
MAX_JWT_DAYS = 365
"""The longest a worker's credential may live: so long is a revocation remembered."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
ServiceName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}\.svc$")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What both daemons need."""

    data_dir: Path
    """Where everything is kept; default `$XDG_STATE_HOME/fedbus/<master or worker>`."""
    rest_host: str = "127.0.0.1"
    """The address the REST API listens on."""
    rest_port: Port = 10443
    """Its port; 0 takes any free one."""
    rest_names: tuple[str, ...] = ()
    """More host names and addresses the REST certificate is made for."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""
    heartbeat_interval: Seconds = 10.0
    """Seconds between heartbeats; on a master, what it tells its workers."""
    metrics_open: bool = False
    """Whether anybody who reaches the REST port may read /metrics without a key."""
    tracing_endpoint: Annotated[str, Meta(pattern="^(https?://.+)?$")] = ""
    """The OTLP collector for traces (`http://host:4318`); empty traces nothing."""
    webhook_host: str = "127.0.0.1"
    """The address the admission webhook listens on."""
    webhook_port: Port = 8443
    """Its port; 0 takes any free one."""
    webhook_service: ServiceName = "fedbus-webhook.fedbus.svc"
    """The name of the Kubernetes service in front of it; its certificate is for that."""
    webhook_names: tuple[str, ...] = ()
    """More host names and addresses its certificate is made for."""
    fail_open: bool = True
    """Whether what the webhook cannot decide in time is allowed, with a warning, or denied."""
    kubernetes: Literal["off", "in-cluster", "kubeconfig"] = "off"
    """Where the inventory comes from: nowhere, the API of the cluster this runs in, or a kubeconfig's."""
    kubeconfig: Path | None = None
    """The kubeconfig; default `$KUBECONFIG`, then `~/.kube/config`."""
    kubernetes_context: str = ""
    """The context in it; default its current one."""
    inventory_file: Path | None = None
    """A file with the inventory, where there is no Kubernetes; read again when it changes."""
    min_free_mb: Annotated[int, Meta(ge=0)] = 256
    """Megabytes that should be free where the data directory is; below it `fedbus doctor` says so."""


class MasterSettings(Settings, frozen=True, kw_only=True):
    """The settings of `fedbus master`."""

    bus_host: str = "127.0.0.1"
    """The address the embedded bus listens on."""
    bus_port: Port = 11443
    """Its port; 0 takes a free one at first start and keeps it."""
    bus_urls: tuple[Annotated[str, Meta(pattern="^tls://")], ...] = ()
    """The servers of an external bus; none means the embedded one."""
    bus_credentials: Path | None = None
    """The credentials file for an external bus."""
    advertised_server: str = ""
    """The name or address of the bus that join tokens carry; default `bus_host`."""
    worker_jwt_days: Annotated[float, Meta(gt=0, le=MAX_JWT_DAYS)] = 7.0
    """Days a worker's credential is good for; it is renewed at two thirds."""
    checkpoint_interval: Seconds = 5.0
    """Seconds between signed checkpoints."""


class WorkerSettings(Settings, frozen=True, kw_only=True):
    """The settings of `fedbus worker`."""

    join_token_file: Path | None = None
    """A join token to join with at the first start."""
    join_name: str = ""
    """The cluster's name in the federation, for joining with `join_token_file`."""
    join_server: str = ""
    """The master's bus, instead of the one the join token names."""
    join_port: Port = 0
    """Its port, instead of the one the join token names; 0 leaves that."""


_KINDS: dict[str, type[Settings]] = {"master": MasterSettings, "worker": WorkerSettings}
_LINKS = ("tcp://", "udp://", "sctp://")
_NO_FLAGS: Mapping[str, object] = {}


@overload
def load(
    kind: Literal["master"],
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object] = _NO_FLAGS,
) -> MasterSettings: ...
@overload
def load(
    kind: Literal["worker"],
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object] = _NO_FLAGS,
) -> WorkerSettings: ...
def load(
    kind: Literal["master", "worker"],
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object] = _NO_FLAGS,
) -> Settings:
    """Read the settings of a daemon; a flag that is None was not given.

    A `FEDBUS_*` variable that is no setting is left alone: the command line has its own, and
    Kubernetes puts `FEDBUS_SERVICE_HOST` and the like into every pod beside a service of that name. Beside
    the service `fedbus-webhook` that is `FEDBUS_WEBHOOK_PORT=tcp://...`, which is none of ours either.
    Raises ConfigError that lists every fault.
    """
    struct = _KINDS[kind]
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    values: dict[str, object] = {"data_dir": default_data_dir(kind, environ)}
    faults: list[str] = []
    for name, value in _read_file(path).items():
        if name in fields:
            _accept(values, faults, fields[name], value, f"{path}: {name}", strict=True)
        else:
            faults.append(f"{path}: {name}: there is no such setting")
    for name, field in fields.items():
        if (text := environ.get(PREFIX + name.upper())) is not None and not text.startswith(_LINKS):
            _accept(values, faults, field, _from_text(field, text), PREFIX + name.upper(), strict=False)
        if (value := flags.get(name)) is not None:
            _accept(values, faults, field, value, f"--{name.replace('_', '-')}", strict=True)
    if faults:
        raise ConfigError("\n".join(["The configuration is wrong:", *(f"  {fault}" for fault in faults)]))
    return msgspec.convert(values, struct, dec_hook=_as_path)


def main(kind: Literal["master", "worker"], run: Callable[[Any], None]) -> int:
    """Run a daemon set up by the environment, FEDBUS_CONFIG naming the file; return the exit code.

    The only argument is the data directory, so that a list of processes tells daemons apart. Returns 2
    for a wrong configuration, 1 for any other error, both said on standard error.
    """
    file = os.environ.get(CONFIG_FILE)
    flags = {"data_dir": Path(sys.argv[1])} if len(sys.argv) == 2 else {}
    try:
        run(load(kind, Path(file) if file else None, os.environ, flags))
    except FedbusError as error:
        print(f"Error: {error.message}", *filter(None, [error.remedy]), sep="\n  ", file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def named_data_dir(path: Path | None) -> str:
    """Return the data directory that a configuration file names; empty if none. Raises ConfigError."""
    named = _read_file(path).get("data_dir", "")
    return named if isinstance(named, str) else ""


def _read_file(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid TOML: {error}") from error


def _accept(
    values: dict[str, object],
    faults: list[str],
    field: msgspec.structs.FieldInfo,
    value: object,
    origin: str,
    *,
    strict: bool,
) -> None:
    try:
        values[field.name] = msgspec.convert(value, field.type, strict=strict, dec_hook=_as_path)
    except msgspec.ValidationError as error:
        faults.append(f"{origin}: {error}")


def _from_text(field: msgspec.structs.FieldInfo, text: str) -> object:
    """Split a list; `a,b` in the environment is `["a", "b"]` in the file."""
    if isinstance(field.default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _as_path(kind: type, value: object) -> Path:
    if isinstance(value, Path):
        return value
    if kind is not Path or not isinstance(value, str) or not value:
        raise ValueError(f"Expected a path, got {value!r}")
    return Path(value).expanduser()


def default_data_dir(kind: str, environ: Mapping[str, str]) -> Path:
    """Return where a daemon keeps everything unless it is told otherwise."""
    state = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state"
    return Path(state) / "fedbus" / kind
