"""`fedbus profile add | list | use | remove`: saved addresses and files of credentials."""

import os
from pathlib import Path
from typing import Annotated

import typer

from fedbus.cli import profiles
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Output, emit, rows, say
from fedbus.cli.profiles import Profile
from fedbus.cli.session import report

app = typer.Typer(no_args_is_help=True, help="Saved ways to reach a daemon.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
File = Annotated[Path | None, typer.Option(metavar="FILE")]


@app.command()
def add(
    name: Name,
    *,
    url: Annotated[str, typer.Option(help="The daemon's https:// address.")] = "",
    ca: File = None,
    api_key_file: File = None,
    token_file: File = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Instead of all of these.")] = None,
) -> None:
    """Save a profile, or replace it; the first one is used at once."""

    def work() -> None:
        if bool(url) == (data_dir is not None):
            raise CliError("Give either --url or --data-dir", code=ExitCode.USAGE)
        if url and not url.startswith("https://"):
            raise CliError(f"{url} is no https:// address", code=ExitCode.USAGE)
        file = profiles.path(os.environ)
        saved = profiles.load(file)
        saved.profiles[name] = Profile(
            url=url, ca=_absolute(ca), api_key_file=_absolute(api_key_file), token_file=_absolute(token_file),
            data_dir=_absolute(data_dir),
        )  # fmt: skip
        saved.current = saved.current or name
        profiles.save(file, saved)
        say(f"Saved {name} in {file}")

    report(work)


@app.command("list")
def list_profiles(output: Annotated[Output, typer.Option("--output", "-o")] = Output.TABLE) -> None:
    """List the saved profiles; * marks the one in use."""

    def work() -> None:
        saved = profiles.load(profiles.path(os.environ))
        records = [
            {"name": name, "current": name == saved.current, "where": one.url or one.data_dir}
            for name, one in sorted(saved.profiles.items())
        ]
        columns = [
            ("", lambda row: "*" if row["current"] else " "),
            ("NAME", lambda row: row["name"]),
            ("WHERE", lambda row: row["where"]),
        ]
        emit(output, {"profiles": records}, lambda: rows(columns, records, empty="No profiles"))

    report(work)


@app.command()
def use(name: Name) -> None:
    """Use a profile when no other daemon is named."""

    def work() -> None:
        file = profiles.path(os.environ)
        saved = profiles.load(file)
        _require(saved, name)
        saved.current = name
        profiles.save(file, saved)

    report(work)


@app.command()
def remove(name: Name) -> None:
    """Forget a profile."""

    def work() -> None:
        file = profiles.path(os.environ)
        saved = profiles.load(file)
        _require(saved, name)
        del saved.profiles[name]
        if saved.current == name:
            saved.current = ""
        profiles.save(file, saved)

    report(work)


def _require(saved: profiles.Profiles, name: str) -> None:
    if name not in saved.profiles:
        raise CliError(f"There is no profile {name!r}", code=ExitCode.NOT_FOUND)


def _absolute(file: Path | None) -> str:
    return str(file.expanduser().absolute()) if file else ""
