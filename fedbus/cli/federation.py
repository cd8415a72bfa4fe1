"""`fedbus promote | demote | join | leave | status`: what a cluster is in the federation."""

import os
import sys
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import typer

from fedbus.cli.client import secret_from
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Column, facts, rows, say
from fedbus.cli.session import Session, command, confirm, labels, write_new

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the administrator's password to this new file; do not show it."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for function in (promote, demote, join, leave, status, parked):
        command(app)(function)


async def promote(
    session: Session,
    name: Annotated[str, typer.Argument(help="The name of this cluster, and of the federation.")],
    server: Annotated[str, typer.Option(help="How workers reach this master; default as configured.")] = "",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port they use; default as configured.")
    ] = 0,
    password_file: PasswordFile = None,
) -> None:
    """Make this cluster the master of a new federation.

    The administrator's password is generated and shown once.
    """
    info = {"server": server, "port": port}
    made = await session.api.post("/v1/fed/promote", {"name": name, "master_rest_info": info})
    _show_once(session, made, password_file)


async def demote(session: Session, yes: Yes = False) -> None:
    """End the federation: every worker is dismissed and drops its federated policy."""
    confirm("Dismiss every cluster and end the federation?", yes=yes)
    done = await session.api.post("/v1/fed/demote", {})
    session.emit(done, lambda: say("The federation has ended"))


async def join(
    session: Session,
    name: Annotated[str, typer.Argument(help="The name of this cluster in the federation.")],
    *,
    token_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="The join token; - reads it from standard input.",
            envvar="FEDBUS_JOIN_TOKEN_FILE",
        ),
    ] = "",
    server: Annotated[str, typer.Option(help="The master, instead of the one the token names.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port, instead of the token's.")] = 0,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Can be repeated.")] = None,
    password_file: PasswordFile = None,
) -> None:
    """Join a federation with a token from its master.

    The token is read from a file, from standard input, or from FEDBUS_JOIN_TOKEN.
    """
    sent: dict[str, object] = {
        "name": name,
        "join_token": join_token(token_file),
        "labels": labels(label or []),
    }
    sent |= {key: value for key, value in (("server", server), ("port", port)) if value}
    _show_once(session, await session.api.post("/v1/fed/join", sent), password_file)


async def leave(
    session: Session,
    force: Annotated[bool, typer.Option("--force", help="Also when the master cannot be told.")] = False,
    yes: Yes = False,
) -> None:
    """Leave the federation and drop its policy from this cluster."""
    confirm("Leave the federation and drop its policy from this cluster?", yes=yes)
    done = await session.api.post("/v1/fed/leave", {"force": force})
    session.emit(done, lambda: say("This cluster has left the federation"))


async def status(session: Session) -> None:
    """Show what this daemon is, whether it is ready, and where it stands in its federation."""
    found: dict[str, object] = {
        "url": session.api.url,
        "version": await session.api.get("/version"),
        "ready": await session.api.call("GET", "/readyz", accept=frozenset({200, 503})),
        "member": await session.api.get("/v1/fed/member"),
    }
    session.emit(found, lambda: _show_status(found))


async def parked(session: Session) -> None:
    """List what this cluster holds and cannot read: a newer fedbus applies it when it starts."""
    found = await session.api.get("/v1/fed/parked")
    listed = found["events"]
    assert isinstance(listed, list)  # noqa: S101 - that is the answer's form
    columns: list[Column] = [
        ("KIND", itemgetter("kind")),
        ("NAME", itemgetter("name")),
        ("SCOPE", itemgetter("scope")),
        ("TYPE", itemgetter("type")),
        ("REVISION", itemgetter("revision")),
        ("IN FORCE", itemgetter("revision_in_force")),
        ("CHANGED", itemgetter("changed_at")),
    ]
    session.emit(found, lambda: rows(columns, listed, empty="Nothing is parked"))


def _show_status(found: dict[str, object]) -> None:
    flat: dict[str, object] = {"url": found["url"]}
    for part in ("version", "ready", "member"):
        value = found[part]
        assert isinstance(value, dict)  # noqa: S101 - Api.call returns nothing else
        flat |= {
            key.replace("_", " "): inner
            for key, inner in value.items()
            if not isinstance(inner, list) or inner
        }
    clusters = flat.pop("joint clusters", [])
    facts(flat | {"clusters": len(clusters) if isinstance(clusters, list) else None})


def _show_once(session: Session, made: dict[str, object], password_file: Path | None) -> None:
    admin = made.get("admin")
    if isinstance(admin, dict) and password_file is not None:
        write_new(password_file, str(admin.pop("password", "")))
        say(f"The administrator's password is in {password_file}")

    def table() -> None:
        facts({key.replace("_", " "): value for key, value in made.items() if key != "admin"})
        if isinstance(admin, dict) and admin.get("password"):
            say("\nThis password is shown only once:")
            facts({"user": admin.get("username"), "password": admin["password"]})

    session.emit(made, table)


def join_token(file: str) -> str:
    """Read a join token from a file, `-` for standard input, or the environment. Raises CliError."""
    if file == "-":
        token = sys.stdin.read().strip()
    elif file:
        token = secret_from(Path(file))
    else:
        token = os.environ.get("FEDBUS_JOIN_TOKEN", "").strip()
    if not token:
        raise CliError(
            "A join token is needed",
            remedy="Give it with --token-file FILE (or - for standard input), or in FEDBUS_JOIN_TOKEN",
            code=ExitCode.USAGE,
        )
    return token
