"""Scan results of registries in the store of this cluster."""

from collections.abc import Collection, Sequence

from fedbus.cluster.results import Scanned
from fedbus.model.scan import Report, ScannedImage
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction


class KeptResults:
    """Results that stay here (see `Results`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, reports: Sequence[Report], images: Sequence[ScannedImage]) -> None:
        """Keep reports and tags."""

        def write(tx: Transaction) -> None:
            for report in reports:
                tx.runs.put_report(report)
            tx.runs.put_images(images)

        await self._database.write(write)

    async def remove(
        self, registry: str, digests: Collection[str], images: Collection[tuple[str, str]]
    ) -> None:
        """Drop reports and tags."""
        await self._database.write(lambda tx: tx.runs.remove(registry, digests, images))

    async def forget(self, registry: str) -> None:
        """Drop everything of a registry."""
        await self._database.write(lambda tx: tx.runs.forget(registry))

    async def reports(self, registry: str) -> list[Scanned]:
        """Return what is held of a registry."""
        rows = await self._database.read(lambda tx: tx.runs.scanned(registry))
        return [
            Scanned(digest=digest, scanned_at=at, cvedb_version=version, cvedb_create_time=made)
            for digest, at, version, made in rows
        ]

    async def images(self, registry: str) -> list[ScannedImage]:
        """Return the tags that are held of a registry."""
        return await self._database.read(lambda tx: tx.runs.images(registry))
