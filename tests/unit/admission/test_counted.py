"""Counts that are kept between decisions are those of the moment, whatever was asked before."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.admission.facts import UNDATED_DAYS, ScanFacts
from fedbus.core.admission.policy import COUNTED, Policy
from fedbus.core.workload import workload_of
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.scan import Report
from tests.support.admission import DAY, NOW, criterion, pod, report, rule, state

VULNERABILITIES = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from("ABC"),
            "package_name": st.sampled_from("xy"),
            "severity": st.just("High"),
            "fixed_version": st.sampled_from(("", "2")),
            "published_timestamp": st.one_of(st.just(0), st.integers(1, int(NOW))),
        }
    ),
    max_size=8,
)


@given(VULNERABILITIES, st.lists(st.tuples(st.floats(0, 1500), st.floats(NOW, NOW + 1000 * DAY)), max_size=4))
def test_a_pair_is_as_old_as_its_oldest_entry_and_undated_ones_two_years(
    found: list[dict[str, Any]], asked: list[tuple[float, float]]
) -> None:
    facts = ScanFacts(report(vulnerabilities=found), None, NOW)

    for days, now in asked:
        oldest: dict[tuple[str, str], float] = {}
        for one in found:
            key, undated = (one["name"], one["package_name"]), now - UNDATED_DAYS * DAY
            published = one["published_timestamp"] or undated
            oldest[key] = min(published, oldest.get(key, published))
        expected = sum(published <= now - days * DAY for published in oldest.values())
        assert facts.count_older(("High",), days, with_fix=False, now=now) == expected


OLD = rule(criterion("cveHighCount", ">=", "1", subs=[("publishDays", ">=", "30")]), id=100_001)
WORKLOAD = workload_of(pod("nginx:1.25"))


def denied(policy: Policy, scan: Report, days: float = 0, namespace: str = "shop") -> bool:
    workload = workload_of(pod("nginx:1.25", namespace=namespace))
    return not policy.decide(workload, {"nginx:1.25": [scan]}, NOW + days * DAY).allowed


def high(name: str = "CVE-1", days_ago: float = 10) -> Report:
    return report(vulnerabilities=[{"name": name, "severity": "High", "days_ago": days_ago}])


def test_what_was_too_young_is_old_enough_later() -> None:
    policy, scan = Policy([OLD], state=state()), high()

    assert [denied(policy, scan, days) for days in (0, 19, 20, 0)] == [False, False, True, False]


def test_the_age_of_a_scan_is_that_of_the_moment() -> None:
    policy, scan = Policy([OLD], state=state()), high()

    ages = [
        policy.decide(WORKLOAD, {"nginx:1.25": [scan]}, NOW + later).containers[0].scans[0].age
        for later in (0, 60)
    ]

    assert ages == [DAY, DAY + 60]


def test_an_entry_for_recent_ones_ends_while_the_policy_stays() -> None:
    counts = rule(criterion("cveHighCount", ">=", "1"), id=100_001)
    accepted = [VulnerabilityEntry(name="_RecentVuln", days=20)]
    policy, scan = Policy([counts], state=state(), accepted=accepted), high(days_ago=10)

    assert [denied(policy, scan, days) for days in (0, 9, 10, 0)] == [False, False, True, False]


def test_what_is_accepted_in_one_namespace_counts_in_the_others() -> None:
    counts = rule(criterion("cveHighCount", ">=", "1"), id=100_001)
    accepted = [VulnerabilityEntry(name="CVE-1", domains=("shop",))]
    policy, scan = Policy([counts], state=state(), accepted=accepted), high()

    assert [denied(policy, scan, namespace=where) for where in ("shop", "bank", "shop")] == [
        False,
        True,
        False,
    ]


def test_what_a_cluster_accepts_for_itself_lifts_no_federated_denial() -> None:
    counts, entry = rule(criterion("cveHighCount", ">=", "1"), id=7), [VulnerabilityEntry(name="*")]
    scan = high()

    assert denied(Policy([counts], state=state(), accepted_locally=entry), scan)
    assert not denied(Policy([counts], state=state(), accepted=entry), scan)
    assert not denied(Policy((), [counts], state=state(), accepted_locally=entry), scan)
    assert not denied(Policy((), [counts], state=state(), accepted=entry), scan)


@pytest.mark.parametrize("times", [1, 3])
def test_a_newer_report_of_the_same_image_is_counted_for_itself(times: int) -> None:
    counts = rule(criterion("cveHighCount", ">=", "1"), id=100_001)
    policy = Policy([counts], state=state())

    for _ in range(times * COUNTED):
        assert denied(policy, high())
        assert not denied(policy, report())
