"""Which reports speak of an image that a workload names, and which of them still count."""

from collections.abc import Iterable, Sequence

from fedbus.core.image_reference import host_of
from fedbus.model.review import ImageReference
from fedbus.model.scan import Report, ScannedImage


def speaks_of(report: Report, tags: Iterable[ScannedImage], image: ImageReference) -> bool:
    """Tell whether a report is about `image`; `tags` are those that name the report's digest.

    A digest decides by itself, whatever tag stands beside it. What a CI pipeline submitted is about that
    digest wherever it lies; what a registry's scan found is about that registry. Without a digest,
    repository and tag decide, in a registry that is the same or that the report does not name.
    """
    host = host_of(report.registry_url)
    same_registry = not host or host == image.registry
    if image.digest:
        return report.digest == image.digest and (report.source == "ci" or same_registry)
    named = {(report.repository, report.tag), *((one.repository, one.tag) for one in tags)}
    return same_registry and (image.repository, image.tag) in named


def newest(reports: Iterable[Report]) -> Sequence[Report]:
    """Return the newest report of each digest, whatever its source: by time of scan, then of its database."""
    best: dict[str, Report] = {}
    for report in reports:
        held = best.get(report.digest)
        if held is None or _age(report) > _age(held):
            best[report.digest] = report
    return list(best.values())


def _age(report: Report) -> tuple[float, str]:
    return report.scanned_at, report.cvedb_create_time
