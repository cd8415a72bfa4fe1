"""Differences between objects."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.difference import difference

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", min_size=1), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text("abc", min_size=1, max_size=2), json_values, max_size=4)


@given(objects)
def test_equal_objects_do_not_differ(one: dict[str, Any]) -> None:
    assert difference(one, one) == []


@given(objects, objects)
def test_objects_that_differ_say_where(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert bool(difference(one, other)) != same


@given(objects, objects)
def test_the_way_back_is_the_same_way(one: dict[str, Any], other: dict[str, Any]) -> None:
    there = {(item.path, repr(item.before), repr(item.after)) for item in difference(one, other)}
    back = {(item.path, repr(item.after), repr(item.before)) for item in difference(other, one)}
    assert there == back


def test_true_is_not_one() -> None:
    assert [item.path for item in difference({"a": 1}, {"a": True})] == ["a"]
