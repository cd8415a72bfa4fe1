"""Large reports on the master: written to the object store before their event, and kept in the store too.

Two durable copies, as of everything: what the bucket lost is put there again from the store, what only the
bucket has is fetched. An object goes when no event names it any more and everybody had time to see that.
"""

import asyncio
from hashlib import sha256

import structlog

from fedbus.bus.objects import Bucket
from fedbus.bus.session import Connection
from fedbus.errors import NotFound, TooLarge
from fedbus.model import codec, subjects
from fedbus.model.scan import MAX_REPORT
from fedbus.model.scan import Large as Reference
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""How often it is looked whether the buckets still have everything."""
GRACE_SECONDS = 300.0
"""How long an object that no event names any more is kept for those who are just fetching it."""


def packed(payload: bytes) -> tuple[Reference, bytes] | None:
    """Return reference and bytes of a payload that fits no message; None if it does.

    Raises TooLarge for what no report may be.
    """
    if len(payload) > MAX_REPORT:
        raise TooLarge(
            f"a report of {len(payload)} bytes is too large; the most is {MAX_REPORT}",
            code="REPORT_TOO_LARGE",
        )
    if len(payload) <= codec.MAX_BODY:
        return None
    body, _ = codec.pack(payload)
    if len(body) <= codec.MAX_BODY and len(payload) <= codec.MAX_PAYLOAD:
        return None
    return Reference(object=sha256(body).hexdigest(), size=len(body)), body


class Large:
    """The objects of one federation's large reports."""

    def __init__(self, database: Database, grace: float = GRACE_SECONDS) -> None:
        self._database, self._grace = database, grace
        self.superseded = asyncio.Event()
        """Set when an event that named an object may have gone."""
        self.writing = asyncio.Lock()
        """Held from the put of objects until the events that name them are written."""

    async def put(self, connection: Connection, scope: str, reference: Reference, body: bytes) -> None:
        """Store an object, here and in the bucket. Raises Unavailable."""

        def keep(tx: Transaction) -> None:
            tx.scans.drop_chunks(reference.object)
            tx.scans.put_chunk(reference.object, 0, 0, body)

        await self._database.write(keep)
        bucket = Bucket(connection, scope)
        try:
            if (await bucket.record(reference.object)).size == reference.size:
                return
        except NotFound:
            pass
        await bucket.put(reference.object, body)

    async def bring(self, connection: Connection, scope: str, reference: Reference) -> None:
        """Fetch an object that the store has not. Raises NotFound, Unavailable."""
        if await self._held(reference) is not None:
            return
        bucket = Bucket(connection, scope)
        record, body, seq = await bucket.record(reference.object), bytearray(), 0
        for _ in range(record.chunks):
            seq, data = await bucket.chunk(record, seq)
            body += data
        if sha256(body).hexdigest() != reference.object:
            raise NotFound("the bucket has another object under this name", code="LARGE_ALTERED")
        await self._database.write(lambda tx: tx.scans.put_chunk(reference.object, 0, 0, bytes(body)))

    async def keep(self, connection: Connection) -> None:
        """Have the buckets hold what the store names, and nothing else, for ever. Raises Unavailable."""
        pause, waited = min(LOOK_SECONDS, self._grace), 0.0
        while True:
            for scope in subjects.SCAN_SCOPES:
                await self._restore(connection, scope)
            await asyncio.sleep(pause)
            waited = waited + pause if self.superseded.is_set() else 0.0
            if waited >= self._grace:
                self.superseded.clear()
                waited = 0.0
                await self.collect(connection)

    async def _restore(self, connection: Connection, scope: str) -> None:
        wanted = {r.object: r for r in await self._references(scope)}
        bucket = Bucket(connection, scope)
        for name in wanted.keys() - await bucket.names():
            if (body := await self._held(wanted[name])) is not None:
                await bucket.put(name, body)
                log.warning("large_report_restored", object=name)

    async def _held(self, reference: Reference) -> bytes | None:
        return await self._database.read(lambda tx: tx.scans.large(reference))

    async def _references(self, scope: str) -> list[Reference]:
        return await self._database.read(lambda tx: tx.scans.references(scope))

    async def collect(self, connection: Connection) -> None:
        """Delete the objects that no event names. Raises Unavailable."""
        async with self.writing:
            await self._collect(connection)

    async def _collect(self, connection: Connection) -> None:
        named: set[str] = set()
        for scope in subjects.SCAN_SCOPES:
            wanted = {r.object for r in await self._references(scope)}
            bucket = Bucket(connection, scope)
            for name in await bucket.names() - wanted:
                await bucket.delete(name)
            named |= wanted
        await self._database.write(lambda tx: tx.scans.keep_chunks(named))
