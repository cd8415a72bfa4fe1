"""Ranks and ids: always room between, never the same twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.ids import allocate
from fedbus.core.rank import ALPHABET, between, is_rank
from fedbus.errors import InvalidInput
from fedbus.model.policy import FED_RULE_IDS

_ranks = st.text(alphabet=ALPHABET, min_size=1, max_size=12).filter(is_rank)


@given(_ranks | st.none(), _ranks | st.none())
def test_a_rank_lies_strictly_between_its_bounds(one: str | None, other: str | None) -> None:
    if one is not None and other is not None:
        if one == other:
            return
        one, other = min(one, other), max(one, other)

    middle = between(one, other)

    assert is_rank(middle)
    assert one is None or one < middle
    assert other is None or middle < other


@given(st.lists(st.integers(min_value=0), max_size=60))
def test_any_sequence_of_insertions_keeps_the_order(places: list[int]) -> None:
    ranks: list[str] = []
    for place in places:
        at = place % (len(ranks) + 1)
        ranks.insert(at, between(ranks[at - 1] if at else None, ranks[at] if at < len(ranks) else None))

    assert ranks == sorted(set(ranks))


def test_ten_thousand_appended_or_prepended_ranks_stay_short() -> None:
    last = first = between(None, None)
    for _ in range(10_000):
        last, first = between(last, None), between(None, first)

    assert (len(last), len(first)) == (4, 4)


def test_the_ends_of_the_steps_are_not_the_end() -> None:
    assert between("zzzV", None) > "zzzV"
    assert between(None, "000V") < "000V"


@pytest.mark.parametrize(("lower", "upper"), [("V", "V"), ("V", "A"), ("", None), (None, "V0"), ("é", None)])
def test_bounds_that_are_no_ranks_or_out_of_order_are_refused(lower: str | None, upper: str | None) -> None:
    with pytest.raises(ValueError, match="rank"):
        between(lower, upper)


@given(st.sets(st.integers(min_value=0, max_value=40)), st.integers(0, 20), st.integers(1, 20))
def test_an_allocated_id_is_in_range_and_free(used: set[int], start: int, length: int) -> None:
    ids = range(start, start + length)
    if used >= set(ids):
        with pytest.raises(InvalidInput, match="taken"):
            allocate(ids, used)
    else:
        assert allocate(ids, used) in set(ids) - used


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], 100_001),
        ([100_001, 100_002], 100_003),
        ([100_005], 100_006),
        ([109_999], 100_001),
        ([100_001, 100_003, 109_999], 100_002),
        ([5, 1_000, 110_000], 100_001),
    ],
)
def test_ids_go_on_from_the_highest_and_then_fill_holes(used: list[int], expected: int) -> None:
    assert allocate(FED_RULE_IDS, used) == expected


def test_there_are_9999_federated_rules_of_a_kind() -> None:
    with pytest.raises(InvalidInput) as caught:
        allocate(FED_RULE_IDS, FED_RULE_IDS)

    assert len(FED_RULE_IDS) == 9_999
    assert [fault.field for fault in caught.value.faults] == ["id"]
