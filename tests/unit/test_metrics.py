"""Labels are bounded whatever happens, and what is read of a fleet is right."""

from collections.abc import Sequence

import pytest
from prometheus_client.core import GaugeMetricFamily

from fedbus import metrics
from fedbus.core import summary
from fedbus.core.summary import Head, Heard
from fedbus.master.metrics import fleet
from fedbus.model.federation import (
    Heartbeat,
    Link,
    ScopeState,
    SummaryRow,
    Sync,
    Versions,
    VersionState,
)

Found = tuple[SummaryRow, Heard | None, dict[str, list[Head]]]


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def values(name: str, label: str) -> set[str]:
    return {
        sample.labels[label]
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_a_kind_that_nobody_knows_is_counted_as_other() -> None:
    before = value("fedbus_events_applied_total", kind="other", result="applied")

    for number in range(50):
        metrics.applied({(f"kind-{number}", "applied"): 2}, 0.01)

    assert value("fedbus_events_applied_total", kind="other", result="applied") == before + 100
    assert not [kind for kind in values("fedbus_events_applied_total", "kind") if kind.startswith("kind-")]


def test_a_batch_is_one_observation_however_many_events_it_has() -> None:
    before = value("fedbus_apply_duration_seconds_count")
    groups = value("fedbus_events_applied_total", kind="group", result="duplicate")

    metrics.applied({("group", "duplicate"): 500}, 0.01)

    assert value("fedbus_apply_duration_seconds_count") == before + 1
    assert value("fedbus_events_applied_total", kind="group", result="duplicate") == groups + 500


def test_sessions_and_codes_are_words_of_ours() -> None:
    metrics.session_up("somebody's", up=True)
    metrics.session_failed("somebody's", "A_CODE_OF_TOMORROW")

    assert values("fedbus_bus_session_up", "session") <= {"master", "master-system", "worker", "other"}
    assert value("fedbus_bus_session_failures_total", session="other", code="other") >= 1


def row(name: str, number: int, membership: str = "joined", quarantined: int = 0) -> SummaryRow:
    return SummaryRow(
        id=f"id-{name}",
        name=name,
        role="joint",
        link=Link(state="online"),
        sync=Sync(state="synced"),
        version=VersionState(),
        membership=membership,  # type: ignore[arg-type]
        status="synced",
        quarantined=quarantined,
        joined_at=f"2026-01-01T00:00:{number:02}.000Z",
    )


def heard(version: int, at: float, skew: float = 0.0) -> Heard:
    scopes = {"all": ScopeState(version=version)}
    return Heard(
        heartbeat=Heartbeat(sent_at=at, versions=Versions(fedbus="1"), scopes=scopes),
        monotonic=at,
        at=at,
        skew=skew,
    )


HEADS = {"all": [Head(1, "a", 0.0), Head(2, "b", 0.0, 10), Head(3, "c", 0.0, 5)]}


def samples(families: Sequence[GaugeMetricFamily], name: str) -> dict[str, float]:
    (family,) = (f for f in families if f.name == name)
    return {sample.labels["cluster"]: sample.value for sample in family.samples}


@pytest.mark.parametrize(("version", "lag"), [(0, 16), (1, 15), (2, 5), (3, 0), (9, 0)])
def test_lag_counts_the_events_of_the_versions_that_are_missing(version: int, lag: int) -> None:
    assert summary.lag_events({"all": ScopeState(version=version)}, HEADS) == lag


def test_a_cluster_that_reported_nothing_lacks_everything() -> None:
    assert summary.lag_events({}, HEADS) == 16


def test_each_cluster_has_its_name_and_those_that_left_have_none() -> None:
    found: list[Found] = [
        (row("east", 1, quarantined=2), heard(2, 100.0, -3.0), HEADS),
        (row("west", 2), None, HEADS),
        (row("gone", 0, membership="removed"), heard(3, 1.0), HEADS),
    ]

    families = fleet(found)

    assert samples(families, "fedbus_agent_lag_events") == {"east": 5, "west": 16}
    assert samples(families, "fedbus_agent_last_heartbeat_timestamp_seconds") == {"east": 100.0}
    assert samples(families, "fedbus_agent_quarantined_events") == {"east": 2, "west": 0}
    assert samples(families, "fedbus_agent_clock_skew_seconds") == {"east": -3.0}


def test_over_the_cap_the_youngest_clusters_share_a_label_that_tells_the_worst_of_them() -> None:
    found: list[Found] = [
        (row(f"c{number:02}", number, quarantined=1), heard(number % 4, 100.0 + number, number - 9.0), HEADS)
        for number in range(10)
    ]

    families = fleet(found, limit=3)

    lag = samples(families, "fedbus_agent_lag_events")
    assert set(lag) == {"c00", "c01", "c02", "other"}
    assert lag["other"] == 16
    assert samples(families, "fedbus_agent_last_heartbeat_timestamp_seconds")["other"] == 103.0
    assert samples(families, "fedbus_agent_quarantined_events")["other"] == 7
    assert samples(families, "fedbus_agent_clock_skew_seconds")["other"] == -6.0


def test_a_cluster_called_like_the_shared_label_is_not_mixed_up_below_the_cap() -> None:
    assert metrics.capped(["other", "east"], 2) == {"other": "other", "east": "east"}
