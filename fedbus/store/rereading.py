"""At a start: what is held is read again, for this build may know more, or less, than the one before."""

import structlog

from fedbus.core import payload
from fedbus.store.database import Database
from fedbus.store.parked import Reread

log = structlog.get_logger(__name__)


async def reread(database: Database, at: str) -> Reread:
    """Put in force what was parked and is understood now, park what is not; in one transaction."""
    done = await database.write(lambda tx: tx.parked.reread(payload.understood, payload.check, at))
    if done.applied or done.refused or done.parked:
        log.info(
            "reread",
            applied=[event.subject for event in done.applied[:10]],
            count=len(done.applied),
            refused=done.refused[:10],
            parked=len(done.parked),
        )
    return done
