"""Where an object lives: for all clusters in the scope `all`, or targeted as a record of the master.

It is in one of the two, never in both; a move from one to the other is one changeset. Its revision is
that of where it is.
"""

from collections.abc import Iterable, Sequence

import msgspec

from fedbus.core import policy_plan, targets
from fedbus.errors import NotFound
from fedbus.master.changes import Change
from fedbus.model import codec, subjects
from fedbus.model.policy import KINDS
from fedbus.model.targets import ALL, TARGETED, Target, Targeted, source_kind
from fedbus.store.history import Revision
from fedbus.store.transaction import Transaction


def changes(tx: Transaction, steps: Iterable[policy_plan.Planned]) -> list[Change]:
    """Return what has to be written for planned objects to be what, and where, they should be."""
    return [change for step in steps for change in _changes(tx, step)]


def _changes(tx: Transaction, step: policy_plan.Planned) -> list[Change]:
    for_all = Change(
        scope=subjects.SCOPE_ALL,
        category=subjects.POLICY,
        kind=step.kind,
        name=step.name,
        payload=None,
        document=step.document,
    )
    targeted = msgspec.structs.replace(
        for_all,
        scope=subjects.SCOPE_MASTER,
        category=subjects.RECORD,
        kind=source_kind(step.kind),
        shown=step.kind,
    )
    if step.obj is None:
        home = targeted if _is_live(tx, targeted) else for_all
        return [msgspec.structs.replace(home, revision=step.revision)]
    payload = codec.encode(step.obj)
    if step.target == ALL:
        there, other = msgspec.structs.replace(for_all, payload=payload), targeted
    else:
        source = codec.encode(Targeted(target=step.target, object=msgspec.Raw(payload)))
        there, other = msgspec.structs.replace(targeted, payload=source), for_all
    if not _is_live(tx, other):
        return [msgspec.structs.replace(there, revision=step.revision)]
    # It moves: what the caller has read is what goes.
    return [there, msgspec.structs.replace(other, revision=step.revision, shown="")]


def _is_live(tx: Transaction, change: Change) -> bool:
    held = tx.object(change.scope, change.kind, change.name)
    return held is not None and not held.deleted


class Told(msgspec.Struct, frozen=True):
    """A revision as people know it: the object's kind, whom it was for, and its content (none: deleted)."""

    kind: str
    target: Target
    payload: bytes | None

    @property
    def deleted(self) -> bool:
        """Tell whether the revision deleted the object."""
        return self.payload is None

    @property
    def content(self) -> dict[str, object]:
        """The fields of the object, and its target."""
        if self.payload is None:
            return {}
        target = {"target": targets.as_document(self.target)} if self.target != ALL else {}
        return codec.decode(self.payload, dict[str, object]) | target


def told(revision: Revision) -> Told:
    """Return a revision as people know it."""
    payload = None if revision.payload is None else bytes(revision.payload)
    if revision.scope != subjects.SCOPE_MASTER:
        return Told(revision.kind, ALL, payload)
    kind = revision.kind.removeprefix(TARGETED)
    if payload is None:
        return Told(kind, ALL, None)
    source = codec.decode(payload, Targeted)
    return Told(kind, source.target, bytes(source.object))


def as_it_was(tx: Transaction, kind: str, name: str, revision: int) -> policy_plan.Wanted:
    """Return an object as it was at a revision; 0 is not there. Raises NotFound if that is not kept.

    Revisions are counted where an object is; those of where it was before are looked for after that.
    """
    places = [(subjects.SCOPE_ALL, kind), (subjects.SCOPE_MASTER, source_kind(kind))]
    source = tx.object(*places[1], name)
    if source is not None and not source.deleted:
        places.reverse()
    if revision == 0:
        return _wanted(Told(kind, ALL, None), name, 0)
    found = [one for place in places if (one := tx.history.at(*place, name, revision)) is not None]
    if not found or kind not in KINDS:
        raise NotFound(f"revision {revision} of {kind} {name!r} is not kept")
    return _wanted(told(found[0]), name, 0)


def undone(tx: Transaction, made: Sequence[Revision]) -> list[policy_plan.Wanted]:
    """Return the objects of a changeset as they were before it. Raises NotFound for what is not kept."""
    before: dict[tuple[str, str], Told] = {}
    for one in made:
        key = told(one).kind, one.name
        if key not in before or before[key].deleted:  # one that moved is in twice
            before[key] = _before(tx, one)
    return [_wanted(was, key[1], index) for index, (key, was) in enumerate(before.items())]


def _before(tx: Transaction, one: Revision) -> Told:
    kind = told(one).kind
    if one.revision == 1:
        return Told(kind, ALL, None)
    then = tx.history.at(one.scope, one.kind, one.name, one.revision - 1)
    if then is None or kind not in KINDS:
        raise NotFound(f"revision {one.revision - 1} of {kind} {one.name!r} is not kept")
    return told(then)


def _wanted(was: Told, name: str, index: int) -> policy_plan.Wanted:
    obj = None if was.payload is None else codec.decode(was.payload, KINDS[was.kind].type)
    return policy_plan.Wanted(
        kind=was.kind,
        name=name,
        obj=obj,
        revision=None,
        document=index,
        target=None if was.payload is None else was.target,
    )
