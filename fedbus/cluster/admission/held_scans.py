"""The scans that a cluster holds, as admission asks for them."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from fedbus.errors import Unavailable
from fedbus.model.review import ImageReference
from fedbus.model.scan import Report
from fedbus.store.database import Database
from fedbus.store.scans import Brief
from fedbus.store.transaction import Transaction

KEPT: Final = 16
"""Decoded reports that are kept: a deployment asks for the same few images again and again."""


class HeldScans:
    """Finds reports in this cluster's store."""

    def __init__(self, database: Database, keep: int = KEPT) -> None:
        self._database, self._keep = database, keep
        self._kept: OrderedDict[Brief, Report] = OrderedDict()

    async def reports(self, image: ImageReference) -> Sequence[Report]:
        """Return the scans of an image, the newest first; none if it was never scanned.

        One whose bytes are not all here yet counts as none. Raises Unavailable.
        """
        return await self._database.read(lambda tx: self._read(tx, image))

    async def known(self, image: ImageReference) -> bool:
        """Tell whether there is a scan of an image, without reading it. Raises Unavailable."""
        return await self._database.read(lambda tx: bool(tx.scans.of_image(image)))

    def _read(self, tx: Transaction, image: ImageReference) -> list[Report]:
        # Only ever called in the store's reading thread.
        found = []
        for brief in tx.scans.of_image(image):
            report = self._kept.get(brief)
            if report is None:
                try:
                    report = tx.scans.report(brief)
                except Unavailable:
                    continue
                self._kept[brief] = report
            self._kept.move_to_end(brief)
            found.append(report)
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return found
