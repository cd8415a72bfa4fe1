"""Scan results, stream against store: by versions alone, since a hundred thousand reports fit no memory.

The stream is read without bodies. A message that stands where the store has it, with the version that it
has, is what was verified when it was folded. Of every other one the body is fetched before it is believed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Message
from fedbus.cluster.scans.inspection import Inspection
from fedbus.core import connectivity
from fedbus.core.batches import batches
from fedbus.core.comparison import Comparison, OnStream, compare
from fedbus.errors import InvalidEvent, NotFound
from fedbus.master.large import Large
from fedbus.master.ledger import Ledger, fold
from fedbus.master.recovery import Recovery, place, read_through
from fedbus.model import codec, events
from fedbus.model.events import Event
from fedbus.model.scan import Large as Reference
from fedbus.pki.signing import Verifier
from fedbus.store.rows import Stamped
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

_EVERYTHING = ">"
AT_ONCE = 200
"""Bodies that are fetched, verified and folded together; at most half a mebibyte each."""
SIDE_BY_SIDE = 16
"""Fetches under way at a time."""


class ScanRecovery(Recovery):
    """Makes stream and store of the scan results equal; run it under their ledger's lock."""

    def __init__(
        self,
        ledger: Ledger,
        verifier: Verifier,
        federation_id: str,
        replicas: int,
        *,
        large: Large,
        inspection: Inspection,
    ) -> None:
        super().__init__(ledger, verifier, federation_id, replicas)
        self._large, self._inspection = large, inspection

    async def inspect(self) -> None:
        """Do nothing: a store of this size is looked through while it is in use, and where it matters."""

    async def _compared(self, connection: Connection, last_seq: int) -> Comparison[Any]:
        result = await self._compare(connection, last_seq)
        if (result.lost or self._unreadable) and await self._inspection.inspect(rest=0.0):
            # The stream would have been made anew from what nobody signed.
            result = await self._compare(connection, last_seq)
        return result

    async def _compare(self, connection: Connection, last_seq: int) -> Comparison[Any]:
        found: dict[str, OnStream[Stamped]] = {}
        unsure: list[Message] = []
        reader = Reader(connection, self._stream, "master-scan-recovery", _EVERYTHING)
        pending = await reader.attach(None, headers_only=True)
        batch: list[Message] = []
        if not await read_through(reader, pending, batch.append, self._sift(batch, found, unsure)):
            self._unreadable = True
        await reader.detach()
        for part in batches(unsure, AT_ONCE):
            for seq, subject, event in await self._fetched(connection, part):
                found[subject] = OnStream(seq, None if event is None else stamped(event, seq))
        self._check_current(found, last_seq)
        return await self._database.read(lambda tx: compare(((s, s.seq) for s in tx.stamps()), found))

    def _sift(self, batch: list[Message], found: dict[str, OnStream[Stamped]], unsure: list[Message]) -> Any:
        """Return what looks at each batch: what the store has just so is known, the rest is not."""

        async def sift() -> None:
            for message, stamp in await self._database.read(lambda tx: [(m, known(tx, m)) for m in batch]):
                if stamp is None:
                    unsure.append(message)
                else:
                    found[message.subject] = OnStream(message.seq, stamp)
            batch.clear()

        return sift

    async def _take(self, connection: Connection, result: Comparison[Any]) -> None:
        """Fold what only the stream has, so much at a time that it fits; the digest counts at the end."""
        for part in batches(result.fold, AT_ONCE):
            wanted = [Message(stamp.subject, "", {}, b"", seq) for stamp, seq in part]
            fetched = [(e, s) for s, _, e in await self._fetched(connection, wanted) if e is not None]
            taken = [(e, s) for e, s in fetched if await self._bring_large(connection, e)]
            now = self._clock.now()

            def take(tx: Transaction, taken: list[tuple[Event, int]] = taken, now: float = now) -> None:
                fold(tx, [e for e, _ in taken], [s for _, s in taken], now)

            await self._database.write(take)
        await self._database.write(lambda tx: place(tx, result))

    async def _bring_large(self, connection: Connection, event: Event) -> bool:
        """Have the object of a large report here, if it is one; tell whether the event can be folded."""
        if event.encoding != codec.LARGE or event.deleted:
            return True
        reference = codec.decode(event.body, Reference)
        try:
            await self._large.bring(connection, event.address.scope, reference)
        except NotFound as error:
            log.warning("large_report_lost", subject=event.subject, code=error.code)
            return False
        return True

    async def _fetched(
        self, connection: Connection, messages: Sequence[Message]
    ) -> list[tuple[int, str, Event | None]]:
        """Return sequence, subject and verified event of messages; None for what is not ours."""
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def fetch(message: Message) -> tuple[int, str, Event | None]:
            async with gate:
                body = msgspec.json.encode({"seq": message.seq})
                answer = await connection.request(f"$JS.API.DIRECT.GET.{self._stream}", body)
            if "Nats-Sequence" not in answer.headers:
                raise connectivity.error("BUS_LAGS", "the bus does not have what it has just shown")
            try:
                whole = Message(
                    message.subject, "", _own(answer.headers), answer.data, message.seq, message.pending
                )
                return message.seq, message.subject, self.ours(whole)
            except InvalidEvent as error:
                log.warning("foreign_event", subject=message.subject, code=error.code)
                return message.seq, message.subject, None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(message)) for message in messages]
        return [task.result() for task in tasks]


def stamped(event: Event, seq: int) -> Stamped:
    """Return the version of an event."""
    return Stamped(event.address, event.epoch, event.revision, event.version, event.digest, seq)


def known(tx: Transaction, message: Message) -> Stamped | None:
    """Return what the store has of a message's subject, if it has it just so: there, and in that version."""
    held = tx.stamp_at(message.subject)
    h = message.headers
    here = (h.get("ce-fbepoch"), h.get("ce-fbrevision"), h.get("ce-fbdigest"), message.seq)
    if held is None or here != (str(held.epoch), str(held.revision), held.digest, held.seq):
        return None
    return held


def _own(headers: Any) -> dict[str, str]:
    """Return the headers that a message was published with; a direct get adds some of the server's."""
    return {k: v for k, v in headers.items() if k.startswith("ce-") or k == events.SIGNATURE}
