"""Scan results that are held in memory, for what only needs somewhere to put them."""

from collections.abc import Collection, Sequence

from fedbus.cluster.scans.results import Scanned
from fedbus.errors import TooLarge, Unavailable
from fedbus.model.scan import Report, ScannedImage


class HeldResults:
    """Implements `Results`; `most` is how many vulnerabilities a report may have, `down` makes it fail."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Report] = {}
        self.tags: dict[tuple[str, str, str], ScannedImage] = {}
        self.most, self.down = 1_000_000, False

    async def put(self, reports: Sequence[Report], images: Sequence[ScannedImage]) -> None:
        if self.down:
            raise Unavailable("the bus does not answer")
        if any(len(one.vulnerabilities) > self.most for one in reports):
            raise TooLarge("a report is too large", code="REPORT_TOO_LARGE")
        for one in reports:
            held = self.kept.get((one.registry, one.digest))
            if held is None or held.scanned_at <= one.scanned_at:
                self.kept[one.registry, one.digest] = one
        self.tags |= {(one.registry, one.repository, one.tag): one for one in images}

    async def remove(
        self, registry: str, digests: Collection[str], images: Collection[tuple[str, str]]
    ) -> None:
        for digest in digests:
            self.kept.pop((registry, digest), None)
        for repository, tag in images:
            self.tags.pop((registry, repository, tag), None)

    async def forget(self, registry: str) -> None:
        self.kept = {key: one for key, one in self.kept.items() if key[0] != registry}
        self.tags = {key: one for key, one in self.tags.items() if key[0] != registry}

    async def reports(self, registry: str) -> list[Scanned]:
        return [self._scanned(one) for (name, _), one in self.kept.items() if name == registry]

    async def images(self, registry: str) -> list[ScannedImage]:
        return [one for (name, _, _), one in self.tags.items() if name == registry]

    async def held(self, registry: str, digest: str) -> Scanned | None:
        """Return what is held of a digest."""
        found = self.kept.get((registry, digest))
        return self._scanned(found) if found else None

    @staticmethod
    def _scanned(report: Report) -> Scanned:
        return Scanned(
            digest=report.digest,
            scanned_at=report.scanned_at,
            cvedb_version=report.cvedb_version,
            cvedb_create_time=report.cvedb_create_time,
        )
