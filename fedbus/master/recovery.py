"""At every new bus session: compare stream and store, and repair the poorer one (guarantee 1).

What only the stream has is folded into the store. What only the store has means that the stream lost
acknowledged messages (a flipped bit is enough): it is made anew from the store under a raised epoch, so
that no worker mistakes a reused sequence number for something it knows.
"""

from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import partial

import msgspec
import structlog

from fedbus import metrics
from fedbus.bus import publisher, topology
from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Message
from fedbus.core import connectivity, payload
from fedbus.core.comparison import Comparison, OnStream, compare, loss_is_certain
from fedbus.errors import InvalidEvent
from fedbus.master.changes import BY_MASTER, Change
from fedbus.master.ledger import Ledger, fold
from fedbus.model import codec, subjects, targets
from fedbus.model.events import Event
from fedbus.pki.signing import Verifier
from fedbus.pki.verification import genuine, verified
from fedbus.store.rereading import reread
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

_IDENTITY = "stream"
_EVERYTHING = "fed.v1.ev.>"
MAX_IDLE = 2
"""Heartbeats of an idle server, two seconds apart, after which what is missing cannot be read."""


class Recovery:
    """Makes stream and store equal; run it under the ledger's lock."""

    def __init__(self, ledger: Ledger, verifier: Verifier, federation_id: str, replicas: int = 1) -> None:
        self._drafter, self._database, self._clock = ledger.drafter, ledger.database, ledger.clock
        self._verifier, self._federation_id, self._replicas = verifier, federation_id, replicas
        self._publish_seconds = ledger.publish_seconds
        self.rewrites = 0
        """How often the stream had to be made anew since the start."""
        self.compared_to = 0
        """The stream's last sequence when it was compared: what came later nobody has looked at."""
        self._inspected = False
        self._unreadable = False
        self._doubted_since: float | None = None

    async def run(self, connection: Connection) -> bool:
        """Compare and repair; return whether the stream was rewritten. Raises Unavailable."""
        await self.inspect()
        await topology.ensure(connection, self._replicas)
        info = await topology.info(connection, topology.POLICY)
        created = info.created if info else ""
        self.compared_to = last_seq = info.last_seq if info else 0
        stream = await self._read(connection)
        if self._replicas > 1 and max((m.seq for m in stream.values()), default=0) < last_seq:
            raise connectivity.error("BUS_LAGS", "the server that was read from lags behind the stream")
        result = await self._database.read(lambda tx: compare(((h.event, h.seq) for h in tx.held()), stream))
        identity, head = await self._database.read(_identity_and_head)
        self._doubt(info, shorter=identity == created and (last_seq < head or bool(result.lost)))
        forgotten = await self._database.read(lambda tx: tx.history.is_empty())
        if forgotten and stream:
            await self._recall(connection)
        await self._database.write(lambda tx: self._take(tx, result))
        self._drafter.epoch = await self._database.read(known_epoch)
        self._drafter.foreign = result.foreign
        replaced = bool(identity) and (identity != created or last_seq < head)
        if rewrite := bool(result.lost or replaced or self._unreadable):
            await self._rewrite(connection, len(result.lost))
            info = await topology.info(connection, topology.POLICY)
            created = info.created if info else ""
            self.compared_to = info.last_seq if info else 0
        elif result.covered:
            await self._uncover(connection, result)
        await self._database.write(lambda tx: tx.set_meta(_IDENTITY, created))
        if result.fold:
            log.warning("store_repaired", objects=len(result.fold))
        return rewrite

    def _doubt(self, info: topology.StreamInfo | None, *, shorter: bool) -> None:
        """Raise Unavailable where a loss may only be servers that have not settled yet."""
        if not shorter:
            self._doubted_since = None
            return
        now = self._clock.monotonic()
        if self._doubted_since is None:
            self._doubted_since = now
        behind, seconds = len(info.behind) if info else 0, now - self._doubted_since
        if not loss_is_certain(replicas=self._replicas, behind=behind, seconds=seconds):
            raise connectivity.error("BUS_LAGS", "the bus shows less than it had: it may be catching up")

    async def inspect(self) -> None:
        """Drop what the store holds and we did not sign, at start and when somebody wrote to its file."""
        if self._inspected and not await self._database.altered():
            return
        self._inspected = True
        if faults := await self._database.write(lambda tx: tx.repair(partial(genuine, self._verifier))):
            log.error("store_altered", faults=faults, remedy="the stream brings back what was wrong")
        await reread(self._database, self._clock.stamp())

    async def _read(self, connection: Connection) -> dict[str, OnStream]:
        """Return the last message of every subject, verified."""
        found: dict[str, OnStream] = {}

        def take(message: Message) -> None:
            event: Event | None = None
            try:
                event = self.ours(message)
            except InvalidEvent as error:
                log.warning("foreign_event", subject=message.subject, code=error.code)
            found[message.subject] = OnStream(message.seq, event)

        reader = Reader(connection, topology.POLICY, "master-recovery", _EVERYTHING)
        if not await _read_through(reader, await reader.attach(None), take):
            self._unreadable = True
        await reader.detach()
        return found

    async def scrub(self, connection: Connection) -> bool:
        """Read every message once, the superseded too; return whether all could be read.

        One that cannot be read is in the way of every worker that has not passed it yet. The next `run`
        then makes the stream anew.
        """
        reader = Reader(connection, topology.POLICY, "master-scrub", _EVERYTHING)
        if not await _read_through(reader, await reader.attach(0, headers_only=True), lambda _: None):
            self._unreadable = True
        await reader.detach()
        return not self._unreadable

    async def _recall(self, connection: Connection) -> None:
        """Bring back the history of a lost store: the stream has the last revisions of each object."""
        revisions: list[Event] = []

        def take(message: Message) -> None:
            with suppress(InvalidEvent):
                event = self.ours(message)
                if targets.has_history(event.address) and payload.understood(event):
                    revisions.append(event)

        reader = Reader(connection, topology.POLICY, "master-recall", _EVERYTHING)
        await _read_through(reader, await reader.attach(0), take)
        await reader.detach()

        def remember(tx: Transaction) -> None:
            for event in revisions:
                tx.history.remember(event)

        await self._database.write(remember)

    def ours(self, message: Message) -> Event:
        """Return the event in a message that a master wrote, maybe of a newer build. Raises InvalidEvent."""
        event = verified(self._verifier, self._federation_id, message.subject, message.headers, message.data)
        payload.check(event)
        return event

    def _take(self, tx: Transaction, result: Comparison) -> None:
        now = self._clock.now()
        # At once: the digests in between were never the federation's, some of their events are gone.
        fold(tx, [event for event, _ in result.fold], [seq for _, seq in result.fold], now)
        for event, seq in result.moved:
            tx.place(event.address.scope, event.address.kind, event.address.name, seq)

    async def _rewrite(self, connection: Connection, lost: int) -> None:
        log.error("stream_lost_messages", lost=lost, remedy="the stream is made anew from the store")
        await topology.recreate(connection, topology.POLICY, self._replicas)
        await self._database.write(_unplace)
        self._drafter.foreign = {}
        self._unreadable = False
        epoch = self._drafter.epoch + 1
        changes = await self._database.read(_everything)
        for start in range(0, len(changes), publisher.MAX_EVENTS):
            part = changes[start : start + publisher.MAX_EVENTS]
            await self._publish_part(connection, part, epoch)
        self._drafter.epoch = epoch
        await self._database.write(lambda tx: tx.set_meta("epoch", str(epoch)))
        self.rewrites += 1
        metrics.stream_rewritten()
        log.error("stream_rewritten", epoch=epoch, objects=len(changes))

    async def _publish_part(self, connection: Connection, part: list[Change], epoch: int) -> None:
        draft = await self._database.read(
            lambda tx: self._drafter.draft(tx, part, BY_MASTER, epoch=epoch, keep_revisions=True)
        )
        deadline = self._clock.monotonic() + self._publish_seconds
        sequences = await publisher.publish(
            draft.events, draft.expected, lambda: connection, self._clock, deadline
        )
        await self._database.write(lambda tx: fold(tx, draft.events, sequences, self._clock.now()))

    async def _uncover(self, connection: Connection, result: Comparison) -> None:
        """Put objects back on top of what somebody else wrote over them, exactly as they were signed."""
        for event, above in result.covered:
            deadline = self._clock.monotonic() + self._publish_seconds
            (seq,) = await publisher.publish(
                [event], [above], lambda: connection, self._clock, deadline, tag=f"~{above}"
            )
            place, self._drafter.foreign = event.address, self._drafter.foreign | {event.subject: 0}
            await self._database.write(lambda tx, a=place, s=seq: tx.place(a.scope, a.kind, a.name, s))  # type: ignore[misc]
            log.error("foreign_event_covered", subject=event.subject)


async def _read_through(reader: Reader, pending: int, take: Callable[[Message], None]) -> bool:
    """Hand over every message there is; return False if the server cannot read one of them."""
    idle = 0
    if not pending:
        return True
    async with aclosing(reader.batches(idle=True)) as batches:
        async for batch in batches:
            for message in batch:
                take(message)
            if batch and batch[-1].pending == 0:
                return True
            idle = 0 if batch else idle + 1
            if idle == MAX_IDLE:
                break
    log.error("stream_unreadable", remedy="the stream is made anew from the store")
    return False


def _identity_and_head(tx: Transaction) -> tuple[str, int]:
    return tx.meta(_IDENTITY), max((s.seq for s in tx.scopes().values()), default=0)


def known_epoch(tx: Transaction) -> int:
    """Return the newest epoch that the store knows of."""
    return max(1, int(tx.meta("epoch") or 0), *(s.epoch for s in tx.scopes().values()))


def _unplace(tx: Transaction) -> None:
    """Sequences of the old stream mean nothing in the new one."""
    for scope in tx.scopes():
        position = tx.folding(scope)
        position.seq = 0
        position.save()
    for held in tx.held():
        if (a := held.event.address).category == subjects.CONTROL:  # it is not written again
            tx.place(a.scope, a.kind, a.name, 0)


def _everything(tx: Transaction) -> list[Change]:
    """Return every object as a change, tombstones too, in the order it was written."""
    return [_again(held.event) for held in tx.held() if held.event.address.category != subjects.CONTROL]


def _again(event: Event) -> Change:
    """Return the change that writes an object once more, as it is."""
    change = Change(
        scope=event.address.scope,
        category=event.address.category,
        kind=event.address.kind,
        name=event.address.name,
        payload=None,
    )
    if event.deleted:
        return change
    if not payload.understood(event):
        return msgspec.structs.replace(change, payload=b"", verbatim=event)
    return msgspec.structs.replace(change, payload=codec.unpack(event.body, event.encoding))
