"""`fedbus registry add | list | show | scan | stop | remove | test`: what is scanned, and where it stands."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fedbus.cli.client import secret_from
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import facts, rows, say
from fedbus.cli.session import Session, command, confirm

app = typer.Typer(no_args_is_help=True, help="Registries whose images are scanned.")

PATH = "/v1/scan/registry"
LOOK_SECONDS = 0.5

Named = Annotated[str, typer.Argument(metavar="REGISTRY", help="Its name; fed.NAME is the federation's.")]
ScopeOption = Annotated[str, typer.Option(help="fed or local; otherwise what the name says.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@command(app)
async def add(
    session: Session,
    name: Named,
    address: Annotated[str, typer.Option("--registry", metavar="URL", help="Its https:// address.")] = "",
    *,
    type_: Annotated[str, typer.Option("--type", help="NeuVector's registry type.")] = "",
    filter_: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="ORG/REPO:TAG", help="What to scan; can be repeated. Default all."),
    ] = None,
    username: Annotated[str, typer.Option(help="Who pulls.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The password; - is standard input.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A bearer token instead; - is standard input.")
    ] = None,
    every: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="Scan again after so long; 0 on demand only.")
    ] = None,
    rescan: Annotated[
        bool | None, typer.Option("--rescan/--no-rescan", help="Scan again with a newer database.")
    ] = None,
    repo_limit: Annotated[int | None, typer.Option(min=0, help="The most repositories.")] = None,
    tag_limit: Annotated[int | None, typer.Option(min=0, help="The most tags of a repository.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Change one that is there.")] = False,
    scope: ScopeOption = "",
) -> None:
    """Add a registry, or change one. Secrets are read from a file or standard input, never from arguments."""
    config: dict[str, object] = {"name": name}
    given = {"registry": address, "registry_type": type_, "username": username, "filters": filter_}
    config |= {key: value for key, value in given.items() if value}
    config |= {
        key: value
        for key, value in (
            ("rescan_after_db_update", rescan),
            ("repo_limit", repo_limit),
            ("tag_limit", tag_limit),
        )
        if value is not None
    }
    if password_file is not None:
        config["password"] = _secret(password_file)
    if token_file is not None:
        config |= {"auth_token": _secret(token_file), "auth_with_token": True}
    if every is not None:
        kind = "periodical" if every else "manual"
        config["schedule"] = {"schedule": kind, "interval": every}
    if update:
        done = await session.api.call("PATCH", _path(name), raw=_body(config), query=_scope(scope))
    else:
        config = {"registry_type": "Docker Registry", "filters": ["*"], **config}
        done = await session.api.call("POST", PATH, raw=_body(config), query=_scope(scope))
    session.emit(done, lambda: say(f"Registry {name} is {'changed' if update else 'added'}"))


@command(app, "list")
async def list_registries(session: Session, scope: ScopeOption = "") -> None:
    """List the registries and where their scans stand."""
    found = await session.api.get(PATH, **_scope(scope))
    columns = [
        ("NAME", lambda one: one.get("name")),
        ("REGISTRY", lambda one: one.get("registry")),
        ("FILTERS", lambda one: one.get("filters")),
        ("STATUS", lambda one: one.get("state") or one.get("status")),
        ("QUEUED", lambda one: one.get("scheduled")),
        ("FINISHED", lambda one: one.get("scanned")),
        ("FAILED", lambda one: one.get("failed")),
        ("STARTED", lambda one: one.get("started_at")),
        ("ERROR", lambda one: one.get("error_message")),
    ]
    listed = found.get("summarys")
    session.emit(
        found, lambda: rows(columns, listed if isinstance(listed, list) else [], empty="No registries")
    )


@command(app)
async def show(session: Session, name: Named) -> None:
    """Show a registry, and what of it could not be scanned."""
    found = await _summary(session, name)

    def table() -> None:
        _table(found)

    session.emit(found, table)


@command(app)
async def scan(
    session: Session,
    name: Named,
    force: Annotated[bool, typer.Option("--force", help="Scan again what was scanned.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")] = True,
) -> None:
    """Scan a registry now: what is new, and with a newer database everything."""
    query = {"force": "true"} if force else {}
    status = await session.api.call("POST", _path(name) + "/scan", raw=b"{}", query=query)
    if wait:
        status = await _watched(session, name)
    session.emit(status, lambda: _table(status))
    if wait and (status.get("state") != "done" or status.get("failed")):
        raise CliError(
            str(status.get("error_message") or f"{status.get('failed')} images could not be scanned"),
            remedy=str(status.get("error_detail") or f"see `fedbus registry show {name}`"),
        )


@command(app)
async def stop(session: Session, name: Named) -> None:
    """Stop the scan of a registry; what it found stays."""
    done = await session.api.call("DELETE", _path(name) + "/scan")
    session.emit(done, lambda: say(f"Registry {name}: {done.get('state') or 'no scan goes on'}"))


@command(app)
async def remove(session: Session, name: Named, yes: YesOption = False) -> None:
    """Remove a registry, its credentials and its results."""
    confirm(f"Remove the registry {name} and all of its results?", yes=yes)
    done = await session.api.call("DELETE", _path(name))
    session.emit(done, lambda: say(f"Registry {name} is removed"))


@command(app)
async def test(session: Session, name: Named) -> None:
    """Try out a registry step by step; nothing is scanned."""
    done = await session.api.post(_path(name) + "/test", {})
    steps = done.get("steps")
    columns = [
        ("STEP", lambda one: one.get("name")),
        ("OK", lambda one: one.get("ok")),
        ("WHAT", lambda one: one.get("message")),
        ("DO", lambda one: one.get("remedy")),
    ]
    session.emit(done, lambda: rows(columns, steps if isinstance(steps, list) else []))
    if not done.get("success"):
        raise CliError(f"The registry {name} cannot be scanned")


async def _watched(session: Session, name: str) -> dict[str, Any]:
    """Show progress until nothing goes on, and return where the registry stands then."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as progress:
        shown = progress.add_task(name, total=None, failed=0)
        while True:
            status = await _summary(session, name)
            done = int(status["scanned"])
            waiting = int(status["scheduled"]) + int(status["scanning"])
            progress.update(
                shown,
                description=f"{name}: {status['state']}",
                completed=done,
                total=done + waiting if status["state"] == "scanning" else None,
                failed=status["failed"],
            )
            if status["status"] != "scanning":
                return status
            await asyncio.sleep(LOOK_SECONDS)


async def _summary(session: Session, name: str) -> dict[str, Any]:
    found = await session.api.get(_path(name))
    summary = found.get("summary")
    if not isinstance(summary, dict):
        raise CliError(f"{session.api.url} does not answer like fedbus", code=ExitCode.UNREACHABLE)
    return summary


def _table(summary: dict[str, Any]) -> None:
    failures = summary.get("failures") or []
    shown = {key.replace("_", " "): value for key, value in summary.items() if key != "failures"}
    facts({key: value for key, value in shown.items() if value not in (0, False)})
    if failures:
        say("")
        columns = [
            ("IMAGE", lambda one: f"{one.get('repository')}:{one.get('tag', '')}".rstrip(":")),
            ("CODE", lambda one: one.get("code")),
            ("WHY", lambda one: one.get("message")),
        ]
        rows(columns, failures)


def _path(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}"


def _scope(scope: str) -> dict[str, str]:
    return {"scope": scope} if scope else {}


def _secret(file: Path) -> str:
    if str(file) != "-":
        return secret_from(file)
    secret = sys.stdin.readline().strip()
    if not secret:
        raise CliError("There is no secret on standard input", code=ExitCode.USAGE)
    return secret


def _body(config: dict[str, object]) -> bytes:
    return msgspec.json.encode({"config": config})
