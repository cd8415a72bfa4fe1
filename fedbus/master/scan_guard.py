"""The guard of the scan results' stream: looks at what was stored, without bodies.

What stands where the store has it, in the version that it has, is ours: that was verified when it was folded.
Everything else is looked into by comparing stream and store.
"""

from collections.abc import Sequence

from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Message
from fedbus.master import audit as audit_log
from fedbus.master.audit import Audit
from fedbus.master.ledger import Ledger
from fedbus.master.scan_recovery import ScanRecovery, known
from fedbus.store.transaction import Transaction


class ScanGuard:
    """Looks into everything odd at once."""

    def __init__(self, ledger: Ledger, recovery: ScanRecovery, audit: Audit) -> None:
        self._ledger, self._recovery, self._audit = ledger, recovery, audit

    async def run(self, connection: Connection) -> None:
        """Watch from where the stream was compared, for ever. Raises Unavailable."""
        reader = Reader(connection, self._ledger.stream, "master-scan-guard", ">")
        await reader.attach(self._recovery.compared_to, headers_only=True)
        await reader.run(self._look)

    async def _look(self, messages: Sequence[Message]) -> None:
        odd: list[Message] = []

        def needed(tx: Transaction) -> bool:
            # Asked when no write is under way: what was just published is folded by now.
            odd.extend(m for m in messages if known(tx, m) is None and not _passed(tx, m))
            return bool(odd)

        await self._ledger.synchronise(needed)
        for message in odd:
            if not await self._ledger.database.read(lambda tx, m=message: known(tx, m)):  # type: ignore[misc]
                await self._audit.record(
                    audit_log.SECURITY, "foreign event", actor="unknown", object_=message.subject
                )


def _passed(tx: Transaction, message: Message) -> bool:
    """Tell whether the store has a message of the same subject from further on: this one is gone by now."""
    held = tx.stamp_at(message.subject)
    return held is not None and held.seq > message.seq
