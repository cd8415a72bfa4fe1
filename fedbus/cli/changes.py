"""`fedbus policy diff | history | rollback`: what would change, what did, and back again."""

from typing import Annotated

import typer

from fedbus.cli import policy
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import rows, say, text
from fedbus.cli.session import Session, command
from fedbus.web.policy_reads import FED


def register(app: typer.Typer) -> None:
    """Add the commands to `fedbus policy`."""
    for function in (diff, history, rollback):
        command(app)(function)


async def diff(
    session: Session,
    file: policy.FileOption,
    *,
    scope: policy.ScopeOption = FED,
    prune: policy.PruneOption = False,
    allow_empty: policy.AllowEmptyOption = False,
) -> None:
    """Show what `policy apply` of these documents would change, field by field; changes nothing."""
    done = await policy.preview(session, file, scope=scope, prune=prune, allow_empty=allow_empty)
    session.emit(done, lambda: _previews(done.get("changes")))


async def history(
    session: Session,
    kind: Annotated[str, typer.Argument(metavar="[KIND]", help="Such as group or network_rule.")] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The object; its id for rules.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, without an object.")] = 50,
) -> None:
    """Show who changed what, when and why: one object with its differences, or the newest changes of all."""
    if bool(kind) != bool(name):
        raise CliError("Name a kind and an object, or neither", code=ExitCode.USAGE)
    query = {"kind": policy.kind_named(kind), "name": name} if kind else {"limit": str(limit)}
    found = await session.api.get("/v1/fed/history", **query)
    session.emit(found, lambda: _revisions(found.get("revisions")))


async def rollback(
    session: Session,
    kind: Annotated[str, typer.Argument(metavar="[KIND]", help="Such as group or network_rule.")] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The object; its id for rules.")] = "",
    *,
    revision: Annotated[
        int | None, typer.Option(min=0, help="The revision to bring back; 0: it did not exist.")
    ] = None,
    changeset: Annotated[str, typer.Option(help="Undo this changeset instead of one object.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also what was changed since.")] = False,
    comment: policy.CommentOption = "",
) -> None:
    """Bring back an earlier state, as a new revision: nothing of the history is lost."""
    one = bool(kind and name and revision is not None)
    if one == bool(changeset):
        raise CliError("Name KIND, NAME and --revision, or a --changeset", code=ExitCode.USAGE)
    target = (
        {"kind": policy.kind_named(kind), "name": name, "revision": revision}
        if one
        else {"changeset": changeset, "force": force}
    )
    done = await session.api.post("/v1/fed/rollback", target | {"comment": comment})
    session.emit(done, lambda: policy.show_changes(done))


def _previews(changes: object) -> None:
    for change in changes if isinstance(changes, list) else []:
        say(f"{change['op']} {change['kind']} {change['name']}")
        _differences(change.get("diff"))
    policy.say_reach(changes if isinstance(changes, list) else [])


def _revisions(revisions: object) -> None:
    found = revisions if isinstance(revisions, list) else []
    columns = [
        ("REVISION", lambda one: one.get("revision")),
        ("KIND", lambda one: one.get("kind")),
        ("NAME", lambda one: one.get("name")),
        ("CHANGE", lambda one: one.get("op")),
        ("AT", lambda one: one.get("at")),
        ("BY", lambda one: one.get("actor")),
        ("FROM", lambda one: one.get("from")),
        ("COMMENT", lambda one: one.get("comment")),
        ("FIELDS", _fields),
        ("CHANGESET", lambda one: one.get("changeset")),
    ]
    rows(columns, found, empty="No history")


def _fields(one: dict[str, object]) -> str | None:
    """Name what an update changed; a creation or a deletion concerns all of it."""
    diff = one.get("diff")
    if one.get("op") != "updated" or not isinstance(diff, list):
        return None
    return ", ".join(str(item["path"]) for item in diff)


def _differences(items: object) -> None:
    for item in items if isinstance(items, list) else []:
        if "before" in item:
            say(f"  - {item['path']}: {text(item['before'])}")
        if "after" in item:
            say(f"  + {item['path']}: {text(item['after'])}")
