"""A changeset is applied whole: where it ends in a run of messages."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.changesets import complete


class Member(msgspec.Struct, frozen=True):
    changeset: str
    index: int = 0
    count: int = 1


def _run(sizes: list[int]) -> list[Member]:
    return [Member(f"c{n}", i, size) for n, size in enumerate(sizes) for i in range(size)]


runs = st.lists(st.integers(1, 4), min_size=1, max_size=6).map(_run)


@given(runs, st.data())
def test_what_is_complete_never_ends_inside_a_changeset(run: list[Member], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(run)))
    end = complete(run[:cut], more=True)
    assert end <= cut
    assert end == 0 or run[end - 1].index == run[end - 1].count - 1


@given(runs)
def test_nothing_is_held_back_at_the_end_of_the_stream(run: list[Member]) -> None:
    assert complete(run, more=False) == len(run)
    assert complete(run, more=True) == len(run)


@given(runs, st.data())
def test_only_the_open_changeset_is_held_back(run: list[Member], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(run)))
    end = complete(run[:cut], more=True)
    assert {m.changeset for m in run[end:cut]} <= {run[cut - 1].changeset}


@given(runs, st.data())
def test_cut_anywhere_and_continued_every_member_is_applied_once_in_order(
    run: list[Member], data: st.DataObject
) -> None:
    applied: list[Member] = []
    tail: list[Member] = []
    rest = list(run)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        items, rest = tail + rest[:size], rest[size:]
        end = complete(items, more=bool(rest))
        applied, tail = applied + items[:end], items[end:]
    assert (applied, tail) == (run, [])


def test_a_changeset_whose_end_compaction_took_ends_where_the_next_one_begins() -> None:
    torn = [Member("a", 0, 3), Member("a", 1, 3), Member("b", 0, 1)]
    assert complete(torn, more=True) == 3


def test_a_refused_message_belongs_to_no_changeset_and_holds_nothing_back() -> None:
    assert complete([Member("a", 0, 2), Member("")], more=True) == 2


def test_nothing_is_complete_in_nothing() -> None:
    assert complete([], more=True) == 0
