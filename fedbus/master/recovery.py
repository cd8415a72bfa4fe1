"""At every new bus session: compare stream and store, and repair the poorer one (guarantee 1).

What only the stream has is folded into the store. What only the store has means that the stream lost
acknowledged messages (a flipped bit is enough): it is made anew from the store under a raised epoch, so
that no worker mistakes a reused sequence number for something it knows.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

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
MAX_PART = 8 * 1024 * 1024
"""Bytes of bodies in one changeset of a stream that is made anew."""
MAX_IDLE = 2
"""Heartbeats of an idle server, two seconds apart, after which what is missing cannot be read."""


class Recovery:
    """Makes a ledger's stream and store equal; run it under the ledger's lock."""

    def __init__(self, ledger: Ledger, verifier: Verifier, federation_id: str, replicas: int = 1) -> None:
        self._drafter, self._database, self._clock = ledger.drafter, ledger.database, ledger.clock
        self._verifier, self._federation_id, self._replicas = verifier, federation_id, replicas
        self._stream = ledger.stream
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
        info = await topology.info(connection, self._stream)
        created = info.created if info else ""
        self.compared_to = last_seq = info.last_seq if info else 0
        result = await self._compared(connection, last_seq)
        identity, head = await self._database.read(_identity_and_head)
        self._doubt(info, shorter=identity == created and (last_seq < head or bool(result.lost)))
        await self._take(connection, result)
        self._drafter.epoch = await self._database.read(known_epoch)
        self._drafter.foreign = result.foreign
        replaced = bool(identity) and (identity != created or last_seq < head)
        if rewrite := bool(result.lost or replaced or self._unreadable):
            await self._rewrite(connection, len(result.lost))
            info = await topology.info(connection, self._stream)
            created = info.created if info else ""
            self.compared_to = info.last_seq if info else 0
        elif result.covered:
            await self._uncover(connection, result)
        await self._database.write(lambda tx: tx.set_meta(_IDENTITY, created))
        if result.fold:
            log.warning("store_repaired", stream=self._stream, objects=len(result.fold))
        return rewrite

    async def _compared(self, connection: Connection, last_seq: int) -> Comparison[Any]:
        """Read the last message of every subject, verified, and compare it with the store."""
        stream = await self._read(connection)
        self._check_current(stream, last_seq)
        forgotten = await self._database.read(lambda tx: tx.history.is_empty())
        if stream and forgotten:
            await self._recall(connection)
        return await self._database.read(lambda tx: compare(((h.event, h.seq) for h in tx.held()), stream))

    def _check_current(self, stream: Mapping[str, OnStream[Any]], last_seq: int) -> None:
        """Raise Unavailable where the server that was read from does not have the end of the stream."""
        if self._replicas > 1 and max((m.seq for m in stream.values()), default=0) < last_seq:
            raise connectivity.error("BUS_LAGS", "the server that was read from lags behind the stream")

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
        if faults := await self._database.write(lambda tx: tx.repair.run(partial(genuine, self._verifier))):
            log.error("store_altered", faults=faults, remedy="the stream brings back what was wrong")
        await reread(self._database, self._clock.stamp())

    async def _read(self, connection: Connection) -> dict[str, OnStream[Event]]:
        found: dict[str, OnStream[Event]] = {}

        def take(message: Message) -> None:
            event: Event | None = None
            try:
                event = self.ours(message)
            except InvalidEvent as error:
                log.warning("foreign_event", subject=message.subject, code=error.code)
            found[message.subject] = OnStream(message.seq, event)

        reader = Reader(connection, self._stream, "master-recovery", _EVERYTHING)
        if not await read_through(reader, await reader.attach(None), take):
            self._unreadable = True
        await reader.detach()
        return found

    async def scrub(self, connection: Connection) -> bool:
        """Read every message once, the superseded too; return whether all could be read.

        One that cannot be read is in the way of every worker that has not passed it yet. The next `run`
        then makes the stream anew.
        """
        reader = Reader(connection, self._stream, "master-scrub", _EVERYTHING)
        if not await read_through(reader, await reader.attach(0, headers_only=True), lambda _: None):
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

        reader = Reader(connection, self._stream, "master-recall", _EVERYTHING)
        await read_through(reader, await reader.attach(0), take)
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

    async def _take(self, _connection: Connection, result: Comparison[Any]) -> None:
        """Fold what only the stream has, and note where it has the rest."""
        now = self._clock.now()

        def take(tx: Transaction) -> None:
            # At once: the digests in between were never the federation's, some of their events are gone.
            fold(tx, [event for event, _ in result.fold], [seq for _, seq in result.fold], now)
            place(tx, result)

        await self._database.write(take)

    async def _rewrite(self, connection: Connection, lost: int) -> None:
        log.error(
            "stream_lost_messages",
            stream=self._stream,
            lost=lost,
            remedy="the stream is made anew from the store",
        )
        await topology.recreate(connection, self._stream, self._replicas)
        await self._database.write(_unplace)
        self._drafter.foreign = {}
        self._unreadable = False
        epoch = self._drafter.epoch + 1
        addresses = await self._database.read(_addresses)
        start = 0
        while start < len(addresses):
            part = await self._database.read(lambda tx, at=start: _some(tx, addresses[at:]))  # type: ignore[misc]
            await self._publish_part(connection, part, epoch)
            start += len(part)
        self._drafter.epoch = epoch
        await self._database.write(lambda tx: tx.set_meta("epoch", str(epoch)))
        self.rewrites += 1
        metrics.stream_rewritten()
        log.error("stream_rewritten", stream=self._stream, epoch=epoch, objects=len(addresses))

    async def _publish_part(self, connection: Connection, part: list[Change], epoch: int) -> None:
        draft = await self._database.read(
            lambda tx: self._drafter.draft(tx, part, BY_MASTER, epoch=epoch, keep_revisions=True)
        )
        deadline = self._clock.monotonic() + self._publish_seconds
        sequences = await publisher.publish(
            draft.events, draft.expected, lambda: connection, self._clock, deadline
        )
        await self._database.write(lambda tx: fold(tx, draft.events, sequences, self._clock.now()))

    async def _uncover(self, connection: Connection, result: Comparison[Any]) -> None:
        """Put objects back on top of what somebody else wrote over them, exactly as they were signed."""
        for covered, above in result.covered:
            place = covered.address
            held = await self._database.read(lambda tx, a=place: tx.held_at(a))  # type: ignore[misc]
            if held is None:
                continue  # what was folded meanwhile cannot have taken it, but nothing is nothing
            deadline = self._clock.monotonic() + self._publish_seconds
            (seq,) = await publisher.publish(
                [held.event], [above], lambda: connection, self._clock, deadline, tag=f"~{above}"
            )
            drafter = self._drafter
            drafter.foreign = drafter.foreign | {covered.subject: 0}
            await self._database.write(lambda tx, a=place, s=seq: tx.place(a.scope, a.kind, a.name, s))  # type: ignore[misc]
            log.error("foreign_event_covered", subject=covered.subject)


async def read_through(
    reader: Reader,
    pending: int,
    take: Callable[[Message], None],
    after_batch: Callable[[], Awaitable[None]] | None = None,
) -> bool:
    """Hand over every message there is; return False if the server cannot read one of them."""
    idle = 0
    if not pending:
        return True
    async with aclosing(reader.batches(idle=True)) as batches:
        async for batch in batches:
            for message in batch:
                take(message)
            if after_batch is not None:
                await after_batch()
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


def place(tx: Transaction, result: Comparison[Any]) -> None:
    """Note where the stream has what both have."""
    for one, seq in result.moved:
        tx.place(one.address.scope, one.address.kind, one.address.name, seq)


def _unplace(tx: Transaction) -> None:
    """Sequences of the old stream mean nothing in the new one."""
    for scope in tx.scopes():
        position = tx.folding(scope)
        position.seq = 0
        position.save()
    for a in [stamp.address for stamp in tx.stamps()]:
        if a.category == subjects.CONTROL:  # it is not written again
            tx.place(a.scope, a.kind, a.name, 0)


def _addresses(tx: Transaction) -> list[subjects.Address]:
    """Return where every object is, tombstones too, in the order in which they were written."""
    return [s.address for s in tx.stamps() if s.address.category != subjects.CONTROL]


def _some(tx: Transaction, addresses: Sequence[subjects.Address]) -> list[Change]:
    """Return the first of these objects as changes: as many as a changeset holds, by number and size."""
    changes: list[Change] = []
    size = 0
    for a in addresses[: publisher.MAX_EVENTS]:
        held = tx.held_at(a)
        assert held is not None  # noqa: S101 - under the ledger's lock nothing goes
        size += len(held.event.body)
        if changes and size > MAX_PART:
            break
        changes.append(_again(held.event))
    return changes


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
    body, large = codec.unpack(event.body, event.encoding), event.encoding == codec.LARGE
    return msgspec.structs.replace(change, payload=body, large=large)
