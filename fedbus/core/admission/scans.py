"""Which of several reports of an image counts."""

from collections.abc import Iterable, Sequence

from fedbus.model.scan import Report


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
