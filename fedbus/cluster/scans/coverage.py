"""Which images run in this cluster without a scan that it holds."""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from fedbus.cluster.admission.lookups import ScanLookup
from fedbus.core.image_reference import image_reference
from fedbus.errors import FedbusError, InvalidInput
from fedbus.kube.inventory import Inventory
from fedbus.model.inventory import RunningImage
from fedbus.runtime import first

SECONDS: Final = 60.0
"""How often the images that run are looked up."""

log = structlog.get_logger(__name__)


class Coverage:
    """Looks running images up in the scans of this cluster."""

    def __init__(self, inventory: Inventory, scans: ScanLookup) -> None:
        self._inventory, self._scans = inventory, scans
        self.unscanned_count: int | None = None
        """How many running images had no scan when they were last looked up; None: never."""

    async def unscanned(self) -> list[RunningImage]:
        """Return the running images that no scan is held of. Raises Unavailable."""
        found = await without_scan(self._inventory.images(), self._scans)
        self.unscanned_count = len(found)
        return found

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the count about right, until `stop`."""
        while not stop.is_set():
            if not self._inventory.known:
                self._inventory.changed.clear()
                await first(stop.wait(), self._inventory.changed.wait())
                continue
            try:
                await self.unscanned()
            except FedbusError as error:
                log.warning("images_not_looked_up", error=error.message)
            await first(stop.wait(), timeout=SECONDS)


async def without_scan(images: Iterable[RunningImage], scans: ScanLookup) -> list[RunningImage]:
    """Return the images that no scan is held of, neither by what was pulled nor by their name."""
    return [image for image in images if not await _scanned(image, scans)]


async def _scanned(image: RunningImage, scans: ScanLookup) -> bool:
    try:
        named = image_reference(image.image)
    except InvalidInput:
        return False  # nobody can have scanned what has no name
    pulled = msgspec.structs.replace(named, digest=image.digest) if image.digest else named
    return await scans.known(pulled) or (pulled != named and await scans.known(named))
