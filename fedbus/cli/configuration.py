"""`fedbus config check`: what a daemon would be started with, before it is."""

import os
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal

import typer

from fedbus import config
from fedbus.cli import output
from fedbus.cli.output import Output, rows
from fedbus.cli.session import OutputOption, report

app = typer.Typer(no_args_is_help=True, help="The configuration of a daemon.")

Role = Annotated[Literal["master", "worker"], typer.Argument(help="Whose: master or worker.")]
File = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="A TOML file.")]


@app.callback()
def _group() -> None:
    """Say what belongs here; with one command alone typer would take its name away."""


@app.command()
def check(role: Role, config_file: File = None, form: OutputOption = None) -> None:
    """Check file and environment as the daemon would, and show every setting and where it is from.

    Ends with 2 and names everything that is wrong. Nothing secret is shown.
    """
    report(lambda: _show(role, config_file, form or Output.TABLE), form)


def _show(role: Literal["master", "worker"], file: Path | None, form: Output) -> None:
    named = file or (Path(found) if (found := os.environ.get(config.CONFIG_FILE)) else None)
    settings = config.effective(role, named, os.environ)
    shown = [{"name": one.name, "value": _plain(one.value), "origin": one.origin} for one in settings]
    output.emit(
        form,
        {"role": role, "settings": shown},
        lambda: rows(
            [("NAME", itemgetter("name")), ("VALUE", itemgetter("value")), ("FROM", itemgetter("origin"))],
            shown,
        ),
    )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
