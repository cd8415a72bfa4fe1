"""`fedbus doctor`: what works between this daemon and its federation, and what does not, first of all."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from fedbus import config
from fedbus import log as log_setup
from fedbus.cli import federation, output
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Output
from fedbus.cli.session import Shared, report
from fedbus.core.connectivity import Step
from fedbus.core.diagnosis import MAX_SKEW, Diagnosis
from fedbus.model.federation import RestInfo
from fedbus.runtime import Clock
from fedbus.web.server import DaemonNote

if TYPE_CHECKING:
    from fedbus.worker.doctor import Plan

ROLES = ("master", "worker")
EXIT_CODES = "Exit codes: 0 all works; of the first step that does not: " + ", ".join(
    f"{int(step)} {step.title}" for step in Step
)


def doctor(
    ctx: typer.Context,
    *,
    data_dir: Annotated[Path | None, typer.Option(help="The daemon's directory on this machine.")] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", envvar=config.CONFIG_FILE, help="The daemon's TOML file."
        ),
    ] = None,
    token_file: Annotated[
        str, typer.Option(metavar="FILE", help="Test a join with this token; - reads standard input.")
    ] = "",
    name: Annotated[str, typer.Option(help="With a token: the cluster's name, to test that too.")] = "",
    server: Annotated[str, typer.Option(help="With a token: the master, instead of the token's.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With a token: its port, likewise.")] = 0,
    min_free_mb: Annotated[int | None, typer.Option(min=0, help="Megabytes that should be free.")] = None,
    max_skew: Annotated[float, typer.Option(min=0, help="Seconds clocks may differ.")] = MAX_SKEW,
    form: Annotated[Output | None, typer.Option("--output", "-o", help="How to print.")] = None,
) -> None:
    """Test the way to the federation step by step: name the first step that fails, and what to do.

    It works beside a running daemon and changes nothing. With a token it tests a join before it is made;
    the token is not used.
    """
    shared = ctx.find_root().obj
    shared = shared if isinstance(shared, Shared) else Shared()
    directory = data_dir or (Path(shared.target.data_dir) if shared.target.data_dir else None)
    found: list[Diagnosis] = []

    def run() -> None:
        log_setup.set_up("critical")  # what goes wrong is said once, in the table
        flags = {"data_dir": directory, "min_free_mb": min_free_mb}
        if token_file:
            from fedbus.worker.doctor import Plan  # noqa: PLC0415 - a client command must not load a daemon

            text, at = federation.join_token(token_file), RestInfo(server=server, port=port)
            found.append(_joining(Plan(text, name, at), config_file, flags, max_skew))
        else:
            found.append(_member(directory, config_file, flags, max_skew))

    report(run)
    (diagnosis,) = found
    output.emit(form or shared.output or Output.TABLE, diagnosis, lambda: _show(diagnosis))
    raise typer.Exit(diagnosis.exit_code)


def _joining(
    plan: "Plan", config_file: Path | None, flags: Mapping[str, object], max_skew: float
) -> Diagnosis:
    from fedbus.worker.doctor import examine_join  # noqa: PLC0415 - likewise

    settings = config.load("worker", config_file, _environ(), flags)
    return asyncio.run(examine_join(plan, settings, Clock(), max_skew))


def _member(
    given: Path | None, config_file: Path | None, flags: Mapping[str, object], max_skew: float
) -> Diagnosis:
    directory = given or _directory(config_file)
    flags = {**flags, "data_dir": directory}
    if _is_master(directory):
        from fedbus.master import doctor as of_master  # noqa: PLC0415 - likewise

        settings = config.load("master", config_file, _environ(), flags)
        return asyncio.run(of_master.examine(settings, Clock(), max_skew))
    from fedbus.worker import doctor as of_worker  # noqa: PLC0415 - likewise

    return asyncio.run(
        of_worker.examine(config.load("worker", config_file, _environ(), flags), Clock(), max_skew)
    )


def _directory(config_file: Path | None) -> Path:
    """Return the data directory that the configuration names, or the one there is on this machine."""
    if named := os.environ.get("FEDBUS_DATA_DIR") or config.named_data_dir(config_file):
        return Path(named)
    there = [path for kind in ROLES if (path := config.default_data_dir(kind, os.environ)).is_dir()]
    if len(there) != 1:
        raise CliError(
            "It is not said which daemon to examine",
            remedy="Use --data-dir DIR, or --token-file FILE before a join",
            code=ExitCode.USAGE,
        )
    return there[0]


def _is_master(directory: Path) -> bool:
    """Tell a master's directory from a worker's by what is in it, or by what runs there."""
    if (directory / "federation.json").exists() or (directory / "keyring").exists():
        return True
    try:
        note = msgspec.json.decode((directory / "daemon.json").read_bytes(), type=DaemonNote)
    except (OSError, msgspec.DecodeError):
        return False
    return note.role == "master"


def _environ() -> dict[str, str]:
    """Return the environment without what `fedbus join` reads there under the name of a worker's setting."""
    return {name: value for name, value in os.environ.items() if name != "FEDBUS_JOIN_TOKEN_FILE"}


def _show(diagnosis: Diagnosis) -> None:
    columns: list[output.Column] = [
        ("STEP", lambda found: found["step"]),
        ("RESULT", lambda found: found["result"]),
        ("DETAIL", lambda found: found.get("detail", "")),
    ]
    output.rows(columns, [msgspec.to_builtins(finding) for finding in diagnosis.findings])
    if diagnosis.failed:
        output.say(f"\nThe first step that fails is {diagnosis.failed} ({diagnosis.code})")
        output.say(f"  {diagnosis.remedy}")
