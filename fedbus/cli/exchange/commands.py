"""`fedbus policy import | export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from fedbus.cli import policy
from fedbus.cli.errors import ApiError
from fedbus.cli.exchange import request, tree
from fedbus.cli.exchange.request import Batch
from fedbus.cli.exchange.sources import Source
from fedbus.cli.output import Output, rows, say, to_yaml
from fedbus.cli.policy_objects import name_of, read
from fedbus.cli.session import Session, command
from fedbus.core import policy_input
from fedbus.core.exchange import layout
from fedbus.core.exchange.neuvector import resources
from fedbus.core.exchange.reading import Remark
from fedbus.model.policy import KINDS, Group, Policy, kind_of


class Format(StrEnum):
    """What an export is written as."""

    FEDBUS = "fedbus"
    NEUVECTOR = "neuvector"


def register(app: typer.Typer) -> None:
    """Add the commands to `fedbus policy`."""
    command(app, "import")(import_)
    command(app)(export)


async def import_(
    session: Session,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE|DIR...", help="YAML; - is standard input. Directories whole.")
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change.")] = False,
    comment: policy.CommentOption = "",
) -> None:
    """Import NeuVector's policy YAML, or our own, as one change; report on every document.

    One rejected document, and nothing is applied. A rule without an id that says the same as one
    that exists is that rule, so importing twice changes nothing.
    """
    batch = request.load(files)
    try:
        done = await request.send(session.api, batch, comment=comment, dry_run=dry_run)
    except ApiError:
        _report(session, batch, {})
        raise
    _report(session, batch, done)


def _report(session: Session, batch: Batch, done: dict[str, object]) -> None:
    documents = [_described(one) for one in batch.sources]
    session.emit({"documents": documents, **done}, lambda: _table(documents, done))
    if session.form is Output.TABLE:
        request.say_remarks(batch)


def _described(source: Source) -> dict[str, object]:
    return {
        "file": source.file,
        "document": source.document,
        "line": source.start,
        "kind": source.judged.kind,
        "result": "rejected" if source.judged.faults else "accepted",
        "objects": [f"{item.kind} {item.name}".removesuffix(" 0") for item in source.judged.items],
        "ignored": [request.placed(source, remark) for remark in source.judged.remarks],
        "errors": [request.placed(source, fault) for fault in source.judged.faults],
    }


def _table(documents: list[dict[str, object]], done: dict[str, object]) -> None:
    columns = [
        (name.upper(), lambda one, name=name: one[name])
        for name in ("file", "line", "kind", "result", "objects")
    ]
    rows(columns, documents)
    if done:
        policy.show_changes(done)


async def export(
    session: Session,
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND...]", help="All, if none is named.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Our own, or NeuVector's resources.")
    ] = Format.FEDBUS,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="One file an object, for git.", file_okay=False),
    ] = None,
) -> None:
    """Write federated policy as YAML, in a stable order: to standard output, or to a directory.

    In a directory only files that differ are written, and files of an earlier export whose object
    is gone are removed.
    """
    names = [policy.kind_named(kind) for kind in kinds or KINDS]
    needed = list(names) + (["group"] if form is Format.NEUVECTOR and "group" not in names else [])
    found = [one for kind in needed for one in await read(session.api, kind, "fed")]
    held = [policy_input.parse(one.kind, one.spec) for one in found]
    objects = [obj for obj in held if kind_of(obj).name in names]
    targets = {(one.kind, name_of(one)): one.target for one in found if one.target and one.kind in names}
    documents, remarks = _written(form, objects, held, targets)
    if directory is not None:
        managed = names if form is Format.FEDBUS else list(resources.RESOURCE_KINDS)
        wrote = tree.write(directory, layout.files(documents), managed)
        session.emit({**msgspec.to_builtins(wrote), "remarks": remarks}, lambda: _tree_table(wrote))
    elif session.form is Output.JSON:
        session.emit({"documents": documents, "remarks": remarks}, lambda: None)
    else:
        typer.echo(to_yaml(documents), nl=False)
    if session.form is not Output.JSON:
        for remark in remarks:
            say(f"Note: {remark.path}: {remark.message}")


def _written(
    form: Format,
    objects: list[Policy],
    held: list[Policy],
    targets: dict[tuple[str, str], dict[str, object]],
) -> tuple[list[dict[str, object]], list[Remark]]:
    if form is Format.FEDBUS:
        return layout.documents(objects, targets), []
    groups = {obj.name: obj for obj in held if isinstance(obj, Group)}
    written = resources.write(layout.sorted_objects(objects), groups)
    lost = [Remark(f"{kind} {name}", "NeuVector's resources have no targets") for kind, name in targets]
    return written.documents, written.remarks + lost


def _tree_table(wrote: tree.Wrote) -> None:
    files = [{"file": file, "what": "written"} for file in wrote.written]
    files += [{"file": file, "what": "removed"} for file in wrote.removed]
    columns = [("FILE", lambda one: one["file"]), ("WHAT", lambda one: one["what"])]
    rows(columns, files, empty="Nothing to write")
    say(f"{wrote.unchanged} files stay as they are")
