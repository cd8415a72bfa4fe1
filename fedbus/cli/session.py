"""What all commands that speak to a daemon share: the options, the connection, errors to exit codes.

@command(app)
async def show(session: Session, name: Annotated[str, typer.Argument()]) -> None: ...
"""

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Concatenate, ParamSpec

import msgspec
import typer

from fedbus.cli import errors, output, profiles
from fedbus.cli.client import Api
from fedbus.cli.errors import ApiError, CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Output
from fedbus.cli.profiles import Profile
from fedbus.errors import ConfigError, FedbusError

P = ParamSpec("P")

_PANEL = "Which daemon, and how to print"

ProfileOption = Annotated[str, typer.Option("--profile", help="A saved profile.", rich_help_panel=_PANEL)]
UrlOption = Annotated[
    str, typer.Option("--url", help="The daemon's https:// address.", rich_help_panel=_PANEL)
]
CaOption = Annotated[
    str,
    typer.Option("--ca", metavar="FILE", help="The CA that signed its certificate.", rich_help_panel=_PANEL),
]
KeyOption = Annotated[
    str, typer.Option("--api-key-file", metavar="FILE", help="Its API key.", rich_help_panel=_PANEL)
]
DataDirOption = Annotated[
    str,
    typer.Option(
        "--data-dir", metavar="DIR", help="A daemon's directory on this machine.", rich_help_panel=_PANEL
    ),
]
OutputOption = Annotated[
    Output | None,
    typer.Option("--output", "-o", help="How to print.", rich_help_panel=_PANEL, show_default="table"),
]


class Shared(msgspec.Struct, frozen=True):
    """The shared options as they were given, before or after the command's name."""

    profile: str = ""
    target: Profile = Profile()
    output: Output | None = None

    def over(self, other: "Shared") -> "Shared":
        """Return these options, and where they say nothing, those of `other`."""
        return Shared(
            self.profile or other.profile, self.target.over(other.target), self.output or other.output
        )


class Session:
    """One command's connection and how it prints."""

    def __init__(self, api: Api, form: Output) -> None:
        self.api = api
        self.form = form

    def emit(self, result: object, table: Callable[[], None]) -> None:
        """Print the command's result (see `output.emit`)."""
        output.emit(self.form, result, table)


def shared_options(  # noqa: PLR0917 - never called by position
    profile: ProfileOption = "",
    url: UrlOption = "",
    ca: CaOption = "",
    api_key_file: KeyOption = "",
    data_dir: DataDirOption = "",
    output: OutputOption = None,
) -> Shared:
    """Take the shared options; its signature is what every command gets."""
    return Shared(profile, Profile(url=url, ca=ca, api_key_file=api_key_file, data_dir=data_dir), output)


def command(
    app: typer.Typer, name: str | None = None, *, epilog: str | None = None
) -> Callable[[Callable[Concatenate[Session, P], Coroutine[None, None, None]]], Callable[P, None]]:
    """Register an async function as a command that is given a Session and has the shared options."""

    def register(
        function: Callable[Concatenate[Session, P], Coroutine[None, None, None]],
    ) -> Callable[P, None]:
        shared = inspect.signature(shared_options).parameters
        own = list(inspect.signature(function).parameters.values())[1:]

        def run(ctx: typer.Context, **given: object) -> None:
            taken = {key: given.pop(key) for key in shared}
            options = shared_options(**taken).over(ctx.find_root().obj or Shared())  # type: ignore[arg-type]
            report(lambda: asyncio.run(_in_session(options, function, given)), options.output)

        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        options = [*own, *shared.values()]
        keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in options]
        run.__signature__ = inspect.Signature([context, *keyword_only])  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in (context, *keyword_only)}
        run.__doc__ = function.__doc__
        app.command(name or function.__name__.replace("_", "-"), epilog=epilog)(run)
        return run  # type: ignore[return-value]

    return register


def report(work: Callable[[], None], form: Output | None = None) -> None:
    """Do `work`; end the command with the exit code of what it raises, said on standard error."""
    try:
        work()
    except CliError as error:
        _say(error, form)
        raise typer.Exit(error.code) from error
    except FedbusError as error:
        code = ExitCode.USAGE if isinstance(error, ConfigError) else ExitCode.FAILURE
        _say(CliError(error.message, remedy=error.remedy), form)
        raise typer.Exit(code) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; without a terminal, `--yes` must have been given."""
    if yes:
        return
    if not output.is_terminal():
        raise CliError("This cannot be undone", remedy="Give --yes to do it", code=ExitCode.USAGE)
    if not typer.confirm(question, err=True):
        raise CliError("Nothing was changed")


def labels(given: list[str]) -> dict[str, str]:
    """Read `key=value` options."""
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not (key and equals):
            raise CliError(f"A label is key=value, not {one!r}", code=ExitCode.USAGE)
        found[key] = value
    return found


async def _in_session(
    options: Shared, function: Callable[..., Coroutine[None, None, None]], given: dict[str, object]
) -> None:
    target = profiles.resolve(options.target, options.profile, os.environ)
    async with Api(target) as api:
        await function(Session(api, options.output or Output.TABLE), **given)


def _say(error: CliError, form: Output | None) -> None:
    if form is Output.JSON and isinstance(error, ApiError):
        output.say(msgspec.json.format(msgspec.json.encode(error.problem), indent=2).decode())
        return
    for line in errors.lines(error):
        output.say(line)


def write_new(file: Path, secret: str) -> None:
    """Write a secret to a file that only its owner can read; one that exists is kept."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CliError(f"Cannot write {file}: {error.strerror}", code=ExitCode.USAGE) from error
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secret + "\n")
