"""Policy changes: documents or an edit in, one changeset out."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from fedbus.core import policy_edits, policy_plan, targets
from fedbus.core.difference import Difference, difference
from fedbus.core.policy_edits import Decision
from fedbus.core.references import Key
from fedbus.core.writes import Committed, Condition, Preview, Request
from fedbus.errors import Conflict, NotFound
from fedbus.master import readings
from fedbus.master.changes import Change, Plan
from fedbus.master.homes import as_it_was, changes, told, undone
from fedbus.master.ledger import Ledger
from fedbus.master.placing import Records
from fedbus.model import codec, subjects
from fedbus.model.policy import FED, KINDS, Policy
from fedbus.model.targets import ALL, Target, source_kind
from fedbus.store.history import Revision
from fedbus.store.transaction import Transaction


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """What to bring back: one object at a revision (0: not there), or all that a changeset changed."""

    kind: str = ""
    name: str = ""
    revision: int = 0
    changeset: str = ""
    force: bool = False


class _Ranked(msgspec.Struct):
    id: int = 0
    rank: str = ""


class HeldPolicy:
    """The federated objects of one transaction, decoded one by one as they are asked for.

    Those for all and the targeted ones; a rollout's are not, but their names are taken.
    """

    scope = FED

    def __init__(self, tx: Transaction) -> None:
        self._tx, self._records = tx, Records(tx)
        self._ranked: dict[str, dict[int, str]] = {}

    def get(self, key: Key) -> Policy | None:
        """Return one object."""
        if key[0] not in KINDS:
            return None
        stored = self._tx.object(subjects.SCOPE_ALL, *key)
        if stored is not None and not stored.deleted:
            return codec.decode(stored.payload, KINDS[key[0]].type)
        source = self._records.targeted(key)
        return None if source is None else codec.decode(bytes(source.object), KINDS[key[0]].type)

    def target(self, key: Key) -> Target:
        """Return whom an object is for; all, if there is none."""
        source = self._records.targeted(key)
        return ALL if source is None else source.target

    def all_keys(self) -> list[Key]:
        """Return the key of every object."""
        for_all = [key for key in self._tx.names(subjects.SCOPE_ALL) if key[0] in KINDS]
        return for_all + self._records.targeted_keys()

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind that are taken."""
        for_all = [name for _, name in self._tx.names(subjects.SCOPE_ALL, kind)]
        coming = [
            b.name for _, content in self._records.rollouts() for b in content.objects if b.kind == kind
        ]
        return for_all + [name for _, name in self._records.targeted_keys(kind)] + coming

    def ranks(self, kind: str) -> list[str]:
        """Return the ranks of an ordered kind."""
        return list(self.ranked(kind).values())

    def ranked(self, kind: str) -> dict[int, str]:
        """Return the rank of every rule of an ordered kind by its id, the first rule first."""
        if kind not in self._ranked:
            payloads = [s.payload for s in self._tx.objects(subjects.SCOPE_ALL, kind)]
            payloads += [bytes(source.object) for source in self._records.sources_of(kind)]
            found = [codec.decode(payload, _Ranked) for payload in payloads]
            found.sort(key=lambda rule: (rule.rank, rule.id))
            self._ranked[kind] = {rule.id: rule.rank for rule in found}
        return self._ranked[kind]


class Policies:
    """The use cases on federated policy."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def apply(
        self, documents: Sequence[tuple[int, int | None, dict[str, object]]], request: Request
    ) -> Committed:
        """Apply documents (index, line, content) as one changeset.

        Raises InvalidInput with every fault, Conflict for a stale revision, Unavailable.
        """
        request = _identified(request, [content for _, _, content in documents])
        if (answered := await self._ledger.answered(request)) is not None:
            return answered
        return await self._ledger.commit(_plan(policy_plan.read(documents)), request)

    async def preview(self, documents: Sequence[tuple[int, int | None, dict[str, object]]]) -> list[Preview]:
        """Return what `apply` would change, and change nothing. Raises what `apply` would."""
        return await self._ledger.preview(_plan(policy_plan.read(documents)))

    async def history(self, kind: str, name: str) -> list[Revision]:
        """Return the revisions of an object, newest first. Raises NotFound if there never was one."""

        def read(tx: Transaction) -> list[Revision]:
            for_all = tx.history.of(subjects.SCOPE_ALL, kind, name)
            targeted = tx.history.of(subjects.SCOPE_MASTER, source_kind(kind), name)
            return sorted(for_all + targeted, key=lambda one: one.version, reverse=True)

        found = await self._ledger.database.read(read)
        if not found:
            raise NotFound(f"there is no history of a {kind} {name!r}")
        return found

    async def changesets(self, before: int, limit: int) -> list[Revision]:
        """Return the newest revisions of all objects below a version, newest first."""
        return await self._ledger.database.read(lambda tx: tx.history.recent(before, limit))

    async def roll_back(self, target: Rollback, request: Request) -> Committed:
        """Bring back an earlier state, as new revisions of the objects.

        Raises NotFound for a revision that is not kept, Conflict if an object of the changeset was changed
        since, InvalidInput if what comes back needs something that is gone, Unavailable.
        """
        request = _identified(request, msgspec.to_builtins(target))
        if (answered := await self._ledger.answered(request)) is not None:
            return answered

        def plan(tx: Transaction) -> list[Change]:
            held = HeldPolicy(tx)
            wanted = [w for w in _earlier(tx, target) if w.obj is not None or held.get((w.kind, w.name))]
            return changes(tx, policy_plan.plan(held, wanted))

        return await self._ledger.commit(plan, request)

    async def object(self, kind: str, name: str) -> Policy | None:
        """Return one federated object, None if there is none."""
        return await self._ledger.database.read(lambda tx: HeldPolicy(tx).get((kind, name)))

    async def edit(self, decision: Decision, request: Request, condition: Condition) -> Committed:
        """Apply what a request in NeuVector's form decides, as one changeset.

        The condition is looked at first, in the same transaction. Raises what both raise, and as `apply`.
        """
        if (answered := await self._ledger.answered(request)) is not None:
            return answered
        return await self._ledger.commit(_edit(decision, condition), request)

    async def preview_edit(self, decision: Decision, condition: Condition) -> list[Preview]:
        """Return what `edit` would change, and change nothing. Raises what `edit` would."""
        return await self._ledger.preview(_edit(decision, condition))


class Described(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One revision as it is shown: who, when, from where, why, and what it changed."""

    kind: str
    name: str
    revision: int
    op: str
    version: int
    changeset: str
    at: str
    actor: str = ""
    origin: str = msgspec.field(default="", name="from")
    comment: str = ""
    target: dict[str, object] = {}
    diff: list[Difference] = []


def described(revisions: Sequence[Revision]) -> list[Described]:
    """Describe revisions, newest first; each is compared with the one before it, where that is among them."""
    by_revision = {(r.kind, r.name, r.revision): r for r in revisions}
    return [_described(r, by_revision.get((r.kind, r.name, r.revision - 1))) for r in revisions]


def _described(revision: Revision, previous: Revision | None) -> Described:
    one, before = told(revision), told(previous) if previous is not None else None
    known = before is not None or revision.revision == 1
    existed = before is not None and not before.deleted
    op = "deleted" if one.deleted else ("updated" if existed or not known else "created")
    diff = difference(before.content if before is not None else {}, one.content) if known else []
    return Described(
        kind=one.kind,
        name=revision.name,
        revision=revision.revision,
        op=op,
        version=revision.version,
        changeset=revision.changeset,
        at=revision.at,
        actor=revision.actor,
        origin=revision.origin,
        comment=revision.comment,
        target=targets.as_document(one.target),
        diff=diff,
    )


def _identified(request: Request, content: object) -> Request:
    """Return the request with the digest that tells it from another one with the same key."""
    if not request.key:
        return request
    return msgspec.structs.replace(request, digest=sha256(codec.encode(content)).hexdigest())


def _plan(wanted: Sequence[policy_plan.Wanted]) -> Plan:
    return lambda tx: changes(tx, policy_plan.plan(HeldPolicy(tx), wanted))


def _edit(decision: Decision, condition: Condition) -> Plan:
    def plan(tx: Transaction) -> list[Change]:
        key = (condition.kind, condition.name)
        condition.require(lambda: readings.one(tx, key), lambda: readings.every(tx, condition.kind))
        return changes(tx, policy_edits.planned(HeldPolicy(tx), decision))

    return plan


def _earlier(tx: Transaction, target: Rollback) -> list[policy_plan.Wanted]:
    """Return the objects as they were before."""
    if not target.changeset:
        return [as_it_was(tx, target.kind, target.name, target.revision)]
    made = tx.history.changeset(target.changeset)
    if not made:
        raise NotFound(f"there is no changeset {target.changeset!r}, or it is not kept any more")
    for one in made:
        current = tx.object(one.scope, one.kind, one.name)
        if not target.force and current is not None and current.revision != one.revision:
            raise Conflict(
                f"{told(one).kind} {one.name!r} was changed after this changeset",
                current_revision=current.revision,
                code="CHANGED_SINCE",
                remedy="roll back the later change first, or force it",
            )
    return undone(tx, made)
