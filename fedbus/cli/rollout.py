"""`fedbus rollout start | list | show | continue | abort`: new versions of policy, wave by wave."""

from typing import Annotated
from urllib.parse import quote

import typer

from fedbus.cli import policy
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import facts, rows, say
from fedbus.cli.session import Session, command, confirm, labels

app = typer.Typer(no_args_is_help=True, help="Bring new versions of policy to clusters in waves.")

Named = Annotated[str, typer.Argument(metavar="ROLLOUT", help="The rollout's id.")]
PATH = "/v1/fed/rollout"


@command(app)
async def start(
    session: Session,
    *,
    file: Annotated[
        list[str], typer.Option("--file", "-f", metavar="FILE", help="YAML documents; - is standard input.")
    ],
    wave: Annotated[
        list[str],
        typer.Option(
            metavar="WAVE", help="So many of all, as 10%, or those with labels, as ring=canary,env=x."
        ),
    ],
    pause: Annotated[float, typer.Option(min=0, help="Seconds between two waves.")] = 0.0,
    manual: Annotated[
        bool, typer.Option("--manual", help="Begin each wave with `rollout continue`.")
    ] = False,
    comment: policy.CommentOption = "",
) -> None:
    """Begin a rollout; the first wave has the new versions at once.

    It goes on by itself, halts when a cluster that has them refuses events or goes offline, and ends with
    the new versions for all clusters.
    """
    body = {"waves": [_wave(one) for one in wave], "manual": manual, "comment": comment}
    done = await policy.post_documents(session, PATH, file, body | {"pause_seconds": pause})
    session.emit(done, lambda: _show(done))


@command(app, "list")
async def list_rollouts(session: Session) -> None:
    """List the rollouts, the newest first."""
    found = await session.api.get(PATH)
    columns = [
        ("ID", lambda one: one.get("id")),
        ("STATE", lambda one: one.get("state")),
        ("WAVE", lambda one: f"{one['wave']}/{len(one['waves'])}"),
        ("OBJECTS", lambda one: len(one["objects"])),
        ("CLUSTERS", lambda one: len(one["clusters"])),
        ("BEGAN", lambda one: one.get("created_at")),
        ("BY", lambda one: one.get("created_by")),
        ("COMMENT", lambda one: one.get("comment")),
    ]
    listed = found.get("rollouts")
    session.emit(
        found, lambda: rows(columns, listed if isinstance(listed, list) else [], empty="No rollouts")
    )


@command(app)
async def show(session: Session, rollout: Named) -> None:
    """Show where a rollout stands."""
    found = await session.api.get(f"{PATH}/{quote(rollout, safe='')}")
    session.emit(found, lambda: _show(found))


@command(app, "continue")
async def go_on(session: Session, rollout: Named) -> None:
    """Begin the next wave now, or go on in spite of what halted the rollout."""
    done = await session.api.post(f"{PATH}/{quote(rollout, safe='')}/continue", {})
    session.emit(done, lambda: say(f"The rollout is {done.get('state')}"))


@command(app)
async def abort(
    session: Session,
    rollout: Named,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End a rollout: every cluster goes back to the version for all."""
    confirm(f"Take back what the rollout {rollout} brought?", yes=yes)
    done = await session.api.post(f"{PATH}/{quote(rollout, safe='')}/abort", {})
    session.emit(done, lambda: say(f"The rollout is {done.get('state')}"))


def _wave(text: str) -> dict[str, object]:
    if text.endswith("%"):
        if not text[:-1].isdecimal():
            raise CliError(f"A wave is a percentage as 10%, or labels, not {text!r}", code=ExitCode.USAGE)
        return {"percent": int(text[:-1])}
    return {"selector": labels(text.split(","))}


def _show(found: dict[str, object]) -> None:
    shown = {key.replace("_", " "): value for key, value in found.items()}
    waves, objects = found.get("waves"), found.get("objects")
    if isinstance(waves, list):
        shown["waves"] = ["+".join(f"{key}: {value}" for key, value in wave.items()) for wave in waves]
    if isinstance(objects, list):
        shown["objects"] = [" ".join(map(str, one)) for one in objects]
    facts(shown)
