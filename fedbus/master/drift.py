"""Clusters that hold something else than they should, at the version they report: told to look again.

What is for all they find out by themselves, from the broadcast head. Of their own scope only a resync
tells them.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from fedbus.errors import NotFound
from fedbus.model.federation import SummaryRow
from fedbus.runtime import Clock

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 60.0
"""How long a cluster has to repair itself until it is told again."""


class Drift:
    """Has drifted clusters resynchronise; `resync` does it by id."""

    def __init__(self, resync: Callable[[str], Awaitable[None]], clock: Clock) -> None:
        self._resync, self._clock = resync, clock
        self._drifted: set[str] = set()
        self._noted = asyncio.Event()
        self._told: dict[str, float] = {}

    def note(self, row: SummaryRow) -> None:
        """Take a row of the summary."""
        if row.sync.digests_equal is False and row.link.state == "online":
            self._drifted.add(row.id)
            self._noted.set()

    async def heal(self) -> None:
        """Tell them, for ever on one session. Raises Unavailable when it ends."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            drifted, self._drifted = self._drifted, set()
            for cluster_id in sorted(drifted):
                now = self._clock.monotonic()
                if now - self._told.get(cluster_id, float("-inf")) >= AGAIN_SECONDS:
                    self._told[cluster_id] = now
                    await self._tell(cluster_id)

    async def _tell(self, cluster_id: str) -> None:
        log.warning("cluster_drifted", cluster=cluster_id)
        try:
            await self._resync(cluster_id)
        except NotFound:
            log.info("drifted_cluster_is_gone", cluster=cluster_id)
