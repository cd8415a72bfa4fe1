"""Staged rollouts at work: use cases, and the loop that moves them on by what the fleet reports.

Every step is one changeset: where the rollout stands, and what clusters get or lose by it. So a master
that starts again finds it where it was.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256

import msgspec
import structlog

from fedbus.bus.publisher import MAX_EVENTS
from fedbus.core import policy_plan, rollout, targets
from fedbus.core.rollout import Health, Step, View
from fedbus.core.writes import Committed, Request
from fedbus.errors import Conflict, Fault, InvalidInput, NotFound
from fedbus.master import audit as audit_log
from fedbus.master.audit import Audit
from fedbus.master.changes import BY_MASTER, Change, record
from fedbus.master.fleet import Fleet
from fedbus.master.ledger import Ledger
from fedbus.master.placing import Records, complete
from fedbus.master.policies import HeldPolicy
from fedbus.model import codec, subjects
from fedbus.model.federation import Cluster
from fedbus.model.targets import ALL, ROLLOUT, ROLLOUT_CONTENT, Brought, Rollout, RolloutContent
from fedbus.runtime import first, rfc3339
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

KEEP = 100
"""Rollouts that are over and still listed."""
MAX_OBJECTS = MAX_EVENTS - 100
"""Objects that one rollout brings: in the end they are one changeset, with room for what goes with them."""
COALESCE_SECONDS = 0.1
_M = subjects.SCOPE_MASTER

Documents = Sequence[tuple[int, int | None, dict[str, object]]]


class Staging(msgspec.Struct, frozen=True, kw_only=True):
    """How to roll out: waves as the request has them, and what lies between two."""

    waves: list[object]
    pause_seconds: float = 0.0
    manual: bool = False


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as people see it: waves as they were asked for, clusters by name.

    `clusters` says of each that was reached where it stands: reached, failed, excused or gone.
    """

    id: str
    state: str
    wave: int
    waves: list[dict[str, object]]
    objects: list[tuple[str, str]]
    clusters: dict[str, str]
    created_at: str
    created_by: str
    comment: str
    pause_seconds: float
    manual: bool
    since: str
    reason: str


def shown(one: Rollout, clusters: Sequence[Cluster]) -> Shown:
    """Return a rollout as people see it; its wave counts from 1."""
    names = {c.id: c.name for c in clusters}
    joined = {c.id for c in clusters if c.state == "joined"}

    def place(cluster: str) -> str:
        if cluster not in joined:
            return "gone"
        return "excused" if cluster in one.excused else "failed" if cluster in one.failed else "reached"

    return Shown(
        id=one.id,
        state=one.state,
        wave=one.wave + 1,
        waves=[
            {"percent": w.percent} if w.percent else {"selector": targets.selector_document(w.selector)}
            for w in one.waves
        ],
        objects=one.objects,
        clusters={names.get(c, c): place(c) for c in one.reached},
        created_at=one.created_at,
        created_by=one.created_by,
        comment=one.comment,
        pause_seconds=one.pause_seconds,
        manual=one.manual,
        since=rfc3339(one.since),
        reason=one.reason,
    )


class Rollouts:
    """The rollouts of one federation."""

    def __init__(
        self, ledger: Ledger, fleet: Fleet, audit: Audit, on_change: Callable[[Shown], None]
    ) -> None:
        self._ledger, self._fleet, self._audit, self._on_change = ledger, fleet, audit, on_change
        self._database, self._clock = ledger.database, ledger.clock
        self._stirred = asyncio.Event()
        self._running = True

    async def start(self, documents: Documents, staging: Staging, request: Request) -> Shown:
        """Begin a rollout of these documents: the first wave has them when this returns.

        Raises InvalidInput with every fault, Conflict, Unavailable.
        """
        identity = codec.encode([[content for _, _, content in documents], staging])
        request = msgspec.structs.replace(request, digest=sha256(identity).hexdigest() if request.key else "")
        if (answered := await self._ledger.answered(request)) is not None:
            return await self.show(_named(answered))
        new, wanted, health = self._new(staging, request), _readable(documents), self._fleet.health()
        plan = partial(self._beginning, new=new, wanted=wanted, health=health)
        found = await self.show(_named(await self._ledger.commit(plan, request)))
        await self._note(found, "rollout start", request.actor)
        return found

    def _new(self, staging: Staging, request: Request) -> Rollout:
        if not 0 <= staging.pause_seconds <= rollout.MAX_PAUSE:
            raise _invalid("pause_seconds", f"a pause is 0 to {rollout.MAX_PAUSE:.0f} seconds")
        if staging.manual and staging.pause_seconds:
            raise _invalid("manual", "a rollout waits so many seconds, or until somebody continues it")
        return Rollout(
            id=self._clock.random_bytes(8).hex(),
            state="rolling",
            waves=rollout.parse_waves(staging.waves),
            objects=[],
            created_at=self._clock.stamp(),
            created_by=request.actor,
            comment=request.comment,
            pause_seconds=staging.pause_seconds,
            manual=staging.manual,
        )

    def _beginning(
        self,
        tx: Transaction,
        new: Rollout,
        wanted: Sequence[policy_plan.Wanted],
        health: Mapping[str, Health],
    ) -> list[Change]:
        content = RolloutContent(objects=_brought(tx, wanted))
        names = [(one.kind, one.name) for one in content.objects]
        begun = rollout.begin(msgspec.structs.replace(new, objects=names), self._view(tx, health))
        if begun.over:
            raise _invalid("waves", "the waves reach nobody")
        return [
            record(ROLLOUT, begun.id, begun),
            record(ROLLOUT_CONTENT, begun.id, content),
            *(record(ROLLOUT, old, None) for old in _outdated(tx)),
        ]

    async def list(self) -> list[Shown]:
        """Return every rollout, the newest first."""

        def read(tx: Transaction) -> list[Shown]:
            clusters = Records(tx).clusters()
            return [shown(codec.decode(o.payload, Rollout), clusters) for o in tx.objects(_M, ROLLOUT)]

        found = await self._database.read(read)
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    async def show(self, rollout_id: str) -> Shown:
        """Return one rollout. Raises NotFound."""
        return await self._database.read(lambda tx: shown(_held(tx, rollout_id), Records(tx).clusters()))

    async def go_on(self, rollout_id: str, actor: str) -> Shown:
        """Begin the next wave, or go on in spite of what halted it.

        Raises NotFound, Conflict, Unavailable.
        """
        return await self._step(rollout_id, Step.CONTINUE, actor)

    async def abort(self, rollout_id: str, actor: str) -> Shown:
        """End a rollout and take back what it brought. Raises NotFound, Conflict, Unavailable."""
        return await self._step(rollout_id, Step.ABORT, actor)

    async def _step(
        self, rollout_id: str, happened: Step, actor: str, failed: Mapping[str, str] | None = None
    ) -> Shown:
        health = self._fleet.health()

        def plan(tx: Transaction) -> list[Change]:
            now = _held(tx, rollout_id)
            after = rollout.step(now, happened, self._view(tx, health), failed=failed)
            return _written(tx, after)

        known = await self.show(rollout_id)
        who = known.created_by if actor == BY_MASTER.actor else actor
        comment = f"{known.comment} (rollout {rollout_id})".lstrip()
        await self._ledger.commit(plan, Request(actor=who, comment=comment))
        after = await self.show(rollout_id)
        await self._note(after, f"rollout {happened.value}", actor)
        return after

    async def _note(self, after: Shown, action: str, actor: str) -> None:
        self._running = True
        self._stirred.set()
        self._on_change(after)
        await self._audit.record(
            audit_log.POLICY,
            action,
            actor=actor,
            object_=after.id,
            result=after.state,
            detail=after.reason or f"wave {after.wave} of {len(after.waves)}",
        )

    def stir(self) -> None:
        """Note that something in the fleet changed."""
        if self._running:
            self._stirred.set()

    async def drive(self) -> None:
        """Move rollouts on for ever, on one session. Raises Unavailable when it ends."""
        while True:
            self._stirred.clear()
            current = await self._database.read(_current)
            self._running = bool(current)
            for one in current:
                await self._look(one)
            now = self._clock.now()
            pauses = [due for one in current if (due := rollout.due(one, now)) is not None]
            # A hair later than the deadline, so that it has passed.
            await first(self._stirred.wait(), timeout=min(pauses) + 0.01 if pauses else None)
            # A burst of heartbeats is one look.
            await asyncio.sleep(COALESCE_SECONDS)

    async def _look(self, one: Rollout) -> None:
        health = self._fleet.health()
        view = await self._database.read(lambda tx: self._view(tx, health))
        seen = rollout.observe(one, view)
        if seen is None:
            return
        happened, failed = seen
        if happened is Step.APPLIED and await self._database.read(lambda tx: bool(complete(tx))):
            self._ledger.unfinished.set()  # clusters hold what they were sent, but not all was sent
            return
        try:
            await self._step(one.id, happened, BY_MASTER.actor, failed)
        except (Conflict, InvalidInput) as error:
            log.warning("rollout_step_refused", rollout=one.id, step=happened.value, error=error.message)
            if error.code != rollout.NOT_NOW:  # else somebody was faster
                await self._step(one.id, Step.FAILED, BY_MASTER.actor, {"": error.message})

    def _view(self, tx: Transaction, health: Mapping[str, Health]) -> View:
        return View(clusters=Records(tx).clusters(), health=health, now=self._clock.now())


def _readable(documents: Documents) -> list[policy_plan.Wanted]:
    faults = [
        Fault(field, message, index, line)
        for index, line, content in documents
        for field, message in _unfit(content)
    ]
    if faults:
        raise InvalidInput(faults[0].message, tuple(faults))
    return policy_plan.read(documents)


def _unfit(content: Mapping[str, object]) -> list[tuple[str, str]]:
    found = []
    if content.get("op") == policy_plan.DELETE:
        found.append(("op", "a rollout brings new versions; delete when it is over"))
    if content.get("target") is not None:
        found.append(("target", "a rollout ends with a version for all; it has waves and no targets"))
    return found


def _brought(tx: Transaction, wanted: Sequence[policy_plan.Wanted]) -> list[Brought]:
    """Return what a rollout brings, checked as if it was applied for all at once."""
    held = HeldPolicy(tx)
    brought = []
    for step in policy_plan.plan(held, wanted):
        assert step.obj is not None  # noqa: S101 - there are no deletions
        if held.target((step.kind, step.name)) != ALL:
            raise _invalid("target", f"{step.kind} {step.name!r} is targeted: move it to all clusters first")
        current = tx.object(subjects.SCOPE_ALL, step.kind, step.name)
        revision = current.revision if current is not None and not current.deleted else 0
        if step.revision is not None and step.revision != revision:
            raise Conflict(
                f"{step.kind} {step.name!r} is at revision {revision}, the request expects {step.revision}",
                current_revision=revision,
                code="REVISION_STALE",
                remedy="read the object again and repeat the change on it",
            )
        payload = msgspec.Raw(codec.encode(step.obj))
        brought.append(Brought(kind=step.kind, name=step.name, replaces=revision, object=payload))
    if len(brought) > MAX_OBJECTS:
        raise InvalidInput(
            f"a rollout brings at most {MAX_OBJECTS} objects, not {len(brought)}", code="CHANGESET_TOO_LARGE"
        )
    return brought


def _written(tx: Transaction, after: Rollout) -> list[Change]:
    """Return the changes of a step; at the end what was brought is for all, or gone."""
    changes = [record(ROLLOUT, after.id, after)]
    if not after.over:
        return changes
    changes.append(record(ROLLOUT_CONTENT, after.id, None))
    if after.state == "aborted":
        return changes
    payload = Records(tx).one(ROLLOUT_CONTENT, after.id) or b""
    content = codec.decode(payload, RolloutContent)
    return changes + [_for_all(brought) for brought in content.objects]


def _for_all(brought: Brought) -> Change:
    return Change(
        scope=subjects.SCOPE_ALL,
        category=subjects.POLICY,
        kind=brought.kind,
        name=brought.name,
        payload=bytes(brought.object),
        revision=brought.replaces,
    )


def _held(tx: Transaction, rollout_id: str) -> Rollout:
    stored = tx.object(_M, ROLLOUT, rollout_id)
    if stored is None or stored.deleted:
        raise NotFound(f"there is no rollout {rollout_id!r}", code="ROLLOUT_UNKNOWN")
    return codec.decode(stored.payload, Rollout)


def _current(tx: Transaction) -> list[Rollout]:
    return [_held(tx, name) for _, name in tx.names(_M, ROLLOUT_CONTENT)]


def _outdated(tx: Transaction) -> list[str]:
    found = [codec.decode(o.payload, Rollout) for o in tx.objects(_M, ROLLOUT)]
    over = sorted((one.created_at, one.id) for one in found if one.over)
    return [rollout_id for _, rollout_id in over[: max(0, len(over) - KEEP + 1)]]


def _named(committed: Committed) -> str:
    return next(
        change.name for change in committed.changes if change.kind == ROLLOUT and change.op == "created"
    )


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, (Fault(field, message),))
