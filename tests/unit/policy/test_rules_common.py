"""Rules that hold for every kind."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

FaultsIn = Callable[[str, Mapping[str, object]], dict[str, str]]

CRITERIA = [{"key": "image", "value": "nginx"}]
REGISTRY = {"registry_type": "Docker Registry", "registry": "https://r.example.com/", "filters": ["*"]}
MINIMAL: dict[str, dict[str, Any]] = {
    "group": {"name": "fed.web", "criteria": CRITERIA},
    "dlp_sensor": {"name": "fed.cards"},
    "waf_sensor": {"name": "fed.jndi"},
    "webhook": {"name": "fed.soc", "url": "https://hooks.example.com/soc"},
    "network_rule": {"from": "fed.web", "to": "fed.db", "action": "allow"},
    "admission_rule": {"rule_type": "deny"},
    "response_rule": {"event": "event", "actions": ["webhook"]},
    "process_profile": {"group": "fed.web"},
    "file_profile": {"group": "fed.web"},
    "dlp_group": {"name": "fed.web"},
    "waf_group": {"name": "fed.web"},
    "registry": {"name": "fed.r", **REGISTRY},
    "admission_state": {"enable": False},
    "vulnerability_profile": {},
}
ORDERED = ["network_rule", "admission_rule", "response_rule"]
NAMED = {
    "group": "name",
    "dlp_sensor": "name",
    "waf_sensor": "name",
    "webhook": "name",
    "registry": "name",
    "dlp_group": "name",
    "waf_group": "name",
    "process_profile": "group",
    "file_profile": "group",
}


@pytest.mark.parametrize("kind", MINIMAL)
def test_the_least_that_identifies_an_object_is_valid(faults_in: FaultsIn, kind: str) -> None:
    assert faults_in(kind, MINIMAL[kind]) == {}


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize(
    "name",
    ["web", "fed.", "FED.web", "", "fed.a b", "fed.a/b", "fed.é", "fed.a\n", ".fed.a", "fed." + "x" * 253],
)
def test_a_federated_name_has_the_prefix_and_plain_characters(
    faults_in: FaultsIn, kind: str, name: str
) -> None:
    field = NAMED[kind]

    found = faults_in(kind, {**MINIMAL[kind], field: name})

    assert set(found) == {field}
    assert found[field].startswith(f"{field} must ")


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("name", ["fed.a", "fed.A.b:c_d-9", "fed.." + "x" * 251])
def test_other_names_are_fine(faults_in: FaultsIn, kind: str, name: str) -> None:
    assert faults_in(kind, {**MINIMAL[kind], NAMED[kind]: name}) == {}


@pytest.mark.parametrize("kind", ORDERED)
@pytest.mark.parametrize(
    ("number", "valid"),
    [(0, True), (100_001, True), (109_999, True), (100_000, False), (110_000, False), (1, False)],
)
def test_ids_are_those_of_the_federation(faults_in: FaultsIn, kind: str, number: int, *, valid: bool) -> None:
    assert set(faults_in(kind, {**MINIMAL[kind], "id": number})) == (set() if valid else {"id"})


@pytest.mark.parametrize("kind", ORDERED)
def test_a_rank_is_the_masters_or_absent(faults_in: FaultsIn, kind: str) -> None:
    assert faults_in(kind, {**MINIMAL[kind], "rank": "V00V"}) == {}
    assert set(faults_in(kind, {**MINIMAL[kind], "rank": "first"})) == set()
    assert set(faults_in(kind, {**MINIMAL[kind], "rank": "10"})) == {"rank"}
    assert set(faults_in(kind, {**MINIMAL[kind], "rank": "-"})) == {"rank"}


@pytest.mark.parametrize("kind", MINIMAL)
def test_only_federal_objects_are_federated(faults_in: FaultsIn, kind: str) -> None:
    assert set(faults_in(kind, {**MINIMAL[kind], "cfg_type": "user_created"})) == {"cfg_type"}


def test_parts_are_federal_too(faults_in: FaultsIn) -> None:
    entry = {"name": "sh", "action": "deny", "cfg_type": "learned"}

    assert set(faults_in("process_profile", {"group": "fed.web", "process_list": [entry]})) == {
        "process_list[0].cfg_type"
    }


def test_a_long_almost_valid_name_is_judged_at_once(faults_in: FaultsIn) -> None:
    assert set(faults_in("webhook", {"name": "fed." + "x" * 1_000_000 + "!", "url": "https://a"})) == {"name"}


def test_a_message_that_quotes_the_input_is_not_endless(faults_in: FaultsIn) -> None:
    found = faults_in("webhook", {"name": "x" * 1_000_000, "url": "https://a"})

    assert len(found["name"]) < 1100
