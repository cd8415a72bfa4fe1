"""`fedbus master` and `fedbus worker`: settings, and over to the daemon.

The options stand in the signatures, under the names that the settings have.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from fedbus import config
from fedbus.cli.session import Shared, report

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="A TOML file.")]
DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept.")]
RestHost = Annotated[str | None, typer.Option(help="The address the REST API listens on.")]
RestPort = Annotated[int | None, typer.Option(help="Its port; 0 takes any free one.")]
WebhookPort = Annotated[int | None, typer.Option(help="The admission webhook's port; 0 takes any free one.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
Heartbeat = Annotated[float | None, typer.Option(help="Seconds between heartbeats.")]


def _become(kind: Literal["master", "worker"], ctx: typer.Context) -> None:
    """Check the settings, and replace this process by the daemon: it needs no command line's memory."""
    flags = dict(ctx.params)
    named = flags.pop("config_file")
    file = Path(named) if named is not None else None
    flags["data_dir"] = flags["data_dir"] or _before_the_command(ctx)
    settings = config.load(kind, file, os.environ, flags)  # faults are named while flags are still flags
    given = {
        f"{config.PREFIX}{name.upper()}": str(value) for name, value in flags.items() if value is not None
    }
    environ = os.environ | given | ({config.CONFIG_FILE: str(file)} if file is not None else {})
    sys.stdout.flush()
    words = [sys.executable, "-m", f"fedbus.{kind}", str(settings.data_dir)]
    os.execve(sys.executable, words, environ)  # noqa: S606 - no shell


def _before_the_command(ctx: typer.Context) -> str | None:
    shared = ctx.find_root().obj
    return shared.target.data_dir or None if isinstance(shared, Shared) else None


def master(
    ctx: typer.Context,
    *,
    config_file: ConfigOption = None,
    data_dir: DataDir = None,
    rest_host: RestHost = None,
    rest_port: RestPort = None,
    webhook_port: WebhookPort = None,
    bus_host: Annotated[str | None, typer.Option(help="The address the embedded bus listens on.")] = None,
    bus_port: Annotated[int | None, typer.Option(help="Its port; 0 takes a free one and keeps it.")] = None,
    advertised_server: Annotated[str | None, typer.Option(help="How workers reach the bus.")] = None,
    heartbeat_interval: Heartbeat = None,
    log_level: LogLevel = None,
) -> None:
    """Run a master: the bus, the federation's store, and the REST API.

    Every setting can stand in the file or in FEDBUS_<NAME>; flags win.
    """
    report(lambda: _become("master", ctx))


def worker(
    ctx: typer.Context,
    *,
    config_file: ConfigOption = None,
    data_dir: DataDir = None,
    rest_host: RestHost = None,
    rest_port: RestPort = None,
    webhook_port: WebhookPort = None,
    join_token_file: Annotated[Path | None, typer.Option(help="Join with it at the first start.")] = None,
    join_name: Annotated[str | None, typer.Option(help="The cluster's name in the federation.")] = None,
    join_server: Annotated[str | None, typer.Option(help="The master's bus, instead of the token's.")] = None,
    join_port: Annotated[int | None, typer.Option(help="Its port, instead of the token's.")] = None,
    heartbeat_interval: Heartbeat = None,
    log_level: LogLevel = None,
) -> None:
    """Run a worker: it follows its master, holds the federated policy, and serves its state.

    Every setting can stand in the file or in FEDBUS_<NAME>; flags win.
    """
    report(lambda: _become("worker", ctx))
