"""Audit records of the federation, published to their own append-only stream."""

from collections.abc import Callable

import structlog

from fedbus.bus.session import Connection
from fedbus.errors import FedbusError
from fedbus.model import codec, subjects
from fedbus.model.federation import AuditRecord
from fedbus.runtime import Clock
from fedbus.store.database import Database

log = structlog.get_logger(__name__)

SECURITY = "security"
MEMBERSHIP = "membership"
POLICY = "policy"
CONFIGURATION = "configuration"


class Audit:
    """Records what was done, by whom, to what: in the log, in the store, and on the bus when it is up."""

    def __init__(self, database: Database, connection: Callable[[], Connection], clock: Clock) -> None:
        self._database, self._connection, self._clock = database, connection, clock

    async def record(
        self,
        category: str,
        action: str,
        *,
        actor: str,
        object_: str = "",
        result: str = "ok",
        detail: str = "",
    ) -> None:
        """Write one record; a bus that is away does not fail what was already done."""
        record = AuditRecord(
            at=self._clock.stamp(),
            category=category,
            action=action,
            actor=actor,
            object=object_,
            result=result,
            detail=detail,
        )
        level = log.warning if category == SECURITY else log.info
        level(
            "audit",
            category=category,
            action=action,
            actor=actor,
            object=object_,
            result=result,
            detail=detail,
        )
        await self._database.write(lambda tx: tx.audit.add(record))
        try:
            await self._connection().request(subjects.audit(category), codec.encode(record))
        except FedbusError as error:
            log.warning("audit_not_published", action=action, error=error.message)
