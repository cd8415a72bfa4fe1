"""Revocations: the bus keys of who is no member any more, pushed until the bus has them."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from fedbus.errors import FedbusError
from fedbus.model.federation import Cluster
from fedbus.runtime import Clock
from fedbus.settings import MAX_JWT_DAYS

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
_DAY = 86_400


class Revocations:
    """Keeps the revocations of the members' account what the members' records say."""

    def __init__(
        self,
        clusters: Callable[[], Awaitable[list[Cluster]]],
        revoke: Callable[[dict[str, int]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._clusters, self._revoke, self._clock = clusters, revoke, clock
        self._pushing, self._unpushed = asyncio.Lock(), asyncio.Event()

    async def push(self) -> None:
        """Revoke the bus keys of everybody who is no member; pruned once no JWT of theirs can be valid.

        Raises Unavailable; `keep` then goes on trying.
        """
        self._unpushed.set()
        async with self._pushing:  # whoever read the members first must not push last
            # Not the days in force: they may have been more when the JWT was made.
            oldest = self._clock.now() - (MAX_JWT_DAYS + 1) * _DAY
            revoked: dict[str, int] = {}
            for cluster in await self._clusters():
                revoked |= cluster.former_keys
                if cluster.state != "joined":
                    revoked[cluster.nkey] = cluster.revoked_at
            await self._revoke({key: at for key, at in revoked.items() if at > oldest})
            self._unpushed.clear()

    async def keep(self) -> None:
        """Push, for ever, what could not be pushed when a membership ended."""
        while True:
            await self._unpushed.wait()
            await asyncio.sleep(RETRY_SECONDS)
            if self._unpushed.is_set():
                try:
                    await self.push()
                except FedbusError as error:
                    log.warning("revocations_not_pushed", error=error.message)
