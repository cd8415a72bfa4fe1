"""`fedbus policy get | apply | delete`: policy, as documents of {kind, op, revision, spec}."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from fedbus.cli.errors import ApiError, CliError
from fedbus.cli.exchange import request
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Output, rows, say, to_yaml
from fedbus.cli.policy_objects import Document, name_of, read
from fedbus.cli.session import Session, command
from fedbus.errors import InvalidInput
from fedbus.model.policy import KINDS
from fedbus.web import yaml_documents
from fedbus.web.policy_reads import FED, LOCAL

app = typer.Typer(
    no_args_is_help=True,
    help="Policy, the federation's or with --scope local a cluster's own.",
    epilog=f"Kinds: {', '.join(KINDS)}",
)

_PROMOTION = {
    "admission_rule": "/v1/admission/rule/promote",
    "network_rule": "/v1/policy/rules/promote",
}

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="Such as group or network_rule.")]
FileOption = Annotated[
    list[str],
    typer.Option("--file", "-f", metavar="FILE|DIR", help="YAML documents; - is standard input."),
]
PruneOption = Annotated[
    bool, typer.Option("--prune", help="Delete every federated object that the files do not name.")
]
AllowEmptyOption = Annotated[
    bool, typer.Option("--allow-empty", help="With --prune: no documents at all mean delete everything.")
]
ScopeOption = Annotated[
    str, typer.Option(help="fed: the federation's, on its master; local: the cluster's own.")
]
CommentOption = Annotated[str, typer.Option(help="Why; kept with the change.")]


@command(app)
async def get(
    session: Session,
    kind: KindArgument,
    name: Annotated[str, typer.Argument(help="One object; its id for rules.")] = "",
    scope: ScopeOption = FED,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="With revisions, so that `apply` refuses what changed since.")
    ] = False,
) -> None:
    """Show policy. As YAML it is what `policy apply` takes."""
    kind = kind_named(kind)
    found = await read(session.api, kind, scope)
    if name:
        found = [one for one in found if name_of(one) == name]
        if not found:
            raise CliError(f"There is no {kind} {name!r} in scope {scope}", code=ExitCode.NOT_FOUND)
    shown = found if revisions else [msgspec.structs.replace(one, revision=None) for one in found]
    if session.form is Output.YAML:
        # What is built in cannot be applied.
        shown = [one for one in shown if one.spec.get("cfg_type") != "system_defined"]
        typer.echo(to_yaml([msgspec.to_builtins(one) for one in shown]), nl=False)
        return
    session.emit({"documents": shown}, lambda: _table(found))


@command(app)
async def apply(
    session: Session,
    file: FileOption,
    *,
    prune: PruneOption = False,
    allow_empty: AllowEmptyOption = False,
    scope: ScopeOption = FED,
    comment: CommentOption = "",
    idempotency_key: Annotated[
        str, typer.Option(help="To ask again about a change of unknown outcome.")
    ] = "",
) -> None:
    """Apply documents as one change: all of them, or none.

    Of a directory every policy file below it counts, NeuVector's too, and the order of rules in it is
    the order in which they match. With --prune the federation becomes what the files say.
    """
    if prune or _has_directory(file):
        _only_federated(scope)
        if idempotency_key:
            remedy = "Apply it again: what has been done changes nothing then"
            raise CliError("A directory takes no --idempotency-key", remedy=remedy, code=ExitCode.USAGE)
        done = await send_tree(session, file, comment=comment, prune=prune, allow_empty=allow_empty)
    else:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        query = {"comment": comment} if comment else None
        done = await send(session, file, query, headers, path=apply_path(scope))
    session.emit(done, lambda: show_changes(done))


async def preview(
    session: Session, files: list[str], *, scope: str = FED, prune: bool = False, allow_empty: bool = False
) -> dict[str, object]:
    """Return what applying files or directories would change."""
    if prune or _has_directory(files):
        _only_federated(scope)
        return await send_tree(session, files, dry_run=True, prune=prune, allow_empty=allow_empty)
    return await send(session, files, {"dry_run": "true"}, path=apply_path(scope))


def apply_path(scope: str) -> str:
    """Return where documents of a scope are sent. Raises CliError for another scope."""
    if scope not in (FED, LOCAL):
        raise CliError(f"There is no scope {scope!r}", remedy="Use fed or local", code=ExitCode.USAGE)
    return f"/v1/{scope}/apply"


def _only_federated(scope: str) -> None:
    apply_path(scope)
    if scope != FED:
        message = "Directories and --prune are for federated policy"
        raise CliError(message, remedy="Name the files", code=ExitCode.USAGE)


def _has_directory(files: list[str]) -> bool:
    return any(Path(name).is_dir() for name in files)


async def send_tree(
    session: Session,
    files: list[str],
    *,
    comment: str = "",
    dry_run: bool = False,
    prune: bool = False,
    allow_empty: bool = False,
) -> dict[str, object]:
    """Send what all files and directories say as one request; notes go to standard error."""
    batch = request.load(files)
    done = await request.send(
        session.api, batch, comment=comment, dry_run=dry_run, prune=prune, allow_empty=allow_empty
    )
    request.say_remarks(batch)
    return done


async def send(
    session: Session,
    files: list[str],
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    *,
    path: str = "/v1/fed/apply",
) -> dict[str, object]:
    """Send the documents of all files as one request; a fault names its file and the line in it."""
    stream, starts = _joined([(name, _text(name)) for name in files])
    try:
        return await session.api.call(
            "POST",
            path,
            raw=stream.encode(),
            content_type="application/yaml",
            query=query,
            headers=headers,
        )
    except ApiError as error:
        _name_files(error, starts)
        raise


async def post_documents(
    session: Session, path: str, files: list[str], body: dict[str, object]
) -> dict[str, object]:
    """Send the documents of all files as JSON within a body; a fault names its file and the line in it."""
    stream, starts = _joined([(name, _text(name)) for name in files])
    try:
        found = yaml_documents.parse(stream.encode())
    except InvalidInput as error:
        why = "; ".join(f"line {fault.line}: {fault.message}" for fault in error.faults)
        raise CliError(f"{error.message}: {why}", code=ExitCode.USAGE) from error
    try:
        return await session.api.post(path, body | {"documents": [one.value for one in found]})
    except ApiError as error:
        for fault in error.problem.errors:
            if fault.line is None and fault.document is not None:
                fault.line = found[fault.document].line
        _name_files(error, starts)
        raise


@command(app)
async def delete(
    session: Session,
    kind: KindArgument,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names; ids for rules.")],
    *,
    revision: Annotated[int | None, typer.Option(help="Only at this revision (of one object).")] = None,
    scope: ScopeOption = FED,
    comment: CommentOption = "",
) -> None:
    """Delete objects as one change; what uses a deleted group goes with it."""
    kind = kind_named(kind)
    if revision is not None and len(names) > 1:
        raise CliError("--revision is for one object", code=ExitCode.USAGE)
    documents = [
        {"kind": kind, "op": "delete", "spec": _identity(kind, name)}
        | ({"revision": revision} if revision is not None else {})
        for name in names
    ]
    done = await session.api.post(apply_path(scope), {"documents": documents, "comment": comment})
    session.emit(done, lambda: show_changes(done))


@command(app)
async def promote(
    session: Session,
    kind: KindArgument,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="The ids of local rules.")],
    comment: CommentOption = "",
) -> None:
    """Copy admission or network rules of the master's own cluster into the federation, with their groups."""
    path = _PROMOTION.get(kind_named(kind))
    if path is None:
        message = f"Promoted are {' and '.join(_PROMOTION)}s, not {kind}"
        raise CliError(message, code=ExitCode.USAGE)
    query = {"comment": comment} if comment else None
    done = await session.api.call(
        "POST", path, raw=msgspec.json.encode({"request": {"ids": ids}}), query=query
    )
    session.emit(done, lambda: show_changes(done))


def kind_named(given: str) -> str:
    """Return the kind that a person means: hyphens and plurals are understood. Raises CliError."""
    kind = given.replace("-", "_")
    for candidate in (kind, kind.removesuffix("s")):
        if candidate in KINDS:
            return candidate
    raise CliError(f"There is no kind {given!r}", remedy=f"Kinds: {', '.join(KINDS)}", code=ExitCode.USAGE)


def _identity(kind: str, name: str) -> dict[str, object]:
    field = KINDS[kind].identity
    if field == "id":
        if not name.isdecimal():
            raise CliError(f"A {kind} is named by its id, not {name!r}", code=ExitCode.USAGE)
        return {field: int(name)}
    return {field: name} if field else {}


_EMPTY: tuple[object, ...] = ("", [], {}, None)


def _filled(value: object) -> object:
    """Return a value without the parts that nobody filled in."""
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if isinstance(value, dict):
        return {key: left for key, one in value.items() if (left := _filled(one)) not in _EMPTY}
    return value


def _table(found: list[Document]) -> None:
    hidden = {"cfg_type", "rank", "comment", KINDS[found[0].kind].identity} if found else set()
    columns = [
        ("NAME", lambda row: row["name"]),
        ("REVISION", lambda row: row["revision"]),
        ("TARGET", lambda row: row["target"]),
        ("SPEC", lambda row: row["spec"]),
        ("COMMENT", lambda row: row["comment"]),
    ]
    records = [
        {
            "name": name_of(one),
            "revision": one.revision,
            "target": one.target or "all",
            "spec": _filled({key: value for key, value in one.spec.items() if key not in hidden}),
            "comment": one.spec.get("comment"),
        }
        for one in found
    ]
    rows(columns, records)


def show_changes(done: dict[str, object]) -> None:
    """Print what became of each object."""
    changes = done.get("changes")
    columns = [
        ("KIND", lambda change: change.get("kind")),
        ("NAME", lambda change: change.get("name")),
        ("CHANGE", lambda change: change.get("op")),
        ("REVISION", lambda change: change.get("revision")),
    ]
    found = changes if isinstance(changes, list) else []
    rows(columns, found, empty="Nothing to change")
    say_reach(found)
    if "version" in done:
        say(f"Version {done['version']}, changeset {done.get('changeset')}")


def say_reach(changes: list[dict[str, object]]) -> None:
    """Say which objects are for no cluster: a wrong label is otherwise found out too late."""
    for change in changes:
        if change.get("clusters") == 0:
            say(f"{change['kind']} {change['name']} is for no cluster that is joined now")


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CliError(f"Cannot read {name}: {why}", code=ExitCode.USAGE) from error


def _joined(texts: list[tuple[str, str]]) -> tuple[str, list[tuple[int, str]]]:
    """Make one stream of all files; with it, the line before each: the marker that opens it."""
    stream, starts = "", []
    for name, text in texts:
        starts.append((stream.count("\n"), name))
        stream += text.removeprefix("\ufeff").removesuffix("\n") + "\n---\n"
    return stream, starts


def _name_files(error: ApiError, starts: list[tuple[int, str]]) -> None:
    """Say the file and the line in it, where the daemon said the line in the stream."""
    for fault in error.problem.errors:
        if fault.line is not None:
            before, name = max((start for start in starts if start[0] <= fault.line), default=(0, "-"))
            fault.line = max(1, fault.line - before)
            fault.field = f"{name}: {fault.field}" if fault.field else name
