"""Large reports on a worker: the object that an event names is fetched before the event is folded.

Chunk by chunk, each kept when it is here, so that a transfer that is cut goes on where it was. What cannot be
had is left to the fold, which sets the event aside; the digest then says that something is missing, and it is
asked for again.
"""

from collections.abc import Sequence
from hashlib import sha256

import structlog

from fedbus.bus.objects import Bucket
from fedbus.bus.session import Connection, Message
from fedbus.core import payload
from fedbus.errors import InvalidEvent, NotFound
from fedbus.model import codec, subjects
from fedbus.model.scan import Large
from fedbus.pki.signing import Verifier
from fedbus.pki.verification import verified
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)


class LargeReports:
    """Brings the objects of one federation's large reports."""

    def __init__(self, database: Database, verifier: Verifier, federation_id: str) -> None:
        self._database, self._verifier, self._federation_id = database, verifier, federation_id

    async def bring(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Have the objects here that these messages name. Raises Unavailable when the session ends."""
        named = self._named(messages)
        if not named and not await self._database.read(lambda tx: tx.scans.has_chunks()):
            return
        await self._database.write(lambda tx: _drop_unused(tx, named))
        bucket = Bucket(connection, subjects.SCOPE_SCANS, api=subjects.MEMBERS_API)
        for large in named:
            try:
                await self._bring(bucket, large)
            except NotFound as error:
                log.warning("large_report_missing", object=large.object, code=error.code, error=error.message)

    def _named(self, messages: Sequence[Message]) -> list[Large]:
        """Return what verified events name; the fold judges all others."""
        found = []
        for m in messages:
            if m.headers.get("ce-fbencoding") == codec.LARGE:
                try:
                    event = verified(self._verifier, self._federation_id, m.subject, m.headers, m.data)
                    content = payload.check(event)
                except InvalidEvent:
                    continue
                if isinstance(content, Large):
                    found.append(content)
        return found

    async def _bring(self, bucket: Bucket, large: Large) -> None:
        """Fetch what is missing of an object; all of it anew where that does not make the right one."""
        for _ in range(2):
            if await self._whole(large):
                return
            record = await bucket.record(large.object)
            count, seq = await self._database.read(lambda tx: tx.scans.chunk_count(large.object))
            for number in range(count, record.chunks):
                seq, data = await bucket.chunk(record, seq)
                await self._database.write(
                    lambda tx, n=number, s=seq, d=data: tx.scans.put_chunk(large.object, n, s, d)  # type: ignore[misc]
                )
            if await self._whole(large):
                return
            # Put there again meanwhile, in other places; or not what was signed.
            await self._database.write(lambda tx: tx.scans.drop_chunks(large.object))
        raise NotFound("the bucket has another object under this name", code="LARGE_ALTERED")

    async def _whole(self, large: Large) -> bool:
        body = await self._database.read(lambda tx: tx.scans.large(large))
        return body is not None and sha256(body).hexdigest() == large.object


def _drop_unused(tx: Transaction, named: Sequence[Large]) -> None:
    """Drop the objects that neither the store nor what comes now names."""
    wanted = (*tx.scans.references(subjects.SCOPE_SCANS), *named)
    tx.scans.keep_chunks({large.object for large in wanted})
