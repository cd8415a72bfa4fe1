"""What a master's /metrics reads: each cluster by its last heartbeat, and the federation's head."""

from collections.abc import Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily

from fedbus import metrics
from fedbus.core import summary
from fedbus.core.summary import Head, Heard
from fedbus.master.federation import ActiveFederation
from fedbus.master.lifecycle import Master
from fedbus.model.federation import SummaryRow

LINKS = ("online", "stale", "offline", "never")


async def read(master: Master) -> list[GaugeMetricFamily]:
    """Return the gauges of a master; a standalone one has none."""
    fed = master.active
    if fed is None:
        return []
    found = fed.fleet.states()
    return [*fleet(found), *_federation(fed, [row for row, _, _ in found], master.clock.now())]


def fleet(
    found: Sequence[tuple[SummaryRow, Heard | None, Mapping[str, Sequence[Head]]]],
    limit: int = metrics.MAX_CLUSTERS,
) -> list[GaugeMetricFamily]:
    """Return a gauge per fact with a label per cluster: the first `limit` to join; the worst of the rest."""
    members = sorted(
        (f for f in found if f[0].membership == "joined"), key=lambda f: (f[0].joined_at, f[0].id)
    )
    label = metrics.capped((row.name for row, _, _ in members), limit)
    lag: dict[str, float] = {}
    heard_at: dict[str, float] = {}
    quarantined: dict[str, float] = {}
    skew: dict[str, float] = {}
    reports: dict[str, float] = {}
    for row, heard, heads in members:
        of = label[row.name]
        scopes = heard.heartbeat.scopes if heard else {}
        lag[of] = max(lag.get(of, 0), summary.lag_events(scopes, heads))
        quarantined[of] = quarantined.get(of, 0) + row.quarantined
        reports[of] = min(reports.get(of, row.scans.reports), row.scans.reports)
        if heard is not None:
            heard_at[of] = min(heard_at.get(of, heard.at), heard.at)
            skew[of] = max(skew.get(of, 0.0), heard.skew, key=abs)
    described = (
        ("fedbus_agent_lag_events", "Events a cluster has not reported as applied.", lag),
        ("fedbus_agent_last_heartbeat_timestamp_seconds", "When the master last heard of it.", heard_at),
        ("fedbus_agent_quarantined_events", "Events a cluster has in quarantine.", quarantined),
        ("fedbus_agent_scan_reports", "Federated scan reports that a cluster holds.", reports),
        ("fedbus_agent_clock_skew_seconds", "A cluster's clock ahead of the master's.", skew),
    )
    return [metrics.gauge(name, about, "cluster", values) for name, about, values in described]


def _federation(fed: ActiveFederation, rows: Sequence[SummaryRow], now: float) -> list[GaugeMetricFamily]:
    links = dict.fromkeys(LINKS, 0.0)
    for row in rows:
        if row.membership == "joined":
            links[row.link.state] += 1
    return [
        metrics.gauge("fedbus_agents", "Clusters by the state of their link.", "link", links),
        metrics.number("fedbus_federation_version", "The newest version.", fed.fleet.head().version),
        metrics.number("fedbus_federation_epoch", "The epoch of the stream.", fed.ledger.epoch),
        metrics.gauge(
            "fedbus_credential_expiry_seconds",
            "Seconds until a credential of this daemon expires.",
            "credential",
            {} if fed.certificate_expires is None else {"bus_certificate": fed.certificate_expires - now},
        ),
    ]
