"""Many documents as one request: repetitions, ids, order, deletions, files."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import policy_input
from fedbus.core.exchange import layout
from fedbus.core.exchange.items import Item, judge
from fedbus.core.exchange.matching import match
from fedbus.core.exchange.merge import Merged, merge
from fedbus.core.exchange.placing import order, place
from fedbus.core.exchange.prune import Live, unnamed
from fedbus.core.rank import between, is_rank
from fedbus.errors import InvalidInput
from fedbus.model.policy import Policy


def items(*values: dict[str, Any]) -> list[Item]:
    judged = [one for value in values for one in judge(value)]
    assert not [fault for one in judged for fault in one.faults]
    return [
        msgspec.structs.replace(item, source=number)
        for number, one in enumerate(judged)
        for item in one.items
    ]


def group(name: str, value: str = "a", **more: object) -> dict[str, Any]:
    return {"kind": "group", "spec": {"name": name, "criteria": [{"key": "image", "value": value}], **more}}


def rule(comment: str, **spec: object) -> dict[str, Any]:
    fields = {"from": "fed.a", "to": "external", "action": "allow", "comment": comment}
    return {"kind": "network_rule", "spec": fields | spec}


def resource(name: str, value: str = "a", **more: Any) -> dict[str, Any]:
    selector = {"name": name, "criteria": [{"key": "image", "op": "=", "value": value}], **more}
    peer = {"name": "external"}
    egress = [{"name": "e", "action": "allow", "selector": peer}]
    return {"kind": "NvSecurityRule", "spec": {"target": {"selector": selector}, "egress": egress}}


def held(number: int, rank: str, comment: str) -> Policy:
    return policy_input.parse("network_rule", rule(comment, id=number, rank=rank)["spec"])


def names(merged: Merged) -> list[tuple[str, str]]:
    return [item.key for item in merged.items]


def test_neuvectors_repetitions_are_one_object() -> None:
    merged = merge(items(resource("fed.a"), resource("fed.a", comment="said once")))

    assert names(merged) == [("group", "fed.a"), ("network_rule", "0")]
    assert [getattr(item.obj, "comment", "") for item in merged.items] == ["said once", ""]
    assert [(number, remark.path) for number, remark in merged.remarks] == [(1, "spec.egress[0]")]
    assert not merged.faults


def test_a_group_described_differently_is_a_fault_of_both_documents() -> None:
    merged = merge(items(resource("fed.a", "x"), resource("fed.a", "y")))

    assert [(number, fault.path) for number, fault in merged.faults] == [
        (1, "spec.target.selector"),
        (0, "spec.target.selector"),
    ]


def test_our_own_documents_name_an_object_once_but_rules_without_an_id_are_as_many_as_are_written() -> None:
    assert len(merge(items(group("fed.a"), group("fed.a"))).faults) == 2
    assert len(merge(items(rule("same"), rule("same"))).items) == 2


def test_a_rule_that_says_the_same_as_one_that_exists_is_that_rule() -> None:
    existing = [held(100_005, "V", "first"), held(100_001, "W", "same"), held(100_002, "X", "same")]

    found = match(items(rule("same"), rule("new"), rule("same"), rule("same"), rule("first")), existing)

    assert [item.name for item in found] == ["100001", "0", "100002", "0", "100005"]


def test_an_id_that_a_document_names_is_not_given_to_another() -> None:
    found = match(items(rule("other", id=100_001), rule("same")), [held(100_001, "V", "same")])

    assert [item.name for item in found] == ["100001", "0"]


def ranks(found: list[Item]) -> list[str]:
    return [str(getattr(item.obj, "rank", "")) for item in found]


def test_rules_of_our_own_documents_match_in_the_order_of_the_file() -> None:
    there = {
        ("network_rule", "100001"): "V",
        ("network_rule", "100002"): "W",
        ("network_rule", "100003"): "X",
    }
    moved = items(rule("c", id=100_003), rule("new"), rule("a", id=100_001), rule("b", id=100_002))

    placed = ranks(place(moved, there))

    assert placed == sorted(placed)
    assert placed[2:] == ["V", "W"]  # only what moved and what is new got a rank


def test_a_kind_of_which_a_document_gives_a_rank_is_left_as_it_is() -> None:
    given_rank = items(rule("b", id=100_002, rank="X"), rule("a", id=100_001))

    assert ranks(place(given_rank, {("network_rule", "100001"): "V"})) == ["X", ""]


def test_custom_resources_have_no_order_among_them() -> None:
    assert ranks(place(items(resource("fed.a")), {}))[1:] == [""]


_ranks: list[str] = [between(None, None)]
while len(_ranks) < 41:
    _ranks.append(between(_ranks[-1], None))
rank_lists = st.lists(st.integers(1, 40), unique=True, max_size=12).map(
    lambda numbers: [_ranks[number] for number in numbers]
)


@given(rank_lists, st.data())
def test_ranks_increase_none_is_given_twice_and_most_stay(wanted: list[str], data: st.DataObject) -> None:
    new = data.draw(st.lists(st.booleans(), min_size=len(wanted), max_size=len(wanted)))
    current = ["" if is_new else rank for rank, is_new in zip(wanted, new, strict=True)]
    others = data.draw(rank_lists)

    found = order(current, [*filter(None, current), *others])

    assert found == sorted(set(found))
    assert all(map(is_rank, found))
    fresh = [a for a, b in zip(found, current, strict=True) if a != b]
    assert not set(fresh) & {*filter(None, current), *others}
    if current == sorted(current) and "" not in current:
        assert found == current


def test_a_thousand_new_rules_between_two_get_short_ranks() -> None:
    found = order(["V", *[""] * 1000, "W"], ["V", "W"])

    assert found == sorted(set(found))
    assert max(map(len, found)) < 8


LIVE = [
    Live(kind="group", name="fed.a", revision=3),
    Live(kind="group", name="fed.b", revision=1),
    Live(kind="network_rule", name="100001", revision=2),
    Live(kind="admission_state", name="default", revision=1),
]


def test_what_no_document_names_is_deleted_at_the_revision_that_was_read() -> None:
    gone = unnamed(items(group("fed.a")), LIVE, allow_empty=False)

    assert [item.document for item in gone] == [
        {"kind": "group", "op": "delete", "spec": {"name": "fed.b"}, "revision": 1},
        {"kind": "network_rule", "op": "delete", "spec": {"id": 100001}, "revision": 2},
    ]


def test_no_documents_delete_everything_only_when_that_is_said() -> None:
    with pytest.raises(InvalidInput, match="everything would be deleted"):
        unnamed([], LIVE, allow_empty=False)

    assert len(unnamed([], LIVE, allow_empty=True)) == 3


def test_lists_stand_in_one_file_and_other_objects_each_in_their_own() -> None:
    objects = [
        item.obj
        for item in items(rule("a", id=100_002, rank="W"), rule("b", id=100_001, rank="X"), group("fed.a"))
    ]
    files = layout.files(layout.documents([obj for obj in objects if obj is not None]))

    assert list(files) == ["group/fed.a.yaml", "network_rule.yaml"]
    ends = {"from": "fed.a", "to": "external", "action": "allow"}
    assert files["network_rule.yaml"] == [
        {"kind": "network_rule", "spec": {"id": 100002, "comment": "a", **ends}},
        {"kind": "network_rule", "spec": {"id": 100001, "comment": "b", **ends}},
    ]


def test_names_that_a_file_system_cannot_tell_apart_get_files_of_their_own() -> None:
    given_names = ["fed.a", "fed.A", "fed.a:b", "fed.a_b", "fed." + "x" * 252]
    found = [layout.file_name(name) for name in given_names]

    assert len({name.casefold() for name in found}) == len(found)
    assert found[0] == "fed.a.yaml"
    assert max(map(len, found)) < 255
    assert not any(":" in name for name in found)
