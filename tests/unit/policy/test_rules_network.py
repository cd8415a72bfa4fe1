"""NeuVector's rules for groups, network rules, and the profiles that groups carry."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

FaultsIn = Callable[[str, Mapping[str, object]], dict[str, str]]


def rule(**changes: object) -> dict[str, object]:
    ends = {"from": "fed.web", "to": "fed.db"}
    return {**ends, "action": "allow", **{name.rstrip("_"): value for name, value in changes.items()}}


@pytest.mark.parametrize("end", ["fed.db", "fed.nodes", "fed.containers", "external", "nodes", "containers"])
def test_an_end_is_a_federated_group_or_one_of_the_reserved(faults_in: FaultsIn, end: str) -> None:
    assert faults_in("network_rule", rule(to=end)) == {}
    assert faults_in("network_rule", rule(from_=end)) == {}


@pytest.mark.parametrize(
    "end",
    ["web", "nv.web.default", "Host:10.0.0.1", "Host:node-1", "Workload:ingress", "Workload:10.0.0.1", ""],
)
def test_local_groups_hosts_and_workloads_mean_nothing_in_other_clusters(
    faults_in: FaultsIn, end: str
) -> None:
    assert set(faults_in("network_rule", rule(to=end))) == {"to"}
    assert set(faults_in("network_rule", rule(from_=end))) == {"from"}


@pytest.mark.parametrize(
    ("from_", "to"),
    [("external", "nodes"), ("nodes", "external"), ("external", "external"), ("nodes", "fed.external")],
)
def test_both_ends_cannot_be_special(faults_in: FaultsIn, from_: str, to: str) -> None:
    assert "both" in faults_in("network_rule", rule(from_=from_, to=to))["to"]


def test_ports_are_ports(faults_in: FaultsIn) -> None:
    assert faults_in("network_rule", rule(ports="tcp/80, udp/100-200 icmp")) == {}
    assert "tcp/80" in faults_in("network_rule", rule(ports="http"))["ports"]


def test_applications_are_known_and_named_once(faults_in: FaultsIn) -> None:
    found = faults_in("network_rule", rule(applications=["HTTP", "http", "Gopher"]))

    assert set(found) == {"applications[0]", "applications[2]"}
    assert "'Gopher'" in found["applications[0]"]
    assert "repeats" in found["applications[2]"]


def criteria(*entries: dict[str, str]) -> dict[str, Any]:
    return {"name": "fed.web", "criteria": list(entries)}


@pytest.mark.parametrize("name", ["fed.nodes", "fed.containers", "fed.external"])
def test_reserved_groups_are_nobodys_to_write(faults_in: FaultsIn, name: str) -> None:
    found = faults_in("group", {**criteria({"key": "image", "value": "x"}), "name": name})

    assert "reserved" in found["name"]


def test_a_group_needs_a_criterion_and_has_no_mode(faults_in: FaultsIn) -> None:
    found = faults_in("group", {"name": "fed.web", "policy_mode": "Protect", "profile_mode": "Monitor"})

    assert set(found) == {"criteria", "policy_mode", "profile_mode"}


@pytest.mark.parametrize(
    ("key", "op", "value", "field"),
    [
        ("image", "=", "nginx*", None),
        ("image", "!=", "", None),
        ("namespace", "prefix", "prod-", None),
        ("app.kubernetes.io/name", "regex", "web-[0-9]+", None),
        ("ns:team", "!regex", "^test", None),
        ("service", "contains", "a", None),
        ("", "=", "x", "key"),
        ("a b", "=", "x", "key"),
        ("-a", "=", "x", "key"),
        ("image", "contains", "", "value"),
        ("image", "prefix", "", "value"),
        ("image", "regex", "", "value"),
        ("image", "regex", "(", "value"),
        ("image", "!regex", "a{99999999999999}", "value"),
        ("image", "regex", "(" * 900 + ")" * 900, "value"),
        ("image", "=", "^nginx*$", "value"),
    ],
)
def test_a_criterion_has_a_key_an_operator_and_a_fitting_value(
    faults_in: FaultsIn, key: str, op: str, value: str, field: str | None
) -> None:
    found = faults_in("group", criteria({"key": key, "op": op, "value": value}))

    assert set(found) == ({f"criteria[0].{field}"} if field else set())


@pytest.mark.parametrize(
    "value",
    [
        "10.0.0.1",
        "10.0.0.0/8",
        "10.0.0.7/24",
        "10.0.0.1-10.0.0.9",
        "2001:db8::/32",
        "example.com",
        "vh:shop.example.com",
        "*.example.com",
        "vh:*.example.com",
        "db",
    ],
)
def test_an_address_is_an_ip_a_block_a_range_or_a_name(faults_in: FaultsIn, value: str) -> None:
    assert faults_in("group", criteria({"key": "address", "value": value})) == {}


@pytest.mark.parametrize(
    "value",
    ["", "10.0.0.256", "10.0.0.9-10.0.0.1", "1-2-3", "10.0.0.0/33", "a..b", "*.com", "*", "a b", "x" * 256],
)
def test_anything_else_is_no_address(faults_in: FaultsIn, value: str) -> None:
    assert set(faults_in("group", criteria({"key": "address", "value": value}))) == {"criteria[0].value"}


def test_an_address_is_compared_by_equality_and_stands_alone(faults_in: FaultsIn) -> None:
    other = faults_in("group", criteria({"key": "address", "op": "!=", "value": "10.0.0.1"}))
    mixed = faults_in(
        "group", criteria({"key": "address", "value": "10.0.0.1"}, {"key": "image", "value": "x"})
    )

    assert set(other) == {"criteria[0].op"}
    assert "mix" in mixed["criteria"]


def process(**entry: str) -> dict[str, Any]:
    return {"group": "fed.web", "process_list": [{"name": "sh", "action": "deny", **entry}]}


@pytest.mark.parametrize("path", ["", "*", "/bin/sh", "/*", "/opt/*/sh"])
def test_a_process_path_is_absolute_with_one_wildcard(faults_in: FaultsIn, path: str) -> None:
    assert faults_in("process_profile", process(path=path)) == {}


@pytest.mark.parametrize("path", ["bin/sh", "/bin/", "/a*/b*", "/a<b", "/"])
def test_other_process_paths_are_refused(faults_in: FaultsIn, path: str) -> None:
    assert set(faults_in("process_profile", process(path=path))) == {"process_list[0].path"}


@pytest.mark.parametrize("path", ["*", "/*"])
def test_denying_every_process_is_forbidden_and_allowing_it_is_not(faults_in: FaultsIn, path: str) -> None:
    assert set(faults_in("process_profile", process(name="*", path=path))) == {"process_list[0]"}
    assert faults_in("process_profile", process(name="*", path=path, action="allow")) == {}


def test_a_process_has_a_name_and_the_wildcard_a_path(faults_in: FaultsIn) -> None:
    assert set(faults_in("process_profile", process(name=" "))) == {"process_list[0].name"}
    assert set(faults_in("process_profile", process(name="*"))) == {"process_list[0].path"}


def test_a_process_profile_has_no_mode_and_no_entry_twice(faults_in: FaultsIn) -> None:
    entry = {"name": "sh", "path": "/bin/sh", "action": "allow"}

    found = faults_in(
        "process_profile", {"group": "fed.a", "mode": "Protect", "process_list": [entry, entry]}
    )

    assert set(found) == {"mode", "process_list[1]"}


@pytest.mark.parametrize("name", ["/etc/passwd", "/etc/*.conf", "/a/*/b/*", "/etc/keys/"])
def test_a_file_filter_is_a_path_with_wildcards(faults_in: FaultsIn, name: str) -> None:
    assert faults_in("file_profile", {"group": "fed.a", "filters": [{"filter": name}]}) == {}


@pytest.mark.parametrize("name", ["", "/", "//", "etc/passwd", "/a/../b", "/a[b]", "/a(b)", "/a<b>"])
def test_other_file_filters_are_refused(faults_in: FaultsIn, name: str) -> None:
    found = faults_in("file_profile", {"group": "fed.a", "filters": [{"filter": name}]})

    assert set(found) == {"filters[0].filter"}


def test_a_file_filter_stands_once(faults_in: FaultsIn) -> None:
    filters = [{"filter": "/etc/passwd"}, {"filter": "/etc//passwd"}]

    assert set(faults_in("file_profile", {"group": "fed.a", "filters": filters})) == {"filters[1].filter"}


def test_hosts_have_processes_but_no_watched_files_and_addresses_have_neither(faults_in: FaultsIn) -> None:
    assert faults_in("process_profile", {"group": "fed.nodes"}) == {}
    assert set(faults_in("process_profile", {"group": "fed.external"})) == {"group"}
    assert set(faults_in("file_profile", {"group": "fed.nodes"})) == {"group"}
    assert faults_in("file_profile", {"group": "fed.containers"}) == {}
