"""NeuVector's rules for response rules, webhooks, sensors and the vulnerability profile."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

FaultsIn = Callable[[str, Mapping[str, object]], dict[str, str]]

CVE_COUNTS = ["cve-critical", "cve-high-only", "cve-high", "cve-medium"]
WITH_FIX = ["cve-critical-with-fix", "cve-high-only-with-fix", "cve-high-with-fix"]
TYPES = {
    "security-event": {"name", "level", "process"},
    "event": {"name", "level"},
    "cve-report": {"name", "level", "cve-name", *CVE_COUNTS, *WITH_FIX},
    "compliance": {"name", "level"},
    "admission-control": {"name", "level"},
    "serverless": {"name", "level"},
}
EVERY_TYPE = sorted(set().union(*TYPES.values()))


def rule(event: str = "event", *conditions: tuple[str, str], **fields: object) -> dict[str, Any]:
    listed = [{"type": name, "value": value} for name, value in conditions]
    return {"event": event, "conditions": listed, "actions": ["webhook"], **fields}


@pytest.mark.parametrize("event", TYPES)
@pytest.mark.parametrize("name", EVERY_TYPE)
def test_every_event_has_its_own_condition_types(faults_in: FaultsIn, event: str, name: str) -> None:
    value = "Warning" if name == "level" else "3"

    found = faults_in("response_rule", rule(event, (name, value)))

    assert set(found) == (set() if name in TYPES[event] else {"conditions[0].type"})


@pytest.mark.parametrize(
    "level", ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Info", "Debug"]
)
def test_compliance_knows_warnings_only(faults_in: FaultsIn, level: str) -> None:
    assert faults_in("response_rule", rule("event", ("level", level))) == {}
    found = faults_in("response_rule", rule("compliance", ("level", level)))
    assert set(found) == (set() if level == "Warning" else {"conditions[0].value"})


@pytest.mark.parametrize("name", CVE_COUNTS + WITH_FIX)
@pytest.mark.parametrize("value", ["", "0", "-1", "many", "1.5", "3/", "3/0", "/3", "1/2/3"])
def test_counts_are_positive_whole_numbers(faults_in: FaultsIn, name: str, value: str) -> None:
    assert set(faults_in("response_rule", rule("cve-report", (name, value)))) == {"conditions[0].value"}


@pytest.mark.parametrize("name", WITH_FIX)
def test_only_counts_with_fix_have_days(faults_in: FaultsIn, name: str) -> None:
    assert faults_in("response_rule", rule("cve-report", (name, "3/30"))) == {}
    assert faults_in("response_rule", rule("cve-report", ("cve-high", "3/30"))) != {}


def test_conditions_have_values_and_types_stand_once(faults_in: FaultsIn) -> None:
    assert set(faults_in("response_rule", rule("event", ("name", "")))) == {"conditions[0].value"}
    twice = rule("event", ("level", "Error"), ("level", "Alert"))
    assert set(faults_in("response_rule", twice)) == {"conditions[1].type"}


def test_there_is_an_action_and_each_once(faults_in: FaultsIn) -> None:
    assert set(faults_in("response_rule", rule(actions=[]))) == {"actions"}
    assert set(faults_in("response_rule", rule(actions=["webhook", "webhook"]))) == {"actions[1]"}


@pytest.mark.parametrize("event", TYPES)
def test_what_has_no_workload_cannot_be_quarantined(faults_in: FaultsIn, event: str) -> None:
    found = faults_in("response_rule", rule(event, actions=["suppress-log", "quarantine"]))

    assert set(found) == ({"actions[1]"} if event in ("admission-control", "event") else set())


def test_a_host_cannot_be_quarantined(faults_in: FaultsIn) -> None:
    found = faults_in("response_rule", rule("security-event", group="fed.nodes", actions=["quarantine"]))

    assert set(found) == {"actions[0]"}


@pytest.mark.parametrize("group", ["", "external", "fed.web", "fed.nodes", "fed.containers"])
def test_a_response_rule_is_for_all_or_for_a_federated_group(faults_in: FaultsIn, group: str) -> None:
    assert faults_in("response_rule", rule(group=group)) == {}


@pytest.mark.parametrize("group", ["web", "nodes", "containers", "nv.web.default", "Host:10.0.0.1", "fed."])
def test_other_groups_are_refused(faults_in: FaultsIn, group: str) -> None:
    assert set(faults_in("response_rule", rule(group=group))) == {"group"}


def test_webhooks_are_federated_and_may_be_left_out(faults_in: FaultsIn) -> None:
    assert faults_in("response_rule", rule(webhooks=["fed.soc"])) == {}
    assert set(faults_in("response_rule", rule(webhooks=["fed.soc", "soc"]))) == {"webhooks[1]"}


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/x?y=1", "http://10.0.0.1:8080/", "https://[::1]/"]
)
def test_a_webhook_is_called_over_http(faults_in: FaultsIn, url: str) -> None:
    assert faults_in("webhook", {"name": "fed.soc", "url": url, "type": "Teams"}) == {}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "ftp://a/",
        "https://",
        "https://a:99999/",
        "https://a b/",
        "https://[/",
        "https:a",
    ],
)
def test_other_addresses_are_refused(faults_in: FaultsIn, url: str) -> None:
    assert set(faults_in("webhook", {"name": "fed.soc", "url": url})) == {"url"}


def sensor(*patterns: str, name: str = "fed.cards", **fields: object) -> dict[str, Any]:
    rules = [{"name": "visa", "patterns": [{"value": pattern} for pattern in patterns]}]
    return {"name": name, "rules": rules, **fields}


@pytest.mark.parametrize("kind", ["dlp_sensor", "waf_sensor"])
@pytest.mark.parametrize(
    ("patterns", "field"),
    [
        (["a"], None),
        (["a"] * 16, None),
        (["a" * 512, "b" * 512], None),
        ([], "patterns"),
        (["a"] * 17, "patterns"),
        (["a" * 513], "patterns[0].value"),
        (["a" * 400, "b" * 400, "c" * 225], "patterns"),
        (["a", "("], "patterns[1].value"),
        ([""], "patterns[0].value"),
        ([".*"], "patterns[0].value"),
    ],
)
def test_the_limits_of_a_sensor_rule(
    faults_in: FaultsIn, kind: str, patterns: list[str], field: str | None
) -> None:
    assert set(faults_in(kind, sensor(*patterns))) == ({f"rules[0].{field}"} if field else set())


@pytest.mark.parametrize(
    ("kind", "predefine", "first", "last"),
    [
        ("dlp_sensor", False, 20_000, 29_999),
        ("dlp_sensor", True, 30_000, 39_999),
        ("waf_sensor", False, 40_000, 49_999),
        ("waf_sensor", True, 40_000, 49_999),
    ],
)
def test_sensor_rules_have_their_own_ids(
    faults_in: FaultsIn, kind: str, first: int, last: int, *, predefine: bool
) -> None:
    for number in (0, first, last, first - 1, last + 1):
        spec = sensor("a", name="fed.sensor.x", predefine=predefine)
        spec["rules"][0]["id"] = number
        valid = number == 0 or first <= number <= last
        assert set(faults_in(kind, spec)) == (set() if valid else {"rules[0].id"}), number


def test_the_other_limits_of_a_sensor(faults_in: FaultsIn) -> None:
    twice = sensor("a")
    twice["rules"] *= 2

    assert set(faults_in("dlp_sensor", sensor("a", comment="x" * 257))) == {"comment"}
    assert faults_in("dlp_sensor", sensor("a", comment="x" * 256)) == {}
    assert set(faults_in("dlp_sensor", sensor("a", predefine=True))) == {"predefine"}
    assert set(faults_in("dlp_sensor", sensor("a", name="fed.sensor.dlpdfltsyncnv"))) == {"name"}
    assert set(faults_in("waf_sensor", sensor("a", name="fed.sensor.wafdfltsyncnv"))) == {"name"}
    assert set(faults_in("waf_sensor", twice)) == {"rules[1].name"}
    twice["rules"] = [{"name": "a b", "patterns": [{"value": "a"}]}]
    assert set(faults_in("waf_sensor", twice)) == {"rules[0].name"}


@pytest.mark.parametrize("kind", ["dlp_group", "waf_group"])
def test_a_federated_group_takes_federated_sensors_once_each(faults_in: FaultsIn, kind: str) -> None:
    names = ["fed.cards", "sensor.local", "fed.cards"]
    found = faults_in(kind, {"name": "fed.web", "sensors": [{"name": name} for name in names]})

    assert set(found) == {"sensors[1].name", "sensors[2].name"}
    assert set(faults_in(kind, {"name": "fed.nodes"})) == {"name"}


def test_the_one_vulnerability_profile(faults_in: FaultsIn) -> None:
    entries = [
        {"name": "CVE-2023-*"},
        {"name": "_RecentVuln", "days": 7},
        {"name": "_RecentVulnWithoutFix"},
        {"name": " "},
    ]

    found = faults_in("vulnerability_profile", {"name": "mine", "entries": entries})

    assert set(found) == {"name", "entries[2].days", "entries[3].name"}
