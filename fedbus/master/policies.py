"""Policy changes: documents in, one changeset out."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from fedbus.core import policy_plan
from fedbus.core.difference import Difference, difference
from fedbus.core.references import Key
from fedbus.errors import Conflict, NotFound
from fedbus.master.ledger import Change, Committed, Ledger, Plan, Preview, Request
from fedbus.model import codec, subjects
from fedbus.model.policy import KINDS, Policy
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
    rank: str = ""


class HeldPolicy:
    """The federated objects of one transaction, decoded one by one as they are asked for."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, key: Key) -> Policy | None:
        """Return one object."""
        stored = self._tx.object(subjects.SCOPE_ALL, *key)
        if stored is None or stored.deleted or key[0] not in KINDS:
            return None
        return codec.decode(stored.payload, KINDS[key[0]].type)

    def all_keys(self) -> list[Key]:
        """Return the key of every object."""
        return [key for key in self._tx.names(subjects.SCOPE_ALL) if key[0] in KINDS]

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind."""
        return [name for _, name in self._tx.names(subjects.SCOPE_ALL, kind)]

    def ranks(self, kind: str) -> list[str]:
        """Return the ranks of an ordered kind."""
        return [codec.decode(s.payload, _Ranked).rank for s in self._tx.objects(subjects.SCOPE_ALL, kind)]


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
        found = await self._ledger.database.read(lambda tx: tx.history.of(subjects.SCOPE_ALL, kind, name))
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
            return [_change(step) for step in policy_plan.plan(held, wanted)]

        return await self._ledger.commit(plan, request)


class Described(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One revision as it is shown: who, when, why, and what it changed."""

    kind: str
    name: str
    revision: int
    op: str
    version: int
    changeset: str
    at: str
    actor: str = ""
    comment: str = ""
    diff: list[Difference] = []


def described(revisions: Sequence[Revision]) -> list[Described]:
    """Describe revisions, newest first; each is compared with the one before it, where that is among them."""
    by_revision = {(r.kind, r.name, r.revision): r for r in revisions}
    return [_described(r, by_revision.get((r.kind, r.name, r.revision - 1))) for r in revisions]


def _described(one: Revision, before: Revision | None) -> Described:
    known = before is not None or one.revision == 1
    existed = before is not None and before.payload is not None
    op = "deleted" if one.payload is None else ("updated" if existed or not known else "created")
    diff = difference(_plain(before), _plain(one)) if known else []
    return Described(
        kind=one.kind,
        name=one.name,
        revision=one.revision,
        op=op,
        version=one.version,
        changeset=one.changeset,
        at=one.at,
        actor=one.actor,
        comment=one.comment,
        diff=diff,
    )


def _plain(revision: Revision | None) -> object:
    if revision is None or revision.payload is None:
        return {}
    return codec.decode(bytes(revision.payload), object)


def _identified(request: Request, content: object) -> Request:
    """Return the request with the digest that tells it from another one with the same key."""
    if not request.key:
        return request
    return msgspec.structs.replace(request, digest=sha256(codec.encode(content)).hexdigest())


def _plan(wanted: Sequence[policy_plan.Wanted]) -> Plan:
    return lambda tx: [_change(step) for step in policy_plan.plan(HeldPolicy(tx), wanted)]


def _earlier(tx: Transaction, target: Rollback) -> list[policy_plan.Wanted]:
    """Return the objects as they were before."""
    if not target.changeset:
        return [_as_it_was(tx, target.kind, target.name, target.revision, 0)]
    made = tx.history.changeset(target.changeset)
    if not made:
        raise NotFound(f"there is no changeset {target.changeset!r}, or it is not kept any more")
    for one in made:
        current = tx.object(one.scope, one.kind, one.name)
        if not target.force and current is not None and current.revision != one.revision:
            raise Conflict(
                f"{one.kind} {one.name!r} was changed after this changeset",
                current_revision=current.revision,
                code="CHANGED_SINCE",
                remedy="roll back the later change first, or force it",
            )
    return [_as_it_was(tx, one.kind, one.name, one.revision - 1, index) for index, one in enumerate(made)]


def _as_it_was(tx: Transaction, kind: str, name: str, revision: int, index: int) -> policy_plan.Wanted:
    obj: Policy | None = None
    if revision > 0:
        then = tx.history.at(subjects.SCOPE_ALL, kind, name, revision)
        if then is None or kind not in KINDS:
            raise NotFound(f"revision {revision} of {kind} {name!r} is not kept")
        obj = codec.decode(bytes(then.payload), KINDS[kind].type) if then.payload is not None else None
    return policy_plan.Wanted(kind=kind, name=name, obj=obj, revision=None, document=index)


def _change(step: policy_plan.Planned) -> Change:
    return Change(
        scope=subjects.SCOPE_ALL,
        category=subjects.POLICY,
        kind=step.kind,
        name=step.name,
        payload=None if step.obj is None else codec.encode(step.obj),
        revision=step.revision,
        document=step.document,
    )
