from typing import Any

import pytest

from fedbus.core.admission.policy import Policy
from fedbus.core.assessment import MAX_RESOURCES, Manifest, assessed, resources
from fedbus.errors import TooLarge
from tests.support.admission import NOW, criterion, pod, report, rule, state


def read(*values: Any) -> tuple[list[tuple[int, str, bool]], list[tuple[int, str, str]]]:
    found, rejected = resources(Manifest(index=n, value=one) for n, one in enumerate(values))
    return (
        [(one.index, one.kind, one.workload is not None) for one in found],
        [(one.index, one.code, one.field) for one in rejected],
    )


def test_lists_are_taken_apart_and_what_is_wrong_in_them_is_named() -> None:
    bad = {"kind": "Pod", "spec": {"containers": [{"image": 7}]}}
    listed = {"kind": "PodList", "items": [{"spec": {}}, bad, "no"]}
    nested = {"kind": "List", "items": [{"kind": "List", "items": [pod()]}, {"kind": "ConfigMap"}]}

    found, rejected = read(listed, nested, {"kind": 7}, {})

    assert found == [(0, "Pod", True), (1, "Deployment", True), (1, "ConfigMap", False)]
    assert rejected == [
        (0, "MANIFEST_INVALID", "items[1].spec.containers[0].image"),
        (0, "MANIFEST_INVALID", "items[2]"),
        (2, "MANIFEST_INVALID", ""),
        (3, "MANIFEST_INVALID", ""),
    ]


def test_lists_in_lists_end() -> None:
    value: Any = pod()
    for _ in range(500):
        value = {"kind": "List", "items": [value]}

    found, rejected = read(value)

    assert found == []
    assert [(index, code) for index, code, _ in rejected] == [(0, "MANIFEST_INVALID")]


def test_more_than_one_request_may_have_is_too_large() -> None:
    with pytest.raises(TooLarge):
        read({"kind": "List", "items": [{"kind": "Service"}] * (MAX_RESOURCES + 1)})


def test_every_rule_that_matches_is_shown_and_the_one_that_decides_is_marked() -> None:
    policy = Policy(
        [
            rule(criterion("namespace", "containsAny", "shop"), id=1, rule_mode="monitor", rank="a"),
            rule(criterion("namespace", "containsAny", "shop"), id=2, rank="b"),
            rule(criterion("namespace", "containsAny", "bank"), id=3, rank="c"),
            rule(criterion("cveHighCount", ">=", "1"), id=4, rank="d"),
            rule(criterion("namespace", "containsAny", "shop"), id=5, rank="e", disable=True),
        ],
        state=state(enable=False),
    )
    (resource,), _ = resources([Manifest(index=0, value=pod())])
    assert resource.workload is not None

    found = assessed(resource, resource.workload, policy, {}, NOW)

    assert not found.allowed  # by the rules, although admission control is off
    shown = [(one.id, one.mode, one.disabled, one.unknown, one.decides) for one in found.matched_rules]
    assert shown == [
        (1, "monitor", False, False, False),
        (2, "protect", False, False, True),
        (4, "protect", False, True, False),
        (5, "protect", True, False, False),
    ]
    scans = {"nginx:1.25": [report()]}
    again = assessed(resource, resource.workload, policy, scans, NOW)
    assert [one.id for one in again.matched_rules] == [1, 2, 5]
