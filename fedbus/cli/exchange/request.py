"""From the documents of many files to one request, and its faults back to files and lines."""

from collections.abc import Iterable, Sequence

import msgspec

from fedbus.cli.client import Api
from fedbus.cli.errors import ApiError, CliError, unknown
from fedbus.cli.exchange import sources
from fedbus.cli.exchange.sources import Source
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import say, text
from fedbus.cli.policy_objects import Document, name_of, read
from fedbus.core import policy_input
from fedbus.core.exchange.items import Item, below
from fedbus.core.exchange.matching import match
from fedbus.core.exchange.merge import merge
from fedbus.core.exchange.placing import place
from fedbus.core.exchange.prune import Live, unnamed
from fedbus.core.exchange.reading import Remark
from fedbus.errors import InvalidInput
from fedbus.model.policy import KINDS, Policy
from fedbus.web.problem import FieldError

APPLY = "/v1/fed/apply"


class Batch(msgspec.Struct, frozen=True):
    """Sources and what all of them together ask for."""

    sources: list[Source]
    items: list[Item]

    @property
    def faults(self) -> list[FieldError]:
        """Everything that is wrong, with file and line."""
        return [placed(one, fault) for one in self.sources for fault in one.judged.faults]

    @property
    def remarks(self) -> list[FieldError]:
        """Everything that is ignored or changed, with file and line."""
        return [placed(one, remark) for one in self.sources for remark in one.judged.remarks]


def load(names: Sequence[str]) -> Batch:
    """Read files and directories; what is wrong is in the batch. Raises CliError for a wrong name."""
    found = sources.load(names)
    merged = merge(sources.items(found))
    for number, remark in merged.remarks:
        found[number].judged.remarks.append(remark)
    for number, fault in merged.faults:
        found[number].judged.faults.append(fault)
    return Batch(found, merged.items)


async def send(
    api: Api,
    batch: Batch,
    *,
    comment: str = "",
    dry_run: bool = False,
    prune: bool = False,
    allow_empty: bool = False,
) -> dict[str, object]:
    """Apply a batch as one changeset; with `prune` delete what it does not name.

    Raises ApiError with every fault, by file and line; then nothing was applied.
    """
    refuse(batch)
    if not batch.items and not prune:
        raise CliError("There are no documents to apply", code=ExitCode.INVALID)
    wanted = await _completed(api, batch.items, prune=prune, allow_empty=allow_empty)
    if not wanted:
        return {"changes": []}
    body = {"documents": [item.document for item in wanted], "comment": comment}
    query = {"dry_run": "true"} if dry_run else None
    try:
        return await api.call("POST", APPLY, raw=msgspec.json.encode(body), query=query)
    except ApiError as error:
        _name_places(error, batch.sources, wanted)
        raise


def refuse(batch: Batch) -> None:
    """Raise ApiError when a document of the batch was rejected."""
    if faults := batch.faults:
        rejected = sum(1 for one in batch.sources if one.judged.faults)
        detail = f"{rejected} of {len(batch.sources)} documents are rejected; nothing was applied"
        problem = unknown(422, detail)
        problem.reason, problem.errors = "INVALID_INPUT", faults
        raise ApiError(problem)


async def _completed(api: Api, items: Sequence[Item], *, prune: bool, allow_empty: bool) -> list[Item]:
    """Give rules their ids and ranks, and add the deletions."""
    kinds = list(KINDS) if prune else [name for name, kind in KINDS.items() if kind.ordered]
    live = [one for kind in kinds if prune or _has(items, kind) for one in await read(api, kind, "fed")]
    ranks = {(one.kind, name_of(one)): str(one.spec.get("rank", "")) for one in live}
    wanted = place(match(items, _objects(live)), ranks)
    if not prune:
        return wanted
    try:
        gone = [Live(kind=one.kind, name=name_of(one), revision=one.revision) for one in live]
        return wanted + unnamed(wanted, gone, allow_empty=allow_empty)
    except InvalidInput as error:
        raise CliError(error.message, remedy=error.remedy, code=ExitCode.INVALID) from error


def _has(items: Iterable[Item], kind: str) -> bool:
    return any(item.kind == kind for item in items)


def _objects(live: Iterable[Document]) -> list[Policy]:
    """Return the rules among `live` as objects; what a newer master wrote differently matches nothing."""
    found = []
    for one in live:
        if KINDS[one.kind].ordered:
            try:
                found.append(policy_input.parse(one.kind, one.spec))
            except InvalidInput:
                continue
    return found


def _name_places(error: ApiError, found: Sequence[Source], wanted: Sequence[Item]) -> None:
    """Say file and line where the master said the number of a document."""
    problem = error.problem
    for fault in problem.errors:
        if fault.document is None or fault.document >= len(wanted):
            continue
        item = wanted[fault.document]
        if item.source < 0:
            fault.field, fault.document = f"to delete: {item.kind} {item.name}", None
            continue
        path = item.path if item.foreign else below(item.path, fault.field)
        message = f"{item.kind}: {fault.message}" if item.foreign else fault.message
        remark = Remark(path, message)
        found[item.source].judged.faults.append(remark)
        named = placed(found[item.source], remark)
        fault.field, fault.message, fault.document, fault.line = (
            named.field,
            named.message,
            named.document,
            named.line,
        )
    if problem.idempotency_key:
        problem.idempotency_key = None
        error.remedy = problem.remedy = "Do it again: what has been done changes nothing then"


def say_remarks(batch: Batch) -> None:
    """Say one by one what of the documents is ignored or changed."""
    for one in batch.remarks:
        say(f"Note: line {one.line}: {text(one.field)}: {text(one.message)}")


def placed(source: Source, remark: Remark) -> FieldError:
    """Say a remark with its file and line."""
    field = f"{source.file}: {remark.path}" if remark.path else source.file
    line = source.line_of(remark.path)
    return FieldError(field, remark.message, source.document, line)
