"""The results of a cluster's own registries: in its own store, never on the bus."""

from collections.abc import Collection, Sequence

import msgspec
import zstandard

from fedbus.cluster.scans.results import Scanned
from fedbus.errors import TooLarge
from fedbus.model import codec
from fedbus.model.scan import MAX_REPORT, Report, ScannedImage
from fedbus.store.database import Database
from fedbus.store.scans import SCOPE_LOCAL, Brief
from fedbus.store.transaction import Transaction

PART = 500
"""Reports or tags in one transaction."""


class LocalResults:
    """Results that stay in this cluster."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, reports: Sequence[Report], images: Sequence[ScannedImage]) -> None:
        """Keep reports and tags; an older scan of a digest never replaces a newer one."""
        packed = [(report, _packed(report)) for report in reports]

        for start in range(0, max(len(packed), len(images)), PART):
            part, tags = packed[start : start + PART], images[start : start + PART]

            def keep(
                tx: Transaction,
                part: Sequence[tuple[Report, bytes]] = part,
                tags: Sequence[ScannedImage] = tags,
            ) -> None:
                tx.scans.put_local(part, tags)

            await self._database.write(keep)

    async def remove(
        self, registry: str, digests: Collection[str], images: Collection[tuple[str, str]]
    ) -> None:
        """Drop reports by digest and tags by (repository, tag)."""
        await self._database.write(lambda tx: tx.scans.drop_local(registry, digests, images))

    async def forget(self, registry: str) -> None:
        """Drop everything of a registry."""

        def some(tx: Transaction) -> bool:
            reports = tx.scans.registry(registry, SCOPE_LOCAL)[:PART]
            images = tx.scans.images(registry, SCOPE_LOCAL)[:PART]
            tx.scans.drop_local(
                registry, [r.digest for r in reports], [(i.repository, i.tag) for i in images]
            )
            return bool(reports or images)

        while await self._database.write(some):
            pass

    async def reports(self, registry: str) -> list[Scanned]:
        """Return what is held of a registry."""
        found = await self._database.read(lambda tx: tx.scans.registry(registry, SCOPE_LOCAL))
        return [scanned(brief) for brief in found]

    async def images(self, registry: str) -> list[ScannedImage]:
        """Return the tags that are held of a registry."""
        return await self._database.read(lambda tx: tx.scans.images(registry, SCOPE_LOCAL))


def scanned(brief: Brief) -> Scanned:
    """Return a report in one line."""
    return msgspec.convert(brief, Scanned, from_attributes=True)


def _packed(report: Report) -> bytes:
    payload = codec.encode(report)
    if len(payload) > MAX_REPORT:
        raise TooLarge(
            f"a report of {len(payload)} bytes is too large; the most is {MAX_REPORT}",
            code="REPORT_TOO_LARGE",
        )
    return zstandard.ZstdCompressor(level=3).compress(payload)
