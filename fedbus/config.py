"""The settings of a daemon: a TOML file, then `FEDBUS_*` from the environment, then flags.

`load` is called once and says everything that is wrong at once.
"""

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, overload

import msgspec
import yaml

from fedbus.core import fedinitcfg
from fedbus.errors import ConfigError, FedbusError, InvalidInput
from fedbus.model import names
from fedbus.settings import MasterSettings, Settings, WorkerSettings

PREFIX = "FEDBUS_"
CONFIG_FILE = "FEDBUS_CONFIG"
"""The variable that names the TOML file, where there is no command line to do so."""
FEDINITCFG = "fedinitcfg"
"""The setting that names a file as NeuVector's."""
_TOKEN_KEY = "join_token"  # noqa: S105 - the name of a key
_MAX_TOKEN_FILE = 65_536
_USERINFO = re.compile(r"//[^/@]*@")

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
    return _Reading(kind, path, environ, flags).settings


class Effective(msgspec.Struct, frozen=True):
    """One setting in force: its value with secrets masked, and where it is from."""

    name: str
    value: object
    origin: str


def effective(
    kind: Literal["master", "worker"], path: Path | None, environ: Mapping[str, str]
) -> list[Effective]:
    """Return every setting a daemon would have. Raises ConfigError that lists every fault."""
    reading = _Reading(kind, path, environ, _NO_FLAGS)
    values = msgspec.structs.asdict(reading.settings)
    return [
        Effective(name, _masked(value), reading.origins.get(name, "default"))
        for name, value in values.items()
    ]


def _masked(value: object) -> object:
    """Return a value as it may be shown: what an address says of who calls is left out."""
    if isinstance(value, tuple):
        return [_masked(one) for one in value]
    return _USERINFO.sub("//***@", value) if isinstance(value, str) else value


class _Reading:
    """One look at file, environment and flags: values, where each is from, and what is wrong."""

    def __init__(
        self,
        kind: Literal["master", "worker"],
        path: Path | None,
        environ: Mapping[str, str],
        flags: Mapping[str, object],
    ) -> None:
        self._kind = kind
        struct = _KINDS[kind]
        self._fields = {field.name: field for field in msgspec.structs.fields(struct)}
        self._values: dict[str, object] = {"data_dir": default_data_dir(kind, environ)}
        self.origins: dict[str, str] = {}
        self._faults: list[str] = []
        file = _read_file(path)
        named = flags.get(FEDINITCFG) or environ.get(PREFIX + FEDINITCFG.upper()) or file.get(FEDINITCFG)
        if isinstance(named, str | Path):
            self._take_fedinitcfg(Path(named).expanduser())
        for name, value in file.items():
            if name in self._fields:
                self._accept(name, value, f"{path}: {name}")
            else:
                self._faults.append(f"{path}: {name}: {self._no_such(name)}")
        for name, field in self._fields.items():
            text = environ.get(PREFIX + name.upper())
            if text is not None and not text.startswith(_LINKS):
                self._accept(name, _from_text(field, text), PREFIX + name.upper(), strict=False)
            if (value := flags.get(name)) is not None:
                self._accept(name, value, f"--{name.replace('_', '-')}")
        if not self._faults:
            self._check_names()
            if kind == "master":
                self._faults += _faults_of_bus(self._values)
        if self._faults:
            raise ConfigError(
                "\n".join(["The configuration is wrong:", *(f"  {one}" for one in self._faults)])
            )
        self.settings: Settings = msgspec.convert(self._values, struct, dec_hook=_as_path)

    def _accept(self, name: str, value: object, origin: str, *, strict: bool = True) -> None:
        try:
            field = self._fields[name]
            self._values[name] = msgspec.convert(value, field.type, strict=strict, dec_hook=_as_path)
            self.origins[name] = origin
        except msgspec.ValidationError as error:
            self._faults.append(f"{origin}: {error}")

    def _no_such(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._fields, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        return f"there is no such setting{meant} The settings are {', '.join(self._fields)}"

    def _take_fedinitcfg(self, path: Path) -> None:
        document = _read_yaml(path)
        found, faults = fedinitcfg.translate(document, self._kind)
        self._faults += [f"{path}: {fault}" for fault in faults]
        for name, (key, value) in found.items():
            self._accept(name, value, f"{path}: {key}")
        if self._kind == "worker" and fedinitcfg.lowered(document).get(_TOKEN_KEY):
            self._accept("join_token_file", path, f"{path}: {_TOKEN_KEY}")

    def _check_names(self) -> None:
        """Check what a bootstrap would refuse only when the daemon runs."""
        wanted = "promote_name" if self._kind == "master" else "join_name"
        try:
            if name := self._values.get(wanted):
                names.check_cluster(str(name))
            if self._kind == "worker":
                wanted = "join_labels"
                msgspec.convert(self._values, WorkerSettings, dec_hook=_as_path).labels()
        except InvalidInput as error:
            self._faults.append(f"{self.origins.get(wanted, wanted)}: {error.message}")
        if self._values.get("join_token_file") and not self._values.get("join_name"):
            self._faults.append(
                f"{self.origins['join_token_file']}: join_name is missing: a cluster has a name"
            )


def _faults_of_bus(values: Mapping[str, object]) -> list[str]:
    """Say which settings of an external bus do not go together."""
    faults = []
    theirs = ("bus_ca_file", "bus_operator_key_file", "bus_system_credentials_file")
    missing = [name for name in theirs if not values.get(name)]
    if 0 < len(missing) < len(theirs):
        faults.append(f"{', '.join(missing)}: missing; on somebody else's bus all three are needed")
    external = [name for name in theirs if values.get(name)]
    external += ["bus_replicas"] if values.get("bus_replicas", 1) != 1 else []
    if external and not values.get("bus_urls"):
        faults.append(f"{', '.join(external)}: only for an external bus, which bus_urls names")
    return faults


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


def _read_yaml(path: Path) -> dict[object, object]:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        # Where, but not what: the file may hold a token.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: this is no valid YAML") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected keys and values, as in NeuVector's fedinitcfg.yaml")
    return found


def token_in(path: Path) -> str:
    """Return the join token in a file: all of it, or `join_token` of a fedinitcfg.

    Raises OSError, ConfigError for a fedinitcfg without one.
    """
    if path.suffix not in (".yaml", ".yml"):
        with path.open("rb") as file:
            return file.read(_MAX_TOKEN_FILE).decode(errors="replace")
    path.stat()  # whoever asks wants to tell a file that is away from one that is wrong
    token = fedinitcfg.lowered(_read_yaml(path)).get(_TOKEN_KEY)
    if not isinstance(token, str) or not token:
        raise ConfigError(f"{path}: {_TOKEN_KEY} is missing")
    return token


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [str(key.value).lower() for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


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
