"""Looking through a store of scan results beside its use: too much to be read before it is served.

At the start, and whenever somebody else has written to the file, every object is checked against its
signature, so many at a time and with rests in between. What is wrong is dropped; the bus brings it again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from fedbus.model import subjects
from fedbus.pki.signing import Verifier
from fedbus.pki.verification import genuine
from fedbus.runtime import Clock, first
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

AT_ONCE = 50
REST = 3.0
"""Rest after each part, in times of what the part took: a quarter of one core at most."""
LOOK_SECONDS = 10.0
"""How often it is looked whether somebody else wrote to the file."""
FORGET_AT_ONCE = 500


class Inspection:
    """Keeps one store of scan results sound."""

    def __init__(self, database: Database, verifier: Verifier, clock: Clock) -> None:
        self._database, self._genuine, self._clock = database, partial(genuine, verifier), clock
        self._inspected = False

    async def keep(self, on_fault: Callable[[], Awaitable[None]]) -> None:
        """Inspect at once, and whenever there is a reason to, for ever; `on_fault` after something went.

        Raises Unavailable.
        """
        while True:
            if not self._inspected or self._database.suspect.is_set() or await self._database.altered():
                self._inspected = False
                if await self.inspect():
                    await on_fault()
                self._inspected = True
            await first(self._database.suspect.wait(), timeout=LOOK_SECONDS)

    async def inspect(self) -> int:
        """Look through the whole store and drop what is wrong; return how much that was."""
        if await self._database.examine():
            log.error("store_damaged", moved_to=str(self._database.damaged), remedy="the bus rebuilds it")
            return 1
        faults = 0
        for scope in subjects.SCAN_SCOPES:
            faults += await self._inspect(scope)
        if faults:
            log.error("store_altered", faults=faults, remedy="the bus rebuilds what was wrong")
        return faults

    async def _inspect(self, scope: str) -> int:
        faults, after = 0, 0
        while True:
            began = self._clock.monotonic()
            bad, after = await self._database.read(
                lambda tx, at=after: tx.unsound(scope, at, AT_ONCE, self._genuine)  # type: ignore[misc]
            )
            if bad:
                faults += len(bad)
                await self._database.write(lambda tx, bad=bad: tx.mend(scope, bad))  # type: ignore[misc]
            if not after:
                break
            await asyncio.sleep(REST * (self._clock.monotonic() - began))
        if not await self._database.read(lambda tx: _counted_right(tx, scope)):
            faults += 1
            await self._database.write(lambda tx: tx.mend(scope, []))
        return faults


def _counted_right(tx: Transaction, scope: str) -> bool:
    held, counted = tx.scope(scope), tx.recount(scope)
    return (held.digest, held.objects) == (counted.digest, counted.objects)


async def forget(database: Database) -> None:
    """Drop the federation's scan results, so many at a time; the cluster's own stay. Raises Unavailable."""
    for scope in subjects.SCAN_SCOPES:
        while await database.write(lambda tx, s=scope: tx.forget_some(s, FORGET_AT_ONCE)):  # type: ignore[misc]
            pass
    await database.write(_forget_rest)


def _forget_rest(tx: Transaction) -> None:
    tx.scans.keep_chunks(())
    for key in ("stream", "epoch"):
        tx.set_meta(key, "")
