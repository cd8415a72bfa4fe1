"""Which daemon the command speaks to: flags, environment, a saved profile, or the one on this machine.

Profiles lie in `$XDG_CONFIG_HOME/fedbus/profiles.toml` and hold addresses and names of files, never
a secret.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.pki import files
from fedbus.web.server import DaemonNote


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to reach a daemon; an empty field was not said."""

    url: str = ""
    ca: str = ""
    api_key_file: str = ""
    token_file: str = ""
    data_dir: str = ""

    def over(self, other: "Profile") -> "Profile":
        """Return this profile with what it does not say filled in from `other`."""
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return Profile(**{name: mine[name] or theirs[name] for name in mine})


class Profiles(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The saved profiles and the one in use."""

    current: str = ""
    profiles: dict[str, Profile] = {}


def path(environ: Mapping[str, str]) -> Path:
    """Return where profiles are saved."""
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    return Path(base) / "fedbus" / "profiles.toml"


def load(file: Path) -> Profiles:
    """Read the saved profiles; raises CliError when the file is damaged."""
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Profiles)
    except FileNotFoundError:
        return Profiles()
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise CliError(f"{file} is damaged: {error}", code=ExitCode.USAGE) from error


def save(file: Path, saved: Profiles) -> None:
    """Write the profiles, readable to their owner alone."""
    lines = [f"current = {_quoted(saved.current)}"] if saved.current else []
    for name, profile in sorted(saved.profiles.items()):
        lines += ["", f"[profiles.{_quoted(name)}]"]
        lines += [f"{key} = {_quoted(value)}" for key, value in msgspec.to_builtins(profile).items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write(file, "\n".join(lines) + "\n")


def resolve(given: Profile, name: str, environ: Mapping[str, str]) -> Profile:
    """Return how to reach the daemon: `given` by flags, then `name`d, then by environment, in use, here.

    A data directory stands for what its `daemon.json` says. Raises CliError when nothing says where.
    """
    from_environment = Profile(
        url=environ.get("FEDBUS_URL", ""),
        ca=environ.get("FEDBUS_CA_FILE", ""),
        api_key_file=environ.get("FEDBUS_API_KEY_FILE", ""),
        token_file=environ.get("FEDBUS_TOKEN_FILE", ""),
        data_dir=environ.get("FEDBUS_DATA_DIR", ""),
    )
    named = [_saved(name, environ)] if name else []
    # Each source is taken whole where it says which daemon: a key never goes to another one's address.
    found = given
    for source in (*named, from_environment, _saved(environ.get("FEDBUS_PROFILE", ""), environ)):
        found = found if _says_where(found) else found.over(source)
    if not _says_where(found):
        found = found.over(Profile(data_dir=str(_on_this_machine(environ))))
    return found if found.url else found.over(note(Path(found.data_dir)))


def note(data_dir: Path) -> Profile:
    """Read what the daemon that owns `data_dir` left for us."""
    file = data_dir / "daemon.json"
    try:
        left = msgspec.json.decode(file.read_bytes(), type=DaemonNote)
    except OSError as error:
        raise CliError(
            f"No daemon runs on {data_dir}: {file.name} is not there", code=ExitCode.UNREACHABLE
        ) from error
    except msgspec.DecodeError as error:
        raise CliError(f"{file} is damaged: {error}", code=ExitCode.UNREACHABLE) from error
    return Profile(url=left.url, ca=left.ca, api_key_file=left.api_key_file)


def _says_where(profile: Profile) -> bool:
    return bool(profile.url or profile.data_dir)


def _saved(name: str, environ: Mapping[str, str]) -> Profile:
    saved = load(path(environ))
    name = name or saved.current
    if not name:
        return Profile()
    if name not in saved.profiles:
        raise CliError(
            f"There is no profile {name!r}", remedy="See `fedbus profile list`", code=ExitCode.USAGE
        )
    return saved.profiles[name]


def _on_this_machine(environ: Mapping[str, str]) -> Path:
    state = Path(environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state") / "fedbus"
    found = [state / role for role in ("master", "worker") if (state / role / "daemon.json").exists()]
    if len(found) == 1:
        return found[0]
    raise CliError(
        "More than one daemon runs here" if found else "It is not said which daemon to speak to",
        remedy="Use --data-dir DIR, --url URL with --ca FILE, or `fedbus profile use NAME`",
        code=ExitCode.USAGE,
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)  # a JSON string is a TOML basic string
