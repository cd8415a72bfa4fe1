"""Targets: documents to selectors and back, and whom they select."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import targets
from fedbus.errors import InvalidInput
from fedbus.model.targets import ALL, Requirement, Target

WORDS = st.sampled_from(["env", "tier", "region"])
VALUES = st.sampled_from(["a", "b", "c"])
EXPRESSIONS = st.one_of(
    st.fixed_dictionaries(
        {"key": WORDS, "operator": st.sampled_from(["In", "NotIn", "in", "notin"]),
         "values": st.lists(VALUES, min_size=1, max_size=3)}
    ),
    st.fixed_dictionaries({"key": WORDS, "operator": st.sampled_from(["Exists", "DoesNotExist", "exists"])}),
)  # fmt: skip
SELECTORS = st.one_of(
    st.dictionaries(WORDS, VALUES, min_size=1),
    st.fixed_dictionaries({"matchExpressions": st.lists(EXPRESSIONS, min_size=1, max_size=4)}),
    st.fixed_dictionaries({"matchLabels": st.dictionaries(WORDS, VALUES, min_size=1)}),
)
LABELS = st.dictionaries(WORDS, VALUES)


@given(SELECTORS)
def test_a_target_is_shown_as_a_document_that_means_the_same(selector: dict[str, Any]) -> None:
    target = targets.parse({"selector": selector})
    assert targets.parse(targets.as_document(target)) == target


@given(st.dictionaries(WORDS, VALUES, min_size=1), LABELS)
def test_equality_selects_those_that_have_every_label(
    selector: dict[str, str], labels: dict[str, str]
) -> None:
    found = targets.parse({"selector": selector}).selector
    assert targets.selects(found, labels) == (selector.items() <= labels.items())


@given(WORDS, st.lists(VALUES, min_size=1), LABELS)
def test_notin_is_met_by_exactly_those_that_in_is_not_met_by(
    key: str, values: list[str], labels: dict[str, str]
) -> None:
    given_ = tuple(values)
    assert targets.selects([Requirement(key, "In", given_)], labels) != targets.selects(
        [Requirement(key, "NotIn", given_)], labels
    )
    assert targets.selects([Requirement(key, "Exists")], labels) != targets.selects(
        [Requirement(key, "DoesNotExist")], labels
    )


def test_absent_and_null_are_all() -> None:
    assert targets.parse(None) == ALL
    assert targets.as_document(ALL) == {}


def test_a_label_may_be_called_like_a_part_of_a_selector() -> None:
    found = targets.parse({"selector": {"matchLabels": "yes"}})
    assert found == Target(selector=(Requirement("matchLabels", "In", ("yes",)),))


def parsed(value: object) -> Target | str:
    """Return the target, or the field that is wrong."""
    try:
        return targets.parse(value)
    except InvalidInput as error:
        return error.faults[0].field


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cluster", "selector", "matchLabels", "matchExpressions", "key", "operator",
                             "values", "env"]),
            inner, max_size=4,
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_whatever_is_sent_is_a_target_or_refused_with_its_field(value: object) -> None:
    assert str(parsed(value)).startswith(("Target", "target"))


@pytest.mark.parametrize("count", [0, 33])
def test_a_selector_has_some_requirements_but_not_endlessly_many(count: int) -> None:
    with pytest.raises(InvalidInput):
        targets.parse({"selector": {f"key{n}": "x" for n in range(count)}})
