"""Lists of rules: any sequence of insertions, moves, replacements and deletions is that of a plain list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.policy_edits.order import distinct, inserted, moved, reranked
from fedbus.core.rank import is_rank, spread
from fedbus.errors import InvalidInput, NotFound

_step = st.tuples(
    st.sampled_from(["insert", "move", "replace", "delete"]), st.integers(0, 99), st.integers(0, 99)
)


class Model:
    """A plain list, and ranks that are only ever changed as `reranked` says."""

    def __init__(self) -> None:
        self.rules: list[int] = []
        self.ranks: dict[int, str] = {}
        self.next = 1

    def arrange(self, order: list[int], fresh: set[int] | None = None) -> int:
        self.ranks = {rule: rank for rule, rank in self.ranks.items() if rule in order}
        changed = reranked(order, self.ranks, fresh or set())
        self.ranks |= changed
        self.rules = order
        return len(changed)

    def listed(self) -> list[int]:
        return sorted(self.ranks, key=lambda rule: self.ranks[rule])


@given(st.lists(_step, max_size=40), st.randoms(use_true_random=False))
def test_the_order_after_any_sequence_of_requests_is_that_of_a_list(steps, random) -> None:  # type: ignore[no-untyped-def]
    model = Model()
    for what, a, b in steps:
        held = model.rules
        place = random.choice([None, 0, *held, *(-rule for rule in held)])
        if what == "insert" or not held:
            new = list(range(model.next, model.next + 1 + b % 4))
            model.next += len(new)
            model.arrange(inserted(held, new, place))
        elif what == "move":
            assert model.arrange(moved(held, held[a % len(held)], place), {held[a % len(held)]}) <= 1
        elif what == "replace":
            order = [*held, model.next]
            model.next += 1
            random.shuffle(order)
            model.arrange(order)
        else:
            model.arrange([rule for rule in held if rule != held[a % len(held)]])
        assert model.listed() == model.rules
        assert all(map(is_rank, model.ranks.values()))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (None, [1, 2, 4, 5, 3]),
        (0, [3, 1, 2, 4, 5]),
        (1, [1, 3, 2, 4, 5]),
        (5, [1, 2, 4, 5, 3]),
        (-1, [3, 1, 2, 4, 5]),
        (-5, [1, 2, 4, 3, 5]),
        (3, [1, 2, 3, 4, 5]),
        (-3, [1, 2, 3, 4, 5]),
    ],
)
def test_a_move_goes_where_neuvector_puts_it(after: int | None, expected: list[int]) -> None:
    assert moved([1, 2, 3, 4, 5], 3, after) == expected


@pytest.mark.parametrize(("rule", "after"), [(9, 0), (1, 9), (1, -9)])
def test_a_move_of_or_next_to_what_is_not_there_is_refused(rule: int, after: int) -> None:
    with pytest.raises(NotFound):
        moved([1, 2, 3], rule, after)


def test_a_move_changes_the_rule_that_is_moved_and_no_other() -> None:
    ranks = {1: "A", 2: "B", 3: "C"}

    assert reranked([2, 1, 3], ranks, {1}).keys() == {1}
    assert reranked([2, 1, 3], ranks, {2}).keys() == {2}


def test_a_list_in_its_order_changes_nothing_and_one_turned_round_all_but_one() -> None:
    ranks = dict(zip(range(1000), spread(None, None, 1000), strict=True))

    assert reranked(range(1000), ranks) == {}
    assert len(reranked(range(999, -1, -1), ranks)) == 999


def test_rules_of_equal_rank_are_told_apart_when_the_list_is_written() -> None:
    changed = reranked([1, 2, 3, 4], {1: "V", 2: "V", 3: "V", 4: "W"})

    final = {1: "V", 2: "V", 3: "V", 4: "W"} | changed
    assert final[1] < final[2] < final[3] < final[4]


@given(st.integers(0, 200))
def test_ranks_are_spread_in_order_between_their_bounds(count: int) -> None:
    for lower, upper in ((None, None), ("V", None), (None, "V"), ("A", "B")):
        ranks = spread(lower, upper, count)
        assert len(ranks) == count
        assert sorted(set(ranks)) == ranks
        assert all((lower or "") < rank < (upper or "~") for rank in ranks)


def test_a_thousand_ranks_between_two_neighbours_stay_short() -> None:
    assert max(map(len, spread("V", "W", 1000))) <= 4


def test_an_id_twice_in_a_list_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        distinct([0, 100001, 0, 100001], "rules")

    assert caught.value.faults[0].field == "rules[3].id"
