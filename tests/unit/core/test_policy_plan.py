"""Plans: what a request changes, and everything that is wrong with it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import policy_input, policy_plan
from fedbus.core.references import Key
from fedbus.errors import InvalidInput
from fedbus.model.policy import FED, KINDS, Policy
from fedbus.model.targets import ALL, Target


class Objects:
    """Federated objects in memory."""

    scope = FED

    def __init__(self, objects: Mapping[Key, Policy]) -> None:
        self._objects = dict(objects)
        self.targets: dict[Key, Target] = {}

    def get(self, key: Key) -> Policy | None:
        return self._objects.get(key)

    def target(self, key: Key) -> Target:
        return self.targets.get(key, ALL)

    def all_keys(self) -> list[Key]:
        return list(self._objects)

    def names(self, kind: str) -> list[str]:
        return [name for held, name in self._objects if held == kind]

    def ranks(self, kind: str) -> list[str]:
        return [str(getattr(obj, "rank", "")) for (held, _), obj in self._objects.items() if held == kind]


def group(name: str) -> dict[str, Any]:
    criteria = [{"key": "namespace", "op": "=", "value": "shop"}]
    return {"kind": "group", "spec": {"name": f"fed.{name}", "criteria": criteria}}


def rule(source: str, **spec: object) -> dict[str, Any]:
    fields = {
        "from": source,
        "to": "external",
        "ports": "tcp/443",
        "applications": ["any"],
        "action": "allow",
    }
    return {"kind": "network_rule", "spec": fields | spec}


def deletion(kind: str, **spec: object) -> dict[str, Any]:
    return {"kind": kind, "op": "delete", "spec": spec}


def numbered(documents: tuple[dict[str, Any], ...]) -> Iterator[tuple[int, int | None, dict[str, object]]]:
    yield from ((index, None, content) for index, content in enumerate(documents))


def planned(held: Mapping[Key, Policy], *documents: dict[str, Any]) -> list[policy_plan.Planned]:
    return policy_plan.plan(Objects(held), policy_plan.read(list(numbered(documents))))


def after(held: Mapping[Key, Policy], *documents: dict[str, Any]) -> dict[Key, Policy]:
    objects = dict(held)
    for step in planned(held, *documents):
        if step.obj is None:
            objects.pop((step.kind, step.name), None)
        else:
            objects[step.kind, step.name] = step.obj
    return objects


def test_new_rules_get_the_next_ids_and_ranks_in_the_order_of_the_request() -> None:
    steps = planned({}, group("web"), rule("fed.web"), rule("fed.web", comment="second"))
    rules = [step.obj for step in steps if step.kind == "network_rule"]
    assert [getattr(obj, "id", 0) for obj in rules] == [100_001, 100_002]
    assert getattr(rules[0], "rank", "") < getattr(rules[1], "rank", "")


def test_an_updated_rule_keeps_its_rank() -> None:
    held = after({}, group("web"), rule("fed.web"), rule("fed.web"))
    before = getattr(held["network_rule", "100001"], "rank", "")
    changed = after(held, rule("fed.web", id=100_001, comment="changed"))
    assert getattr(changed["network_rule", "100001"], "rank", "") == before


def test_deleting_a_group_takes_its_rules_along_in_the_same_plan() -> None:
    held = after({}, group("web"), group("db"), rule("fed.web"), rule("fed.db"))
    gone = {(s.kind, s.name) for s in planned(held, deletion("group", name="fed.web")) if s.obj is None}
    assert gone == {("group", "fed.web"), ("network_rule", "100001")}


def test_every_fault_of_every_document_is_named_with_its_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        planned({}, {"kind": "nonsense", "spec": {}}, group("web"), {"kind": "group", "spec": {"name": 7}})
    assert {fault.document for fault in caught.value.faults} == {0, 2}


def test_a_reference_that_leads_nowhere_is_a_fault_of_its_document() -> None:
    with pytest.raises(InvalidInput) as caught:
        planned({}, group("web"), rule("fed.nowhere"))
    (fault,) = caught.value.faults
    assert (fault.document, fault.field) == (1, "from")


def test_the_same_object_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        planned({}, group("web"), group("web"))


@pytest.mark.parametrize("number", ["abc", "1e5", "100001", 0, -3, 1.5, None, True, [1]])
def test_a_rule_that_is_not_named_by_its_number_cannot_be_deleted(number: object) -> None:
    with pytest.raises(InvalidInput):
        planned({}, deletion("network_rule", id=number))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    kind=st.sampled_from([*KINDS, "other"]) | st.text(max_size=5),
    op=st.sampled_from(["apply", "delete", "other"]),
    spec=st.dictionaries(
        st.sampled_from(["name", "id", "group", "criteria", "from"]) | st.text(), json_values
    ),
)
def test_whatever_a_document_holds_it_is_planned_or_refused(kind: str, op: str, spec: dict[str, Any]) -> None:
    try:
        planned({}, {"kind": kind, "op": op, "spec": spec})
    except InvalidInput as error:
        assert error.faults  # noqa: PT017 - a plan is a good outcome too


def test_every_kind_can_be_planned_and_decoded_again() -> None:
    spec = group("web")["spec"]
    assert policy_input.parse("group", spec) == after({}, group("web"))["group", "fed.web"]
