"""What a daemon counts, for Prometheus: names and labels in one place, so that labels stay bounded.

Counters and histograms live here and are touched once a batch, a commit or a session, never once an
event. What is a state and not a count (lag, heartbeats, expiries) is read when somebody asks for it:
see `fedbus.web.metrics`. A label is a word of ours or a cluster's name, and names are capped.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

from fedbus.core.connectivity import TABLE
from fedbus.model import policy
from fedbus.model.federation import CLUSTER, DISMISSED, FEDERATION, RESYNC, TOKEN

MAX_CLUSTERS: Final = 500
"""Clusters with a label of their own; those that joined later are taken together as `OTHER`."""
OTHER: Final = "other"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third sample of everything, for nobody here
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_KINDS: Final = frozenset((*policy.KINDS, FEDERATION, CLUSTER, TOKEN, DISMISSED, RESYNC))
_SESSIONS: Final = frozenset(("master", "master-system", "worker"))
_CODES: Final = frozenset((*TABLE, "CLOSED"))
_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_published = Counter("fedbus_events_published", "Events the bus has acknowledged.", registry=REGISTRY)
_applied = Counter(
    "fedbus_events_applied",
    "Events read from the bus, by what became of them: applied, duplicate, refused, conflict, parked.",
    ("kind", "result"),
    registry=REGISTRY,
)
_apply_seconds = Histogram(
    "fedbus_apply_duration_seconds",
    "Time to verify and apply one batch of events, commit included.",
    buckets=_FAST,
    registry=REGISTRY,
)
_publish_seconds = Histogram(
    "fedbus_publish_duration_seconds",
    "Time until the bus acknowledged one changeset.",
    buckets=_FAST,
    registry=REGISTRY,
)
_commit_seconds = Histogram(
    "fedbus_store_commit_duration_seconds",
    "Time of one write transaction of the store, its work included.",
    buckets=_FAST,
    registry=REGISTRY,
)
_mismatches = Counter(
    "fedbus_digest_mismatches", "Times this worker's digest was not the master's.", registry=REGISTRY
)
_rewrites = Counter(
    "fedbus_stream_rewrites", "Times the stream was made anew from the store.", registry=REGISTRY
)
_opened = Counter("fedbus_bus_sessions", "Sessions opened on the bus.", ("session",), registry=REGISTRY)
_lost = Counter(
    "fedbus_bus_session_failures",
    "Sessions that ended or were not opened, by the code of the reason.",
    ("session", "code"),
    registry=REGISTRY,
)
_up = Gauge("fedbus_bus_session_up", "1 while the session is open.", ("session",), registry=REGISTRY)

_admission = Counter(
    "fedbus_admission_requests",
    "Reviews by what became of them: allowed, denied, violation (a monitoring rule), error, ignored.",
    ("result",),
    registry=REGISTRY,
)
_admission_seconds = Histogram(
    "fedbus_admission_duration_seconds",
    "Time to decide one review, look-ups of scans included.",
    buckets=_FAST,
    registry=REGISTRY,
)

T = TypeVar("T")


def published(events: int, seconds: float) -> None:
    """Count a changeset that the bus has acknowledged."""
    _published.inc(events)
    _publish_seconds.observe(seconds)


def applied(tally: Mapping[tuple[str, str], int], seconds: float) -> None:
    """Count a batch: how many events of each (kind, result)."""
    for (kind, result), count in tally.items():
        _applied.labels(kind if kind in _KINDS else OTHER, result).inc(count)
    _apply_seconds.observe(seconds)


def committed(seconds: float) -> None:
    """Note how long a write transaction took; called in the writer's thread."""
    _commit_seconds.observe(seconds)


def digest_mismatch() -> None:
    """Count a digest that was not the master's."""
    _mismatches.inc()


def stream_rewritten() -> None:
    """Count a stream that was made anew."""
    _rewrites.inc()


def session_up(name: str, *, up: bool) -> None:
    """Note that a session was opened or is over."""
    session = name if name in _SESSIONS else OTHER
    _up.labels(session).set(up)
    if up:
        _opened.labels(session).inc()


def session_failed(name: str, code: str) -> None:
    """Count a session that ended, by its code."""
    session = name if name in _SESSIONS else OTHER
    _lost.labels(session, code if code in _CODES else OTHER).inc()


def admission(result: str) -> None:
    """Count a review, or that a rule which only monitors matched it."""
    _admission.labels(result).inc()


def admission_took(seconds: float) -> None:
    """Note how long the decision on one review took."""
    _admission_seconds.observe(seconds)


def gauge(name: str, documentation: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """Make a gauge that was read now, with a value for each word of one label."""
    family = GaugeMetricFamily(name, documentation, labels=(label,))
    for word, value in values.items():
        family.add_metric((word,), value)
    return family


def number(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    """Make a gauge without a label that was read now."""
    return GaugeMetricFamily(name, documentation, value=value)


def info(name: str, documentation: str, facts: Mapping[str, str]) -> GaugeMetricFamily:
    """Make a gauge that is always 1, whose labels say something."""
    family = GaugeMetricFamily(name, documentation, labels=tuple(facts))
    family.add_metric(tuple(facts.values()), 1.0)
    return family


def capped(names: Iterable[str], limit: int = MAX_CLUSTERS) -> dict[str, str]:
    """Return the label of each cluster: its own name for the first `limit`, `OTHER` for the rest."""
    return {name: name if number < limit else OTHER for number, name in enumerate(names)}
