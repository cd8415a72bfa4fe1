"""What runs in the clusters, as each said last: kept beside the policy, for previews."""

import asyncio
from collections.abc import Iterable
from hashlib import sha256

import msgspec

from fedbus.core import inventory_report
from fedbus.errors import FedbusError, Refused, TooLarge
from fedbus.model import codec
from fedbus.model.federation import Cluster
from fedbus.model.inventory import InventoryReport
from fedbus.runtime import Clock
from fedbus.store.database import Database
from fedbus.store.inventories import HeldInventory

MIN_SECONDS = 1.0
"""Between two reports of one cluster at least; workers wait for longer by themselves."""


class Inventories:
    """The last inventory of every cluster."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._taken: dict[str, float] = {}

    async def take(self, cluster_id: str, body: bytes, encoding: str) -> None:
        """Keep the inventory that a member reports. Raises Refused, TooLarge, InvalidEvent, Unavailable."""
        now = self._clock.monotonic()
        if now - self._taken.get(cluster_id, float("-inf")) < MIN_SECONDS:
            raise Refused("the last inventory came just now", code="TOO_SOON", remedy="wait a minute")
        self._taken[cluster_id] = now
        if len(body) > codec.MAX_BODY:
            raise TooLarge(f"an inventory has {codec.MAX_BODY} bytes at most")
        digest = await asyncio.to_thread(_digest, body, encoding)
        held = HeldInventory(
            cluster=cluster_id, at=self._clock.now(), digest=digest, encoding=encoding, body=body
        )
        await self._database.write(lambda tx: tx.inventories.put(held))

    async def of(self, cluster_id: str) -> tuple[HeldInventory, InventoryReport] | None:
        """Return the last inventory of a cluster; None if there is none that can be read."""
        held = await self._database.read(lambda tx: tx.inventories.of(cluster_id))
        if held is None:
            return None
        try:
            return held, await asyncio.to_thread(inventory_report.read, held.body, held.encoding)
        except (FedbusError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None  # of another build: the next one will be read

    async def drop(self, clusters: Iterable[Cluster]) -> None:
        """Keep only what is of members."""
        members = {one.id for one in clusters if one.state == "joined"}
        self._taken = {one: at for one, at in self._taken.items() if one in members}
        await self._database.write(lambda tx: tx.inventories.keep(members))


def _digest(body: bytes, encoding: str) -> str:
    """Return the digest of what a report says, once it is sure that it can be read."""
    payload = codec.unpack(body, encoding)
    try:
        codec.decode(payload, InventoryReport)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"the inventory does not decode: {error}", code="REQUEST_INVALID") from error
    return sha256(payload).hexdigest()
