"""The follower: keeps one scope of the store equal to what the master has published.

Two modes. *Following* reads on from the stored position. A *snapshot* reads the last message of every
object; what it did not bring may be swept, but only on the master's signed checkpoint with the digest
that remains: an empty or restored stream by itself never deletes anything (guarantee 9).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec
import structlog

from fedbus import metrics, tracing
from fedbus.bus.reader import BATCH, MAX_BYTES, Reader
from fedbus.bus.session import Connection, Message
from fedbus.core import digest
from fedbus.model import subjects
from fedbus.model.events import Event
from fedbus.model.federation import Checkpoint, ScopeState
from fedbus.runtime import Clock, first
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction
from fedbus.worker.folding import Folded, Folder, Item

log = structlog.get_logger(__name__)

SNAPSHOT_INTERVAL = 5.0
"""The fewest seconds between two snapshots that a wrong digest asks for; doubled when one did not help."""
MAX_SNAPSHOT_INTERVAL = 300.0

Applied = Callable[[Folded], Awaitable[None]]
Control = Callable[[Event], Awaitable[None]]
Prepare = Callable[[Connection, Sequence[Message]], Awaitable[None]]


class Follower:
    """Follows one scope; `attach` it to each session in turn."""

    def __init__(
        self,
        *,
        database: Database,
        folder: Folder,
        consumer: str,
        stream: str,
        filter_subject: str,
        clock: Clock,
        on_applied: Applied,
        on_control: Control,
        prepare: Prepare | None = None,
        batch: int = BATCH,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Take what `prepare` does before messages are folded: fetch what they only name."""
        self.scope = folder.scope
        self.pending = 0
        """Events that wait on the bus, as of the last batch."""
        self._database, self._folder, self._clock = database, folder, clock
        self._consumer, self._stream, self._filter = consumer, stream, filter_subject
        self._on_applied, self._on_control = on_applied, on_control
        self._prepare, self._batch, self._max_bytes = prepare, batch, max_bytes
        self._rewind = asyncio.Event()
        self._from_nothing = False
        self._snapshot: set[tuple[str, str]] | None = None
        self._caught_up = False
        self._tail: list[Item] = []
        self._last_snapshot = float("-inf")
        self._snapshot_interval = SNAPSHOT_INTERVAL
        self._folding = asyncio.Lock()
        self._handling = asyncio.Lock()
        """Held until a batch is dealt with: a rewind, which it may ask for itself, does not cut it short."""
        self._checkpoint: Checkpoint | None = None

    async def follow(self, connection: Connection) -> None:
        """Read for ever on one session. Raises Unavailable when it ends."""
        while True:
            self._rewind.clear()
            reader = Reader(
                connection,
                self._stream,
                self._consumer,
                self._filter,
                api=subjects.MEMBERS_API,
                batch=self._batch,
                max_bytes=self._max_bytes,
            )
            await self._attach(reader)
            handle = partial(self._handle, connection)
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(reader.run(handle, idle=True), name=f"read {self.scope}")
                await first(asyncio.wait([reading]), self._rewind.wait())
                async with self._handling:
                    reading.cancel()

    async def _attach(self, reader: Reader) -> None:
        state = await self._state()
        self._tail = []
        if self._from_nothing or state.seq == 0:
            self._snapshot = set()
            self._last_snapshot = self._clock.monotonic()
            await self._database.write(self._unplace)
            self._from_nothing = False  # the position says it from here on; a rewind that comes later counts
        else:
            self._snapshot = None
        pending = await reader.attach(None if self._snapshot is not None else state.seq)
        self._caught_up = pending == 0
        self.pending = pending
        log.info(
            "following",
            scope=self.scope,
            after=state.seq,
            pending=pending,
            snapshot=self._snapshot is not None,
        )
        if self._caught_up and self._checkpoint is not None:
            await self.check(self._checkpoint)

    def _unplace(self, tx: Transaction) -> None:
        """Begin a snapshot: sequences of the old stream mean nothing in the new one."""
        fold = tx.folding(self.scope)
        fold.seq = 0
        fold.save()

    async def _handle(self, connection: Connection, messages: Sequence[Message]) -> None:
        if not messages:
            if not self._caught_up:
                # Something is to come and does not: a message that the server cannot read. A snapshot
                # passes it if it was superseded; if not, the master makes the stream anew.
                self._again("the stream stands still")
            return
        if self._prepare is not None:
            await self._prepare(connection, messages)
        async with self._handling:
            await self._take(messages)

    async def _take(self, messages: Sequence[Message]) -> None:
        """Fold a batch, tell of it, and do what it says."""
        at, began = self._clock.stamp(), self._clock.now()
        async with self._folding:
            started = self._clock.monotonic()
            snapshot = self._snapshot is not None and not self._caught_up
            tail = self._tail
            folded = await self._database.write(
                lambda tx: self._folder.fold(tx, tail, messages, at=at, snapshot=snapshot)
            )
            seconds = self._clock.monotonic() - started
            self._tail = folded.tail
            self.pending = messages[-1].pending
            if self._snapshot is not None:
                self._snapshot.update(folded.seen)
            caught_up_now = messages[-1].pending == 0 and not self._caught_up
            self._caught_up = self._caught_up or caught_up_now
        metrics.applied(folded.tally, seconds)
        self._tell(folded, began, seconds)
        await self._on_applied(folded)
        for event in folded.controls:
            await self._on_control(event)
        if caught_up_now and self._checkpoint is not None:
            await self.check(self._checkpoint)

    def _tell(self, folded: Folded, began: float, seconds: float) -> None:
        """Say in one line, and in every trace that led here, what a batch did."""
        log.info(
            "applied",
            scope=self.scope,
            version=folded.state.version,
            epoch=folded.state.epoch,
            applied=folded.applied,
            duplicates=folded.duplicates,
            parked=folded.parked,
            refused=len(folded.refused),
            pending=self.pending,
            ms=round(seconds * 1000, 1),
        )
        if folded.traces:
            about: dict[str, tracing.Value] = {
                "messaging.system": "nats",
                "messaging.operation.name": "apply",
                "messaging.operation.type": "process",
                "messaging.destination.name": self._stream,
                "messaging.consumer.group.name": self._consumer,
                "messaging.batch.message_count": folded.applied,
                "fedbus.version": folded.state.version,
            }
            # The span of a request's trace is the whole batch: its events were one transaction with others.
            name = f"apply {self._stream}"
            tracing.record(
                name,
                "CONSUMER",
                parents=folded.traces,
                began=began,
                ended=began + seconds,
                attributes=about,
            )

    def rewind(self) -> None:
        """Read everything again, from a snapshot."""
        self._from_nothing = True
        self._rewind.set()

    async def check(self, checkpoint: Checkpoint) -> None:
        """Compare what is held with the master's signed head, and act on a difference.

        A head that is older than what is held says nothing: the master signed it a moment before. One
        that does not speak of this scope still tells whether the stream was replaced (a raised epoch).
        """
        if self._checkpoint and checkpoint.epoch < self._checkpoint.epoch:
            return
        async with self._folding:
            state = await self._state()
            if checkpoint.epoch < state.epoch:
                return  # fenced off: a replaced master, or its words played again
            checkpoint = self._with_last_head(checkpoint, state)
            self._checkpoint = checkpoint
            head = checkpoint.scopes.get(self.scope)
            current = head is not None and head.version >= state.version
            if self._snapshot is not None:
                if self._caught_up and (current or head is None):
                    await self._finish_snapshot(self._snapshot, state, checkpoint.epoch, head)
            elif checkpoint.epoch > state.epoch:
                # Only the epoch tells: a position is ahead of the master's by what was refused on the way.
                self._again("stream replaced")
            elif head and head.version == state.version and head.digest != state.digest:
                metrics.digest_mismatch()
                self._again("digest differs")

    def _with_last_head(self, checkpoint: Checkpoint, held: ScopeState) -> Checkpoint:
        """Return a checkpoint with the last head that was said of this scope, while that still counts.

        The broadcast never speaks of a cluster's own scope, a resync does: once, maybe in mid-snapshot.
        """
        last = self._checkpoint
        if self.scope in checkpoint.scopes or last is None or last.epoch != checkpoint.epoch:
            return checkpoint
        head = last.scopes.get(self.scope)
        if head is None or head.version < held.version:
            return checkpoint
        return msgspec.structs.replace(checkpoint, scopes=checkpoint.scopes | {self.scope: head})

    async def _finish_snapshot(
        self, keep: set[tuple[str, str]], held: ScopeState, epoch: int, head: ScopeState | None
    ) -> None:
        state = await self._database.write(lambda tx: _sweep(tx, self.scope, keep, epoch, head))
        if state is not None:
            self._snapshot, self._snapshot_interval = None, SNAPSHOT_INTERVAL
            await self._on_applied(Folded(scope=self.scope, state=state))
        elif head is not None and head.version == held.version:
            metrics.digest_mismatch()
            if self._again("digest differs after a snapshot"):
                self._snapshot_interval = min(2 * self._snapshot_interval, MAX_SNAPSHOT_INTERVAL)

    async def _state(self) -> ScopeState:
        return await self._database.read(lambda tx: tx.scope(self.scope))

    def _again(self, reason: str) -> bool:
        """Read everything again if the last time was long enough ago; tell whether it was."""
        due = self._clock.monotonic() - self._last_snapshot >= self._snapshot_interval
        if due:
            log.warning("snapshot_needed", scope=self.scope, reason=reason)
            self.rewind()
        return due


def _sweep(
    tx: Transaction, scope: str, keep: set[tuple[str, str]], epoch: int, head: ScopeState | None
) -> ScopeState | None:
    """Delete what the snapshot did not bring, if the master's digest says that this is the truth.

    Returns None, and deletes nothing, if it does not; without a head nothing is deleted either.
    """
    fold = tx.folding(scope)
    if head is not None:
        total = 0
        for kind, name, revision, content in tx.elements(scope):
            if (kind, name) in keep:
                total += digest.element(kind, name, revision, content)
        if digest.add(digest.EMPTY, total) != head.digest:
            return None
        if swept := fold.sweep(keep):
            log.warning("swept", scope=scope, objects=swept)
        fold.version = max(fold.version, head.version)
    fold.epoch = max(fold.epoch, epoch)
    return fold.save()
