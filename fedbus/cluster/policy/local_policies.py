"""The cluster's own policy: planned and checked like the federation's, written to its store alone."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

import msgspec
import structlog

from fedbus.core import policy_edits, policy_plan
from fedbus.core.difference import difference
from fedbus.core.policy_edits import Decision
from fedbus.core.policy_plan import Planned
from fedbus.core.references import Key
from fedbus.core.writes import Changed, Committed, Condition, Preview, Request
from fedbus.errors import Conflict, InvalidInput
from fedbus.model import codec
from fedbus.model.federation import AuditRecord
from fedbus.model.objects import StoredObject
from fedbus.model.policy import KINDS, LOCAL, OrderedPolicy, Policy
from fedbus.model.targets import ALL, Target
from fedbus.runtime import Clock
from fedbus.store.answers import Answer
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

Documents = Sequence[tuple[int, int | None, dict[str, object]]]
"""Index, line and content of each document of a request."""
_Plan = Callable[[Transaction], list[Planned]]


class HeldLocal:
    """The cluster's own objects in one transaction, decoded as they are asked for."""

    scope = LOCAL

    def __init__(self, tx: Transaction) -> None:
        self._local = tx.local

    def get(self, key: Key) -> Policy | None:
        """Return one object."""
        held = self._local.object(*key)
        return None if held is None else codec.decode(held.payload, KINDS[key[0]].type)

    def target(self, _key: Key) -> Target:
        """Return whom an object is for: there is only this cluster."""
        return ALL

    def all_keys(self) -> list[Key]:
        """Return the key of every object."""
        return [(one.kind, one.name) for one in self._local.objects()]

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind."""
        return [one.name for one in self._local.objects(kind)]

    def ranks(self, kind: str) -> list[str]:
        """Return the ranks of an ordered kind."""
        return list(self.ranked(kind).values())

    def ranked(self, kind: str) -> dict[int, str]:
        """Return the rank of every rule of an ordered kind by its id, the first rule first."""
        rules = [codec.decode(one.payload, KINDS[kind].type) for one in self._local.objects(kind)]
        ordered = sorted((r.rank, r.id) for r in rules if isinstance(r, OrderedPolicy))
        return {number: rank for rank, number in ordered}


class LocalPolicies:
    """The use cases on a cluster's own policy; `on_changed` is told the kinds after each change."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        on_changed: Callable[[Iterable[str]], None] = lambda _: None,
        built_in: Callable[[str], list[StoredObject]] = lambda _: [],
    ) -> None:
        """Take what is listed beside the cluster's own of a kind, for the tags of lists."""
        self._database, self._clock, self._on_changed = database, clock, on_changed
        self._built_in = built_in

    async def apply(self, documents: Documents, request: Request) -> Committed:
        """Apply documents as one change. Raises InvalidInput with every fault, Conflict, Unavailable."""
        if request.key:
            digest = sha256(codec.encode([content for _, _, content in documents])).hexdigest()
            request = msgspec.structs.replace(request, digest=digest)
        return await self._commit(_of_documents(documents), request)

    async def preview(self, documents: Documents) -> list[Preview]:
        """Return what `apply` would change, and change nothing. Raises what `apply` would."""
        plan = _of_documents(documents)
        return await self._database.read(lambda tx: _previews(tx, plan(tx)))

    async def edit(self, decision: Decision, request: Request, condition: Condition) -> Committed:
        """Apply what a request in NeuVector's form decides, as one change. Raises as `apply`."""
        return await self._commit(self._of_decision(decision, condition), request)

    async def preview_edit(self, decision: Decision, condition: Condition) -> list[Preview]:
        """Return what `edit` would change, and change nothing. Raises what `edit` would."""
        plan = self._of_decision(decision, condition)
        return await self._database.read(lambda tx: _previews(tx, plan(tx)))

    async def object(self, kind: str, name: str) -> Policy | None:
        """Return one object, None if there is none."""
        return await self._database.read(lambda tx: HeldLocal(tx).get((kind, name)))

    def _of_decision(self, decision: Decision, condition: Condition) -> _Plan:
        def plan(tx: Transaction) -> list[Planned]:
            policy_edits.unlocked(LOCAL, condition.kind, condition.name)
            condition.require(
                lambda: tx.local.object(condition.kind, condition.name),
                lambda: self._built_in(condition.kind) + tx.local.objects(condition.kind),
            )
            return policy_edits.planned(HeldLocal(tx), decision)

        return plan

    async def _commit(self, plan: _Plan, request: Request) -> Committed:
        changeset, at = self._clock.random_bytes(16).hex(), self._clock.stamp()

        def write(tx: Transaction) -> tuple[Committed, bool]:
            if (known := _answered(tx, request)) is not None:
                return known, False
            done = _written(tx, plan(tx), changeset, at)
            if request.key:
                answer = codec.encode(done)
                tx.answers.remember(
                    Answer(request.key, request.digest, changeset, answer, self._clock.now(), done=True)
                )
            for change in done.changes:
                if change.op != "unchanged":
                    tx.audit.add(_record(change, request, at))
            return done, True

        done, new = await self._database.write(write)
        kinds = {change.kind for change in done.changes if change.op != "unchanged"}
        if new and kinds:
            log.info("local_policy_changed", version=done.version, kinds=sorted(kinds), actor=request.actor)
            self._on_changed(kinds)
        return done


def _of_documents(documents: Documents) -> _Plan:
    wanted = policy_plan.read(documents, LOCAL)
    return lambda tx: policy_plan.plan(HeldLocal(tx), wanted)


def _answered(tx: Transaction, request: Request) -> Committed | None:
    known = tx.answers.find(request.key) if request.key else None
    if known is None:
        return None
    if known.request != request.digest:
        raise InvalidInput("this idempotency key belongs to another request", code="KEY_REUSED")
    return codec.decode(known.answer, Committed)


def _written(tx: Transaction, steps: Sequence[Planned], changeset: str, at: str) -> Committed:
    judged = [(step, *_operation(tx, step)) for step in steps]
    changes_something = any(op != "unchanged" for _, op, _ in judged)
    version = tx.local.advance() if changes_something else tx.local.version()
    for step, op, _ in judged:
        if op == "deleted":
            tx.local.delete(step.kind, step.name)
        elif op != "unchanged":
            tx.local.put(step.kind, step.name, codec.encode(step.obj), version=version, at=at)
    changes = [
        Changed(kind=step.kind, name=step.name, op=op, revision=revision, document=step.document)
        for step, op, revision in judged
    ]
    return Committed(changeset=changeset, epoch=0, version=version, changes=changes)


def _operation(tx: Transaction, step: Planned) -> tuple[str, int]:
    """Return what a step does and the revision after it. Raises Conflict for a stale one."""
    held = tx.local.object(step.kind, step.name)
    current = held.revision if held else 0
    if step.revision is not None and step.revision != current:
        raise Conflict(
            f"{step.kind} {step.name!r} is at revision {current}, the request expects {step.revision}",
            current_revision=current,
            code="REVISION_STALE",
            remedy="read the object again and repeat the change on it",
        )
    if step.obj is None:
        return ("deleted", current + 1) if held else ("unchanged", 0)
    if held and held.payload == codec.encode(step.obj):
        return "unchanged", current
    return ("updated" if held else "created"), current + 1


def _previews(tx: Transaction, steps: Sequence[Planned]) -> list[Preview]:
    return [_preview(tx, step) for step in steps]


def _preview(tx: Transaction, step: Planned) -> Preview:
    op, revision = _operation(tx, step)
    held = tx.local.object(step.kind, step.name)
    before = codec.decode(held.payload, object) if held else {}
    after = codec.decode(codec.encode(step.obj), object) if step.obj is not None else {}
    return Preview(
        kind=step.kind,
        name=step.name,
        op=op,
        revision=revision,
        document=step.document,
        diff=difference(before, after),
    )


def _record(change: Changed, request: Request, at: str) -> AuditRecord:
    return AuditRecord(
        at=at,
        category="policy",
        action=change.op,
        actor=request.actor,
        object=f"local {change.kind} {change.name}",
        detail=request.comment,
    )
