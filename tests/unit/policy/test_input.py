"""Shape: any input becomes an object or a list of faults."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.policy_input import parse
from fedbus.core.policy_rules import faults
from fedbus.core.policy_rules.checks import MAX_FAULTS
from fedbus.errors import InvalidInput
from fedbus.model.policy import KINDS, Group, NetworkRule, kind_of

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_names = st.sampled_from(
    sorted({name for kind in KINDS.values() for name in kind.type.__struct_encode_fields__})
)
_json: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names | st.text(), inner, max_size=6),
    max_leaves=12,
)


def refused(kind: str, spec: object) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        parse(kind, spec)
    return {fault.field: fault.message for fault in caught.value.faults}


@given(kind=st.sampled_from(sorted(KINDS)), spec=_json)
def test_arbitrary_input_is_an_object_or_invalid_input_and_nothing_else(kind: str, spec: object) -> None:
    try:
        obj = parse(kind, spec)
    except InvalidInput as error:
        found = list(error.faults) or pytest.fail("invalid, and nobody knows why")
    else:
        found = faults(obj)

    assert all(fault.field and fault.message for fault in found)
    msgspec.json.encode(found)


@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_well_typed_input_survives_the_wire_and_normalises_once(kind: str, data: st.DataObject) -> None:
    obj = data.draw(st.from_type(KINDS[kind].type).filter(_writable))

    decoded = msgspec.json.decode(msgspec.json.encode(obj), type=KINDS[kind].type)

    assert decoded == obj
    once = parse(kind, msgspec.to_builtins(obj))
    assert parse(kind, msgspec.to_builtins(once)) == once
    assert kind_of(once).name == kind
    faults(once)


def _writable(obj: msgspec.Struct) -> bool:
    """Tell whether every number is one of NeuVector's and every text is Unicode."""
    try:
        text = msgspec.json.encode(obj)
    except (UnicodeEncodeError, OverflowError):
        return False

    def fits(value: object) -> bool:
        if isinstance(value, dict):
            return all(fits(item) for item in value.values())
        if isinstance(value, list):
            return all(fits(item) for item in value)
        return not isinstance(value, int) or 0 <= value < 2**32

    return fits(msgspec.json.decode(text))


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    assert "network_rule" in refused("netwwork_rule", {})["kind"]


def test_every_fault_is_reported_at_once_with_its_path() -> None:
    found = refused(
        "network_rule",
        {"from": 5, "action": "block", "ports": ["80"], "applications": ["HTTP", 3], "prots": "tcp/80"},
    )

    assert set(found) == {"from", "to", "action", "ports", "applications[1]", "prots"}
    assert found["action"] == "action must be one of 'allow', 'deny', not 'block'"
    assert found["from"] == "from must be a string, not a number (5)"
    assert found["to"] == "to is missing"
    assert "ports" in found["prots"]


def test_faults_inside_nested_parts_carry_the_whole_path() -> None:
    rule = {"rule_type": "deny", "criteria": [{"name": "image"}, {"sub_criteria": [{"nam": "count"}]}]}

    assert set(refused("admission_rule", rule)) == {
        "criteria[1].name",
        "criteria[1].sub_criteria[0].nam",
        "criteria[1].sub_criteria[0].name",
    }


@pytest.mark.parametrize("spec", [None, [], "fed.web", 3, True])
def test_a_spec_that_is_no_object_is_one_fault(spec: object) -> None:
    assert set(refused("group", spec)) == {"spec"}


@pytest.mark.parametrize("value", [True, 1.5, "100001", -1, 2**32, float("nan")])
def test_an_id_is_a_whole_number_of_32_bits(value: object) -> None:
    assert set(refused("network_rule", {"from": "fed.a", "to": "fed.b", "action": "allow", "id": value})) == {
        "id"
    }


def test_a_number_too_long_to_print_is_refused_like_any_other() -> None:
    assert set(refused("group", {"name": "fed.web", "group_sess_cur": 10**5000})) == {"group_sess_cur"}


def test_half_a_surrogate_pair_is_refused_wherever_it_stands() -> None:
    found = refused("group", {"name": "fed.\ud800", "\udfff": 1})

    assert set(found) == {"name", "?"}
    msgspec.json.encode(list(found.values()))


def test_null_stands_for_an_absent_field() -> None:
    assert parse("group", {"name": "fed.web", "criteria": None, "comment": None}) == Group(
        name="fed.web", kind="container"
    )
    assert refused("group", {"name": None}) == {"name": "name is missing"}


def test_fields_that_neuvector_computes_are_left_out() -> None:
    rule = {
        "from": "fed.a",
        "to": "fed.b",
        "action": "allow",
        "created_timestamp": 1700000000,
        "last_modified_timestamp": 1700000000,
        "learned": False,
        "priority": 0,
        "match_counter": 17,
    }

    assert parse("network_rule", rule) == NetworkRule(from_="fed.a", to="fed.b", action="allow")


def test_the_list_of_faults_ends_somewhere() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse("group", {"name": "fed.web", "criteria": [1] * 100_000})

    assert len(caught.value.faults) == MAX_FAULTS
    assert len(faults(parse("group", {"name": "fed.web", "criteria": [{"key": "-"}] * 1000}))) == MAX_FAULTS
