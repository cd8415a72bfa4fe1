"""The table of kinds is complete and consistent."""

from typing import get_args

import msgspec
import pytest

from fedbus.model.policy import (
    FED,
    FED_RULE_IDS,
    KINDS,
    LOCAL,
    AdmissionState,
    Group,
    Kind,
    NetworkRule,
    Policy,
    ProcessProfile,
    kind_of,
)


def test_the_table_and_the_union_name_the_same_types() -> None:
    assert {kind.type for kind in KINDS.values()} == set(get_args(Policy))


def test_kinds_stand_under_their_own_name() -> None:
    assert all(name == kind.name for name, kind in KINDS.items())


def test_an_object_knows_its_kind_and_its_name() -> None:
    group = Group(name="fed.web")

    assert kind_of(group).name == "group"
    assert kind_of(group).key(group) == "fed.web"


def test_a_rule_is_named_by_its_id() -> None:
    rule = NetworkRule(id=100_001, from_="fed.web", to="fed.db", action="allow")

    assert kind_of(rule).key(rule) == "100001"


def test_a_profile_is_named_by_its_group_and_a_setting_by_a_constant() -> None:
    assert KINDS["process_profile"].key(ProcessProfile(group="fed.web")) == "fed.web"
    assert KINDS["admission_state"].key(AdmissionState(enable=True)) == "default"


def test_ordered_kinds_have_an_id_range_and_a_rank() -> None:
    ordered = {kind.name for kind in KINDS.values() if kind.ordered}

    assert ordered == {"network_rule", "admission_rule", "response_rule"}
    assert all({"id", "rank"} <= set(KINDS[name].type.__struct_fields__) for name in ordered)
    assert dict(FED.ids) == dict.fromkeys(ordered, FED_RULE_IDS)
    assert set(LOCAL.ids) == ordered
    assert all(FED_RULE_IDS.start >= ids.stop for ids in LOCAL.ids.values())


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_object_is_federal_and_can_be_hashed(kind: Kind) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind.type)}

    assert fields["cfg_type"].default == "federal"
    assert kind.type.__struct_config__.frozen


def test_the_wire_form_uses_neuvectors_names() -> None:
    rule = NetworkRule(from_="fed.web", to="fed.db", action="allow")

    assert msgspec.to_builtins(rule)["from"] == "fed.web"
