"""The guard: watches the stream for what this master did not write, wrote long ago, or gave up."""

from collections.abc import Sequence
from hashlib import sha256

from fedbus.bus import topology
from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Message
from fedbus.errors import InvalidEvent
from fedbus.master import audit as audit_log
from fedbus.master.audit import Audit
from fedbus.master.ledger import Ledger
from fedbus.master.recovery import Recovery
from fedbus.model import subjects
from fedbus.store.transaction import Transaction


class Guard:
    """Looks into everything odd at once.

    A publish whose outcome nobody learned may still get in, long after, from a buffer on the way.
    """

    def __init__(self, ledger: Ledger, recovery: Recovery, audit: Audit) -> None:
        self._ledger, self._recovery, self._audit = ledger, recovery, audit

    async def run(self, connection: Connection) -> None:
        """Watch from where the stream was compared, for ever. Raises Unavailable."""
        reader = Reader(connection, topology.POLICY, "master-guard", "fed.v1.ev.>")
        await reader.attach(self._recovery.compared_to)
        await reader.run(self._look)

    async def _look(self, messages: Sequence[Message]) -> None:
        # Most are of a write that is just being folded: that is over when this is asked.
        new = await self._ledger.settled(lambda tx: [m for m in messages if not has(tx, m)])
        if not new:
            return
        odd = [m for m in new if not self._ours(m)]
        odd += await self._ledger.database.read(lambda tx: [m for m in new if age(tx, m) < 0])
        for message in odd:
            await self._audit.record(
                audit_log.SECURITY, "foreign event", actor="unknown", object_=message.subject
            )
        if odd:
            await self._ledger.synchronise()
        else:
            await self._ledger.synchronise(lambda tx: any(age(tx, m) > 0 for m in new))

    def _ours(self, message: Message) -> bool:
        try:
            self._recovery.ours(message)
        except InvalidEvent:
            return False
        return True


def has(tx: Transaction, message: Message) -> bool:
    """Tell whether the store has exactly this event, at this place: then it is signed, and ours."""
    try:
        a = subjects.parse(message.subject)
    except InvalidEvent:
        return False
    (held, _), digest = tx.newest(a.scope, a.kind, a.name), message.headers.get("ce-fbdigest")
    return (
        held is not None
        and tx.sequence(a.scope, a.kind, a.name) == message.seq
        and held.digest == digest == sha256(message.data).hexdigest()
    )


def age(tx: Transaction, message: Message) -> int:
    """Tell whether an event is newer (1) than what the store has of its object, the same (0), or neither.

    That (-1) is an older one that stands above it, or the same version with other content. An older one
    below it is what it was written over.
    """
    try:
        address = subjects.parse(message.subject)
        stamp = int(message.headers.get("ce-fbepoch", "0")), int(message.headers.get("ce-fbrevision", "0"))
    except (InvalidEvent, ValueError):
        return 0
    held, _ = tx.newest(address.scope, address.kind, address.name)
    if message.seq < tx.sequence(address.scope, address.kind, address.name):
        return 0
    there = (held.epoch, held.revision) if held is not None else (0, 0)
    if held is not None and stamp == there:
        return 0 if message.headers.get("ce-fbdigest") == held.digest else -1
    return (stamp > there) - (stamp < there)
