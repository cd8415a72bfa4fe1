"""`fedbus settings show | set`: what holds for the whole federation."""

from typing import Annotated

import msgspec
import typer

from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import facts
from fedbus.cli.session import Session, command

app = typer.Typer(no_args_is_help=True, help="Settings that hold for the whole federation.")

PATH = "/v1/fed/config"


@command(app)
async def show(session: Session) -> None:
    """Show the settings in force, and which of them were set here."""
    found = await session.api.get(PATH)
    session.emit(found, lambda: _show(found))


@command(app, "set")
async def change(
    session: Session,
    settings: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE|NAME-...", help="NAME- goes back to the daemon's own.")
    ],
    revision: Annotated[int | None, typer.Option(help="Only at this revision of the settings.")] = None,
) -> None:
    """Change settings, such as heartbeat_interval=5 or deploy_repo_scan_data=true; all of them, or none."""
    changes = dict(map(_setting, settings)) | ({"revision": revision} if revision is not None else {})
    done = await session.api.call("PATCH", PATH, raw=msgspec.json.encode(changes))
    session.emit(done, lambda: _show(done))


def _setting(given: str) -> tuple[str, object]:
    name, equals, value = given.partition("=")
    if not equals and name.endswith("-"):
        return name.removesuffix("-").replace("-", "_"), None
    if not equals or not name:
        raise CliError(f"{given!r} is neither NAME=VALUE nor NAME-", code=ExitCode.USAGE)
    try:
        decoded: object = msgspec.json.decode(value)
    except msgspec.DecodeError:
        decoded = value
    return name.replace("-", "_"), decoded


def _show(found: dict[str, object]) -> None:
    facts({name.replace("_", " "): value for name, value in found.items() if name != "federation"})
