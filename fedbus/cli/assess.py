"""`fedbus assess -f FILES`: what admission would do with manifests, here or in every cluster."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

import msgspec
import typer

from fedbus.cli.errors import CliError
from fedbus.cli.exchange import sources
from fedbus.cli.exchange.sources import Parsed
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Column, rows, say
from fedbus.cli.session import Session
from fedbus.core.assessment import MAX_RESOURCES
from fedbus.model.assessment import Assessed, Assessment, ClusterAssessment, FederationAssessment, Rejected
from fedbus.model.decision import Mode

EXIT_CODES = (
    "Exit codes: 0 everything would be allowed, 9 something would be denied (also where admission control is "
    "off and only its rules say so), 7 a document cannot be assessed, 8 a cluster did not answer; the first "
    "of 9, 7, 8 that fits, else as of every command."
)
_BATCH_BYTES = 2 * 1024 * 1024
_BATCH_DOCUMENTS = MAX_RESOURCES // 4
"""Documents of one request; a list counts each of its resources."""


class Named(Assessed, frozen=True, kw_only=True):
    """A result with where its manifest stands."""

    file: str
    line: int | None = None


class NamedRejected(Rejected, frozen=True, kw_only=True):
    """A rejection with where its document stands."""

    file: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What one cluster would do with everything; `cluster` is empty for the daemon that was asked."""

    cluster: str = ""
    enable: bool | None = None
    mode: Mode | None = None
    results: list[Named] = []
    offline_since: str = ""
    refused: str = ""


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the command."""

    clusters: list[Found]
    rejected: list[NamedRejected]
    props_unavailable: tuple[str, ...] = ("user", "userGroups")


async def assess(
    session: Session,
    file: Annotated[
        list[str],
        typer.Option("--file", "-f", metavar="FILE|DIR", help="Manifests; - is standard input."),
    ],
    *,
    cluster: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Ask this cluster, through the master; can be repeated."),
    ] = None,
    all_clusters: Annotated[
        bool, typer.Option("--all-clusters", help="Ask every cluster, through the master.")
    ] = False,
) -> None:
    """Say what admission control would do with manifests, and which rule says so. Nothing is changed.

    Who asks is not known of a manifest: rules about users and their groups do not match.
    """
    if cluster and all_clusters:
        raise CliError("Give --cluster or --all-clusters", code=ExitCode.USAGE)
    parsed = sources.parse(file)
    documents = [one for one in parsed if one.value is not None]
    if not parsed:
        raise CliError("There are no documents in these files", code=ExitCode.USAGE)
    merged: dict[str, Found] = {}
    rejected = [_unreadable(one) for one in parsed if one.value is None]
    for batch in _batches(documents):
        found = await _ask(session, batch, cluster or [], federated=bool(cluster) or all_clusters)
        rejected += [_placed(one, batch) for one in found.rejected]
        for one in found.clusters:
            _merge(merged, one, batch)
    everything = Everything(clusters=list(merged.values()), rejected=rejected)
    session.emit(everything, lambda: _show(everything))
    if (code := exit_code(everything)) is not ExitCode.OK:
        raise typer.Exit(code)


def exit_code(found: Everything) -> ExitCode:
    """Return what the command ends with."""
    if any(not one.allowed for cluster in found.clusters for one in cluster.results):
        return ExitCode.WOULD_DENY
    if found.rejected:
        return ExitCode.INVALID
    if any(one.offline_since or one.refused for one in found.clusters):
        return ExitCode.UNAVAILABLE
    return ExitCode.OK


async def _ask(
    session: Session, batch: Sequence[Parsed], names: Sequence[str], *, federated: bool
) -> FederationAssessment:
    raw = msgspec.json.encode({"documents": [one.value for one in batch]})
    if federated:
        query = urlencode([("cluster", name) for name in names])
        path = "/v1/fed/assess/admission/rule" + (f"?{query}" if query else "")
        return msgspec.convert(await session.api.call("POST", path, raw=raw), FederationAssessment)
    found = msgspec.convert(await session.api.call("POST", "/v1/assess/admission/rule", raw=raw), Assessment)
    own = ClusterAssessment(id="", name="", assessment=found)
    return FederationAssessment(clusters=[own], rejected=found.rejected)


def _batches(documents: Sequence[Parsed]) -> Iterator[list[Parsed]]:
    """Cut the documents into requests that a daemon takes."""
    batch: list[Parsed] = []
    size = resources = 0
    for one in documents:
        length, count = len(msgspec.json.encode(one.value)), _resources(one.value)
        if batch and (size + length > _BATCH_BYTES or resources + count > _BATCH_DOCUMENTS):
            yield batch
            batch, size, resources = [], 0, 0
        batch.append(one)
        size, resources = size + length, resources + count
    if batch:
        yield batch


def _resources(value: Mapping[str, object] | None) -> int:
    items = (value or {}).get("items")
    return len(items) if isinstance(items, list) else 1


def _merge(merged: dict[str, Found], told: ClusterAssessment, batch: Sequence[Parsed]) -> None:
    held = merged.get(told.name, Found(cluster=told.name))
    if told.assessment is None:
        refused = told.refused.message if told.refused else ""
        merged[told.name] = msgspec.structs.replace(
            held, offline_since=told.offline_since or held.offline_since, refused=refused or held.refused
        )
        return
    results = [
        Named(**msgspec.structs.asdict(one), file=batch[one.index].file, line=batch[one.index].line_of(""))
        for one in told.assessment.results
    ]
    merged[told.name] = msgspec.structs.replace(
        held,
        enable=told.assessment.enable,
        mode=told.assessment.global_mode,
        results=[*held.results, *results],
    )


def _unreadable(one: Parsed) -> NamedRejected:
    return NamedRejected(
        index=one.document or 0,
        line=one.line,
        field=one.field,
        code="DOCUMENT_MALFORMED",
        message=one.fault,
        file=one.file,
    )


def _placed(one: Rejected, batch: Sequence[Parsed]) -> NamedRejected:
    document = batch[one.index]
    fields = msgspec.structs.asdict(one)
    fields |= {"index": document.document or 0, "line": document.line_of(one.field)}
    return NamedRejected(**fields, file=document.file)


def _show(found: Everything) -> None:
    many = any(one.cluster for one in found.clusters)
    lines = [line for cluster in found.clusters for line in _lines(cluster)]
    columns = _COLUMNS if many else _COLUMNS[1:]
    rows(columns, lines, empty="Nothing that admission looks at")
    for one in found.clusters:
        name = one.cluster or "this cluster"
        if one.offline_since:
            say(f"{name} is offline since {one.offline_since}: it was not asked")
        elif one.refused:
            say(f"{name} did not answer: {one.refused}")
        elif one.enable is False:
            say(f"{name}: admission control is off; this is what its rules would do")
    for bad in found.rejected:
        where = f"{bad.file}:{bad.line}" if bad.line else f"{bad.file}, document {bad.index + 1}"
        say(f"{where}: {bad.field + ': ' if bad.field else ''}{bad.message}")


def _lines(cluster: Found) -> Iterator[dict[str, object]]:
    """Yield a line for each rule that has something to say of a resource, and one for a resource without."""
    for one in cluster.results:
        about: dict[str, object] = {
            "cluster": cluster.cluster,
            "file": f"{one.file}:{one.line}" if one.line else one.file,
            "kind": one.kind,
            "name": f"{one.namespace}/{one.name}" if one.namespace else one.name,
            "allowed": one.allowed,
        }
        if not one.matched_rules:
            yield about | {"details": one.message or "no rule matches"}
        for rule in one.matched_rules:
            said = [word for word, so in (("disabled", rule.disabled), ("needs a scan", rule.unknown)) if so]
            if rule.decides:
                said.append("decides")
            scope = "fed" if rule.rule_cfg_type == "federal" else "local"
            yield about | {
                "rule": f"{scope} {rule.id} {'allow' if rule.type == 'exception' else 'deny'}",
                "mode": " ".join([rule.mode, *said]).strip(),
                "image": rule.container_image,
                "details": rule.rule_details,
            }


_COLUMNS: list[Column] = [
    ("CLUSTER", lambda one: one.get("cluster")),
    ("FILE", lambda one: one.get("file")),
    ("KIND", lambda one: one.get("kind")),
    ("NAME", lambda one: one.get("name")),
    ("ALLOWED", lambda one: one.get("allowed")),
    ("RULE", lambda one: one.get("rule")),
    ("MODE", lambda one: one.get("mode")),
    ("IMAGE", lambda one: one.get("image")),
    ("WHY", lambda one: one.get("details")),
]
