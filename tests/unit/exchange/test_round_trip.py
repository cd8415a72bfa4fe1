"""Export, then import, gives the same objects: every kind, through text, in both formats."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings

from fedbus.cli.output import to_yaml
from fedbus.core import policy_plan
from fedbus.core.exchange import layout
from fedbus.core.exchange.items import Item, judge
from fedbus.core.exchange.matching import match
from fedbus.core.exchange.merge import merge
from fedbus.core.exchange.neuvector import resources
from fedbus.core.exchange.placing import place
from fedbus.core.references import Key
from fedbus.model.policy import FED, KINDS, AdmissionRule, Group, NetworkRule, Policy, kind_of
from fedbus.model.targets import ALL, Target
from fedbus.web.yaml_documents import parse
from tests.support.policies import policy_sets

slow_to_draw = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Nothing:
    """A federation that holds nothing."""

    scope = FED

    def get(self, key: Key) -> Policy | None:
        return None

    def target(self, key: Key) -> Target:
        return ALL

    def all_keys(self) -> list[Key]:
        return []

    def names(self, kind: str) -> list[str]:
        return []

    def ranks(self, kind: str) -> list[str]:
        return []


def imported(text: str, held: Sequence[Policy] = ()) -> list[Policy]:
    """Return the objects that importing a text into a federation that has none gives."""
    ranks = {(kind_of(obj).name, kind_of(obj).key(obj)): str(getattr(obj, "rank", "")) for obj in held}
    wanted = place(match(merge(_items(text)).items, held), ranks)
    sent: list[tuple[int, int | None, dict[str, Any]]] = [
        (index, None, item.document) for index, item in enumerate(wanted)
    ]
    planned = policy_plan.plan(Nothing(), policy_plan.read(sent)) if sent else []
    return [step.obj for step in planned if step.obj is not None]


def _items(text: str) -> list[Item]:
    judged = [one for document in parse(text.encode()) for one in judge(document.value)]
    assert not [fault for one in judged for fault in one.faults]
    return [
        msgspec.structs.replace(item, source=number)
        for number, one in enumerate(judged)
        for item in one.items
    ]


def by_key(objects: Sequence[Policy]) -> dict[Key, Policy]:
    return {(kind_of(obj).name, kind_of(obj).key(obj)): obj for obj in objects}


def without_rank(objects: Sequence[Policy]) -> dict[Key, Policy]:
    return {
        key: msgspec.structs.replace(obj, rank="") if KINDS[key[0]].ordered else obj
        for key, obj in by_key(objects).items()
    }


def in_order(objects: Sequence[Policy]) -> dict[str, list[str]]:
    return {
        name: [kind.key(obj) for obj in layout.sorted_objects(objects) if kind_of(obj) == kind]
        for name, kind in KINDS.items()
        if kind.ordered
    }


@given(policy_sets())
@slow_to_draw
def test_our_own_documents_bring_back_the_same_objects_in_the_same_order(objects: list[Policy]) -> None:
    found = imported(to_yaml(layout.documents(objects)))

    assert without_rank(found) == without_rank(objects)
    assert in_order(found) == in_order(objects)


@given(policy_sets())
@slow_to_draw
def test_what_is_there_already_keeps_even_its_rank(objects: list[Policy]) -> None:
    found = imported(to_yaml(layout.documents(objects)), held=objects)

    assert by_key(found) == by_key(objects)


@given(policy_sets())
@slow_to_draw
def test_custom_resources_bring_back_admission_rules_with_what_they_do_without_a_scan(
    objects: list[Policy],
) -> None:
    rules = [obj for obj in objects if isinstance(obj, AdmissionRule)]
    written = resources.write(layout.sorted_objects(rules), {})

    assert by_key(imported(to_yaml(written.documents))) == by_key(rules)
    assert {remark.path for remark in written.remarks} == {
        f"admission_rule {one.id}" for one in rules if one.on_unscanned != "skip"
    }


@given(policy_sets())
@slow_to_draw
def test_custom_resources_bring_back_every_object_of_which_no_loss_was_said(objects: list[Policy]) -> None:
    groups = {obj.name: obj for obj in objects if isinstance(obj, Group)}
    written = resources.write(layout.sorted_objects(objects), groups)
    lossy = {remark.path for remark in written.remarks}

    found = by_key(imported(to_yaml(written.documents)))

    wanted = {key: obj for key, obj in by_key(objects).items() if " ".join(key) not in lossy}
    assert {key: obj for key, obj in found.items() if " ".join(key) not in lossy} == wanted
    assert found.keys() <= by_key(objects).keys()


@given(policy_sets())
@slow_to_draw
def test_a_disabled_rule_is_never_exported_as_one_that_is_not(objects: list[Policy]) -> None:
    groups = {obj.name: obj for obj in objects if isinstance(obj, Group)}
    found = by_key(imported(to_yaml(resources.write(layout.sorted_objects(objects), groups).documents)))

    disabled = {str(obj.id) for obj in objects if isinstance(obj, NetworkRule) and obj.disable}
    assert not {name for kind, name in found if kind == "network_rule"} & disabled


@given(policy_sets())
@slow_to_draw
def test_the_order_of_the_objects_does_not_matter_to_the_files(objects: list[Policy]) -> None:
    forwards = layout.files(layout.documents(objects))
    backwards = layout.files(layout.documents(objects[::-1]))

    assert forwards == backwards
    assert len({path.casefold() for path in forwards}) == len(forwards)
