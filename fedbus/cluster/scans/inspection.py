"""Looking through a store of scan results beside its use: too much to be read before it is served.

At the start, and whenever somebody else has written to the file, every object is checked against its
signature, so many at a time and with rests in between. What is wrong is dropped; the bus brings it again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from fedbus.core.payload import understood
from fedbus.errors import Unavailable
from fedbus.model import subjects
from fedbus.pki.signing import Verifier
from fedbus.pki.verification import genuine
from fedbus.runtime import Clock, first
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

AT_ONCE = 50
REST = 3.0
"""Times of what a part took to rest after it: a quarter of one core at most."""
LOOK_SECONDS = 3.0
"""How often it is looked whether somebody else wrote to the file."""
FORGET_AT_ONCE = 500


async def keep_file(database: Database, stop: asyncio.Event) -> None:
    """Have a file that can be read: look at the whole of it at once, and whenever it failed in use."""
    while not stop.is_set():
        try:
            if await database.examine():
                log.error("store_damaged", moved_to=str(database.damaged), remedy="the bus rebuilds it")
        except Unavailable as error:
            log.warning("store_not_examined", error=error.message)
            await first(stop.wait(), timeout=LOOK_SECONDS)
        await first(stop.wait(), database.suspect.wait())


class Inspection:
    """Keeps what one store of scan results holds as the federation signed it."""

    def __init__(self, database: Database, verifier: Verifier, clock: Clock) -> None:
        self._database, self._genuine, self._clock = database, partial(genuine, verifier), clock
        self._inspected, self._begun = False, database.begun

    async def keep(self, on_fault: Callable[[], Awaitable[None]]) -> None:
        """Inspect at once, and whenever there is a reason to, for ever; `on_fault` after something went.

        Raises Unavailable.
        """
        while True:
            if self._begun != self._database.begun:
                self._begun = self._database.begun
                await on_fault()
            if not self._inspected or await self._database.altered():
                self._inspected = False
                if await self.inspect():
                    await on_fault()
                self._inspected = True
            await asyncio.sleep(LOOK_SECONDS)

    async def inspect(self, rest: float = REST) -> int:
        """Look through the whole store and drop what is wrong; return how much that was.

        `rest` is how long to rest after each part, in times of what it took.
        """
        faults = 0
        for scope in subjects.SCAN_SCOPES:
            faults += await self._inspect(scope, rest)
        if faults:
            log.error("store_altered", faults=faults, remedy="the bus rebuilds what was wrong")
        return faults

    async def _inspect(self, scope: str, rest: float) -> int:
        faults, after = 0, 0
        while True:
            began = self._clock.monotonic()
            bad, after = await self._database.read(
                lambda tx, at=after: tx.repair.unsound(scope, at, AT_ONCE, self._genuine)  # type: ignore[misc]
            )
            if bad:
                faults += len(bad)
                await self._database.write(lambda tx, bad=bad: tx.repair.mend(scope, bad))  # type: ignore[misc]
            if not after:
                break
            await asyncio.sleep(rest * (self._clock.monotonic() - began))
        if readable := await self._database.read(lambda tx: _readable_now(tx, scope)):
            await self._database.write(lambda tx: tx.repair.mend(scope, readable))
            faults += len(readable)
        if not await self._database.read(lambda tx: _counted_right(tx, scope)):
            faults += 1
            await self._database.write(lambda tx: tx.repair.mend(scope, []))
        return faults


def _readable_now(tx: Transaction, scope: str) -> list[subjects.Address]:
    """Return what an earlier build could not read and this one can: the bus brings it once more."""
    parked = [
        subjects.Address(p.scope, p.category, p.kind, p.name) for p in tx.parked.all() if p.scope == scope
    ]
    return [a for a in parked if (held := tx.held_at(a)) is not None and understood(held.event)]


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
