"""The ledger: the one way anything federated is written (guarantee 1).

A write is planned against the store, signed, published as one atomic changeset, folded into the store,
and only then answered. Policy and the master's own records (clusters, tokens) go the same way, so the
stream and the store each hold everything that was ever acknowledged.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import structlog

from fedbus import metrics, tracing
from fedbus.bus import publisher, topology
from fedbus.bus.session import Connection
from fedbus.core.payload import check, understood
from fedbus.core.writes import Committed, Preview, Request
from fedbus.errors import InvalidInput, Unavailable
from fedbus.master.changes import BY_MASTER, Change, Derive, Derived, Plan
from fedbus.master.drafting import Draft, Drafter, preview
from fedbus.model import codec, subjects, targets
from fedbus.model.events import Event
from fedbus.pki.signing import Signer
from fedbus.runtime import Clock
from fedbus.store.answers import Answer
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

T = TypeVar("T")

PUBLISH_SECONDS = 8.0
"""How long a write waits for the bus to say whether it has it."""
ELECTION_SECONDS = 20.0
"""How long on a bus of several servers: those that lost their leader take 4 to 9 s to choose another one
(nats-server's election timeout; 6 s measured), and twice that when the votes are split."""


class _Overtaken(publisher.SequenceMismatch):
    """As its parent; `request` has the key that the answer is kept under."""

    def __init__(self, error: publisher.SequenceMismatch, request: Request) -> None:
        super().__init__(error.message)
        self.request = request


class Ledger:
    """Serialises every write of one master to one stream, whose store `database` is."""

    def __init__(
        self,
        *,
        database: Database,
        signer: Signer,
        federation_id: str,
        connection: Callable[[], Connection],
        clock: Clock,
        on_committed: Callable[[Committed, Sequence[Event]], Awaitable[None]],
        derive: Derive = lambda _tx, _changes: Derived(),
        stream: str = topology.POLICY,
        publish_seconds: float = PUBLISH_SECONDS,
    ) -> None:
        self.database, self.clock, self.stream = database, clock, stream
        self._derive = derive
        self.publish_seconds = publish_seconds
        """How long a write waits for the bus."""
        self.unfinished = asyncio.Event()
        """Set when a changeset could not hold all that follows from it: somebody has to write the rest."""
        self._connection, self._on_committed = connection, on_committed
        self._lock = asyncio.Lock()
        self._in_step = False
        self.drafter = Drafter(signer, federation_id, clock)
        self.recover: Callable[[], Awaitable[None]]

    @property
    def epoch(self) -> int:
        """The epoch that events are written in."""
        return self.drafter.epoch

    async def synchronise(self, needed: Callable[[Transaction], bool] = lambda _: True) -> None:
        """Compare stream and store before the next write; called for every new bus session.

        `needed` is asked once no write is under way.
        """
        async with self._lock:
            if await self.database.read(needed):
                await self._recover()

    async def settled(self, work: Callable[[Transaction], T]) -> T:
        """Read while no write is under way. Raises what `work` raises, Unavailable."""
        async with self._lock:
            return await self.database.read(work)

    async def commit(self, plan: Plan, request: Request = BY_MASTER) -> Committed:
        """Write one changeset: all of it or nothing.

        Raises what `plan` raises, Conflict for a stale revision, Unavailable when nothing was written,
        and publisher.OutcomeUnknown (with the key to ask again with) when that could not be found out.
        """
        async with self._lock:
            if not self._in_step:
                await self._recover()
            try:
                return await self._answer(request) or await self._commit(plan, request)
            except _Overtaken as overtaken:
                # Somebody else's message stands on a subject, or one of an earlier try that was thought
                # lost: find out, and plan again.
                log.warning("stream_differs")
                await self._recover()
                return await self._answer(overtaken.request) or await self._commit(plan, request)

    async def _recover(self) -> None:
        self._in_step = False
        await self.recover()
        self._in_step = True

    async def _commit(self, plan: Plan, request: Request) -> Committed:
        draft = await self.database.read(lambda tx: self._draft_with_all(tx, plan(tx), request))
        if not draft.complete:
            self.unfinished.set()
        if not draft.events:
            return draft.committed
        if request.key:
            await self._remember(request.key, request, draft)
        self._in_step = False
        began = self.clock.monotonic()
        try:
            sequences = await self._publish(draft, began + self.publish_seconds)
        except publisher.SequenceMismatch as error:
            # What stands there may be this very changeset: remembered, it is known when it is folded.
            key = request.key or draft.committed.changeset
            await self._remember(key, request, draft)
            raise _Overtaken(error, msgspec.structs.replace(request, key=key)) from error
        except publisher.OutcomeUnknown as error:
            error.idempotency_key = request.key or draft.committed.changeset
            await self._remember(error.idempotency_key, request, draft)
            raise
        except Unavailable:
            self._in_step = True  # nothing was sent
            raise
        try:
            await self.database.write(
                lambda tx: fold(tx, draft.events, sequences, self.clock.now(), request.origin)
            )
        except Unavailable as error:
            # The stream has it: it is folded as soon as the store can be written again.
            error.idempotency_key = request.key or None
            raise
        self._in_step = True
        _tell(draft, request, self.clock.monotonic() - began)
        await self._on_committed(draft.committed, draft.events)
        return draft.committed

    async def preview(self, plan: Plan) -> list[Preview]:
        """Return what a commit of this plan would change now, and change nothing. Raises what it would."""

        def look(tx: Transaction) -> list[Preview]:
            changes = plan(tx)
            reach = self._draft_with_all(tx, changes, BY_MASTER).reach  # refuses what a commit would
            return [preview(tx, change, reach) for change in changes if change.shown != ""]

        return await self.database.read(look)

    async def _publish(self, draft: Draft, deadline: float) -> list[int]:
        began = self.clock.monotonic()
        about: dict[str, tracing.Value] = {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": self.stream,
            "messaging.batch.message_count": len(draft.events),
            "messaging.message.conversation_id": draft.committed.changeset,
        }
        with tracing.span(f"publish {self.stream}", "PRODUCER", attributes=about):
            sequences = await publisher.publish(
                draft.events,
                draft.expected,
                self._connection,
                self.clock,
                deadline,
                trace=tracing.traceparent(),
            )
        metrics.published(len(draft.events), self.clock.monotonic() - began)
        return sequences

    async def answered(self, request: Request) -> Committed | None:
        """Return the answer an idempotency key already has, once its changeset is known to be in.

        Raises InvalidInput if the key was used for another request, Unavailable as `commit`.
        """
        if not request.key or await self.database.read(lambda tx: tx.answers.find(request.key)) is None:
            return None
        async with self._lock:
            done = await self._answer(request)
            if done is None and not self._in_step:
                await self._recover()
                done = await self._answer(request)
            return done

    async def _answer(self, request: Request) -> Committed | None:
        known = await self.database.read(lambda tx: tx.answers.find(request.key)) if request.key else None
        if known is None:
            return None
        if known.request and known.request != request.digest:
            raise InvalidInput("this idempotency key belongs to another request", code="KEY_REUSED")
        return codec.decode(known.answer, Committed) if known.done else None

    async def _remember(self, key: str, request: Request, draft: Draft) -> None:
        done = draft.committed
        answer = Answer(key, request.digest, done.changeset, codec.encode(done), self.clock.now())
        await self.database.write(lambda tx: tx.answers.remember(answer))

    def _draft_with_all(self, tx: Transaction, changes: Sequence[Change], request: Request) -> Draft:
        derived = self._derive(tx, changes)
        draft = self.drafter.draft(tx, [*changes, *derived.changes], request, reach=derived.reach)
        return msgspec.structs.replace(draft, complete=derived.complete)


def _tell(draft: Draft, request: Request, seconds: float) -> None:
    """Say in one line what was written: kinds and counts, never what is in an object."""
    kinds: dict[str, int] = {}
    for event in draft.events:
        kinds[event.address.kind] = kinds.get(event.address.kind, 0) + 1
    log.info(
        "changeset_written",
        changeset=draft.committed.changeset,
        version=draft.committed.version,
        epoch=draft.committed.epoch,
        kinds=kinds,
        actor=request.actor,
        ms=round(seconds * 1000, 1),
    )


def fold(
    tx: Transaction, folded: Sequence[Event], sequences: Sequence[int], now: float, origin: str = ""
) -> None:
    """Fold our own events into the store, and remember the digest of each scope at its version."""
    for scope in sorted({event.address.scope for event in folded}):
        fold_ = tx.folding(scope)
        for event, seq in zip(folded, sequences, strict=True):
            if event.address.scope == scope:
                park = not understood(event)
                fold_.put(event, seq, None if park else _content(tx, event), park=park)
                if targets.has_history(event.address) and not park:
                    tx.history.remember(event, origin)
        state = fold_.save()
        tx.record_head(scope, state.version, state.digest, now)
    for changeset in {event.changeset for event in folded}:
        tx.answers.settle(changeset)


def _content(tx: Transaction, event: Event) -> object:
    """Return what a scan's result says; the fold of other events does not ask."""
    if event.address.category != subjects.SCAN:
        return None
    return tx.scans.whole(event.address.name, check(event))
