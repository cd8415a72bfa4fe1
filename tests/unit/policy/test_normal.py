"""What means the same is stored the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.policy_input import parse
from fedbus.core.policy_rules.ports import normal_ports

ENDS = {"from": "fed.a", "to": "fed.b", "action": "allow"}


def stored(kind: str, spec: dict[str, object]) -> Any:
    return parse(kind, spec)


@pytest.mark.parametrize(
    ("given_ports", "expected"),
    [
        ("any", "any"),
        ("", "any"),
        ("80", "tcp/80"),
        ("TCP/80", "tcp/80"),
        ("udp/100-200 tcp/443,80", "tcp/80,tcp/443,udp/100-200"),
        ("tcp/80-90,tcp/85-100", "tcp/80-100"),
        ("tcp/80,tcp/81", "tcp/80-81"),
        ("tcp/any,tcp/80,udp/53", "tcp/any,udp/53"),
        ("tcp/any,udp/any", "any"),
        ("any,icmp,tcp/80", "icmp,any"),
        ("icmp", "icmp"),
        ("tcp/80-80", "tcp/80"),
        ("tcp/0-65535", "tcp/0-65535"),
    ],
)
def test_ports_are_sorted_and_merged(given_ports: str, expected: str) -> None:
    assert normal_ports(given_ports) == expected


@pytest.mark.parametrize(
    "text",
    [
        "tcp/65536",
        "tcp/90-80",
        "sctp/80",
        "tcp/",
        "/80",
        "tcp/icmp",
        "80-",
        "-80",
        "٣",
        "icmp/8",
        "tcp/80/90",
    ],
)
def test_other_ports_are_not_valid(text: str) -> None:
    assert normal_ports(text) is None


@given(st.text(alphabet="tcpudiman/-, 0123456789", max_size=30))
def test_normal_ports_are_normal(text: str) -> None:
    normal = normal_ports(text)

    assert normal is None or normal_ports(normal) == normal


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], ("any",)), (["http", "any"], ("any",)), (["ssl", "http"], ("HTTP", "SSL")), (["x"], ("x",))],
)
def test_applications_are_sorted_under_their_own_names(names: list[str], expected: tuple[str, ...]) -> None:
    assert stored("network_rule", {**ENDS, "applications": names}).applications == expected


def test_a_group_is_of_the_kind_its_criteria_make_it() -> None:
    addresses = stored("group", {"name": "fed.a", "criteria": [{"key": "address", "value": "10.0.0.1"}]})
    workloads = stored("group", {"name": "fed.a", "criteria": [{"key": "image", "value": "nginx"}]})

    assert (addresses.kind, workloads.kind) == ("address", "container")


def test_vulnerability_names_are_upper_case() -> None:
    names = {"name": "cveNames", "op": "containsAny", "value": "cve-2021-44228"}
    condition = {"type": "cve-name", "value": "cve-2021-44228"}

    rule = stored("admission_rule", {"rule_type": "deny", "criteria": [names]})
    response = stored(
        "response_rule", {"event": "cve-report", "conditions": [condition], "actions": ["webhook"]}
    )

    assert rule.criteria[0].value == response.conditions[0].value == "CVE-2021-44228"


def test_a_score_count_without_a_count_means_one() -> None:
    rule = stored(
        "admission_rule",
        {"rule_type": "deny", "criteria": [{"name": "cveScoreCount", "op": ">=", "value": "7"}]},
    )

    assert [(sub.name, sub.op, sub.value) for sub in rule.criteria[0].sub_criteria] == [("count", ">=", "1")]


def test_lists_that_ask_the_same_of_the_same_become_one() -> None:
    criteria = [
        {"name": "namespace", "op": "containsAny", "value": "a"},
        {"name": "namespace", "op": "notContainsAny", "value": "x"},
        {"name": "namespace", "op": "containsAny", "value": "b,c"},
        {"name": "image", "op": "containsAny", "value": "d"},
    ]

    rule = stored("admission_rule", {"rule_type": "deny", "criteria": criteria})

    assert [(c.name, c.op, c.value) for c in rule.criteria] == [
        ("namespace", "containsAny", "a,b,c"),
        ("namespace", "notContainsAny", "x"),
        ("image", "containsAny", "d"),
    ]


def test_no_container_types_mean_regular_containers() -> None:
    assert stored("admission_rule", {"rule_type": "deny"}).containers == ("containers",)


def test_paths_of_profiles_are_cleaned() -> None:
    process = stored(
        "process_profile",
        {"group": "fed.a", "process_list": [{"name": " sh ", "path": " //bin/./sh", "action": "deny"}]},
    )
    file = stored(
        "file_profile", {"group": "fed.a", "filters": [{"filter": "/etc//keys/"}, {"filter": "/a/../b"}]}
    )

    assert (process.process_list[0].name, process.process_list[0].path) == ("sh", "/bin/sh")
    assert [entry.filter for entry in file.filters] == ["/etc/keys/", "/a/../b"]


def test_registry_filters_are_sorted() -> None:
    registry = stored(
        "registry", {"name": "fed.r", "registry_type": "Docker Registry", "filters": ["b/c:1", "a/b:*"]}
    )

    assert registry.filters == ("a/b:*", "b/c:1")
