"""Filters of registries: NeuVector's words, in linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.registry.filters import Filter, FilterError, Selection, newest_first

NAMES = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", fullmatch=True)
TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,12}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "taken", "left"),
    [
        ("*", ["a:1", "a/b/c:latest"], []),
        ("*:*", ["a:1", "a/b:x"], []),
        ("*:latest", ["a:latest", "x/y:latest"], ["a:1", "a:xlatest"]),
        ("alpine", ["alpine:3", "alpine:edge"], ["alpine2:3", "x/alpine:3", "xalpine:3"]),
        ("alpine:3.[8|9].*", ["alpine:3.8.1", "alpine:3.9"], ["alpine:3.7", "alpine:2.8"]),
        ("org/*", ["org/a:1", "org/a/b:1"], ["org2/a:1", "org:1", "x/org/a:1"]),
        ("org/team/*:1.*", ["org/team/a:1.0"], ["org/team/a:2.0", "org/a:1.0", "org/team:1.0"]),
        ("a*/b", [], []),
        ("org/a*:v[0-9]+", ["org/abc:v12"], ["org/abc:v12x", "org/b:v1"]),
        ("a:(1|2)", ["a:1", "a:2"], ["a:12"]),
    ],
)
def test_a_filter_takes_whole_names(text: str, taken: list[str], left: list[str]) -> None:
    try:
        selection = Selection([text])
    except FilterError:
        assert not taken
        return
    assert [one for one in taken if not selection.takes(*one.split(":"))] == []
    assert [one for one in left if selection.takes(*one.split(":"))] == []


@given(NAMES, TAGS)
def test_a_name_takes_itself_and_a_repository_is_taken_if_a_tag_is(name: str, tag: str) -> None:
    selection = Selection([f"{name}:{tag}"])
    assert selection.takes(name, tag)
    assert selection.takes_repository(name)
    assert selection.repositories == [name]
    assert not selection.takes(name + "x", tag)
    assert not selection.takes(name, tag + "+")


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_says_why_not(text: str) -> None:
    try:
        read, why = Filter.read(text), ""
    except FilterError as error:
        read, why = None, str(error)
    assert why or (read and Selection([text]).takes_repository(read.literal or "x") in (True, False))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)x", "([a-z]+)*!"])
def test_no_pattern_makes_matching_slow(pattern: str) -> None:
    selection = Selection([f"*:{pattern}"])
    began = time.perf_counter()
    for _ in range(10):
        selection.takes("r", "a" * 5000 + "?")
    assert time.perf_counter() - began < 1.0  # with backtracking: longer than the universe


@pytest.mark.parametrize("text", ["a:(?=x)", r"a:(x)\1", "a:" + "(" * 2000, "a:((x{100}){100}){100}", "a:*:"])
def test_what_could_not_be_matched_in_linear_time_is_refused_when_it_is_written(text: str) -> None:
    if text == "a:*:":
        assert Selection([text]).takes("a", "1:")
        return
    with pytest.raises(FilterError):
        Filter.read(text)


def test_the_newest_tags_come_first_and_numbers_count_as_numbers() -> None:
    tags = ["1.9", "1.10", "latest", "2.0-rc1", "1.10.1", "dev"]
    assert newest_first(tags) == ["latest", "2.0-rc1", "1.10.1", "1.10", "1.9", "dev"]


@given(st.lists(TAGS, unique=True))
def test_the_order_of_tags_does_not_depend_on_the_order_they_came_in(tags: list[str]) -> None:
    assert newest_first(tags) == newest_first(sorted(tags))
