"""Wildcards, expressions, and what the operators mean on sets, whatever they are asked."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.admission.patterns import (
    PAIR_OPERATORS,
    SET_OPERATORS,
    Patterns,
    regex,
    regex_fault,
    wanted,
    wildcard,
)

words = st.text(alphabet="ab.[]\\+()^$|\n", max_size=6)
values = st.text(alphabet="ab.?*", max_size=5)
some = st.lists(values, min_size=1, max_size=4)
texts = st.frozensets(st.text(alphabet="ab.", max_size=4), max_size=4)


@pytest.mark.parametrize(
    ("value", "matching", "others"),
    [
        ("nginx", ["nginx"], ["Nginx", "nginx2", ""]),
        ("nginx*", ["nginx", "nginx:1"], ["my-nginx"]),
        ("*nginx", ["nginx", "my-nginx"], ["nginx:1"]),
        ("*gin*", ["nginx", "gin"], ["ngnx"]),
        ("*", ["", "a", "a\nb"], []),
        ("a?c", ["abc", "a.c"], ["ac", "abbc"]),
        ("a*c", ["ac", "abbc"], ["acd"]),
        ("a.c*", ["a.c", "a.cd"], ["abc"]),
        ("(a|b)*", ["(a|b)", "(a|b)c"], ["a", "b"]),
        ("a*[b]", ["ax[b]"], ["axb"]),
    ],
)
def test_a_wildcard_stands_for_anything_and_nothing_else_is_special(
    value: str, matching: list[str], others: list[str]
) -> None:
    match = wildcard(value)

    assert all(match(text) for text in matching)
    assert not any(match(text) for text in others)


@given(values, words)
def test_wildcards_match_like_those_of_a_shell(value: str, text: str) -> None:
    assert wildcard(value)(text) is fnmatch.fnmatchcase(text, value)


@given(words)
def test_a_value_without_wildcards_matches_itself_alone(value: str) -> None:
    assert wildcard(value)(value)
    assert not wildcard(value)(value + "x")


@given(some, texts)
def test_operators_on_sets_mean_what_they_say(wants: list[str], held: frozenset[str]) -> None:
    patterns = Patterns(wants)
    matches = {value: {text for text in held if fnmatch.fnmatchcase(text, value)} for value in wants}
    found = {text for hits in matches.values() for text in hits}

    assert SET_OPERATORS["containsAll"](patterns, held) is (bool(held) and all(matches.values()))
    assert SET_OPERATORS["containsAny"](patterns, held) is bool(found)
    assert SET_OPERATORS["notContainsAny"](patterns, held) is not bool(found)
    assert SET_OPERATORS["containsOtherThan"](patterns, held) is (found != held)


@pytest.mark.parametrize("op", SET_OPERATORS)
def test_of_the_empty_set_only_absence_holds(op: str) -> None:
    absent = op == "notContainsAny"

    assert SET_OPERATORS[op](Patterns(["*"]), ()) is absent
    assert PAIR_OPERATORS[op]([wanted("a")], {}) is absent


@given(some, texts)
def test_lists_and_sets_are_asked_alike(wants: list[str], held: frozenset[str]) -> None:
    for operator in SET_OPERATORS.values():
        assert operator(Patterns(wants), held) is operator(Patterns(wants), tuple(held))


pairs = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.sampled_from("123"), min_size=1, unique=True), max_size=3
)
asked = st.lists(st.sampled_from(["a", "b", "a=1", "a=2", "b=1", "c=?", "d"]), min_size=1, max_size=4)


@given(asked, pairs)
def test_operators_on_pairs_mean_what_they_say(wants: list[str], held: dict[str, list[str]]) -> None:
    read = [wanted(item) for item in wants]
    flat = {(key, value) for key, many in held.items() for value in many}

    def fits(item: str, key: str, value: str) -> bool:
        name, equals, pattern = item.partition("=")
        return key == name and (not equals or fnmatch.fnmatchcase(value, pattern))

    hit = {item for item in wants for key, value in flat if fits(item, key, value)}
    known = {(key, value) for key, value in flat if any(fits(item, key, value) for item in wants)}

    assert PAIR_OPERATORS["containsAll"](read, held) is (bool(held) and hit == set(wants))
    assert PAIR_OPERATORS["containsAny"](read, held) is bool(hit)
    assert PAIR_OPERATORS["notContainsAny"](read, held) is not bool(hit)
    assert PAIR_OPERATORS["containsOtherThan"](read, held) is (known != flat)


@pytest.mark.parametrize("expression", ["(", "(?=a)", r"(a)\1", "a**", "((a{100}){100}){100}"])
def test_what_cannot_run_in_linear_time_is_refused_with_the_reason(expression: str) -> None:
    assert regex_fault(expression)
    with pytest.raises(ValueError, match="no regular expression"):
        regex(expression)


def test_an_expression_is_found_anywhere_unless_it_is_anchored() -> None:
    assert regex("b+")("abbc")
    assert not regex("^b")("abbc")


def test_half_a_character_matches_nothing_and_breaks_nothing() -> None:
    assert not regex(".")("\ud800")
    assert not wildcard("a?c*d")("\ud800")
