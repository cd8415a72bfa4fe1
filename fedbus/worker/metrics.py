"""What a worker's /metrics reads: where it stands, by its own knowledge."""

from prometheus_client.core import GaugeMetricFamily

from fedbus import metrics
from fedbus.model import subjects
from fedbus.worker.lifecycle import Worker


async def read(worker: Worker) -> list[GaugeMetricFamily]:
    """Return the gauges of a worker; without a membership there is only the quarantine."""
    quarantined, parked, states = await worker.database.read(
        lambda tx: (tx.quarantine.count(), tx.parked.count(), tx.scopes())
    )
    held, quarantined_scans = await worker.scans.read(
        lambda tx: (tx.scans.total(subjects.SCOPE_SCANS), tx.quarantine.count())
    )
    applied = max((s.version for s in states.values()), default=0)
    families = [
        metrics.number("fedbus_quarantined_events", "Events in quarantine.", quarantined + quarantined_scans),
        metrics.number("fedbus_parked_events", "Events held that only a newer build can read.", parked),
        metrics.number("fedbus_agent_applied_version", "The newest version that was applied.", applied),
    ]
    families += _scans(*held)
    active = worker.active
    if active is None:
        return families
    now = worker.clock.now()
    families += [
        metrics.gauge(
            "fedbus_agent_lag_events",
            "Events that wait on the bus, as of the last batch.",
            "cluster",
            {active.membership.name: active.pending},
        ),
        metrics.gauge(
            "fedbus_credential_expiry_seconds",
            "Seconds until a credential of this daemon expires.",
            "credential",
            {what: at - now for what, at in active.expiries().items()},
        ),
    ]
    if active.skew is not None:
        about = "This clock ahead of the master's."
        families.append(metrics.number("fedbus_clock_skew_seconds", about, active.skew))
    return families


def _scans(reports: int, size: int) -> list[GaugeMetricFamily]:
    return [
        metrics.number("fedbus_scan_reports", "Federated scan reports that are held.", reports),
        metrics.number("fedbus_scan_report_bytes", "The bytes of their bodies.", size),
    ]
