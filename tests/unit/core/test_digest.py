"""The set digest: order does not matter, everything else does."""

from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import digest

elements = st.tuples(
    st.sampled_from(["group", "webhook"]), st.text(max_size=5), st.integers(0, 9), st.text(max_size=5)
)


def _sum(items: list[tuple[str, str, int, str]]) -> str:
    total = digest.EMPTY
    for item in items:
        total = digest.add(total, digest.element(*item))
    return total


@given(st.data(), st.lists(elements, max_size=8))
def test_order_does_not_matter(data: st.DataObject, items: list[tuple[str, str, int, str]]) -> None:
    assert _sum(data.draw(st.permutations(items))) == _sum(items)


@given(st.lists(elements, max_size=8), elements)
def test_what_was_added_can_be_removed(
    items: list[tuple[str, str, int, str]], one: tuple[str, str, int, str]
) -> None:
    assert digest.remove(_sum([*items, one]), digest.element(*one)) == _sum(items)


@given(st.sets(elements, max_size=6), st.sets(elements, max_size=6))
def test_different_sets_have_different_digests(
    a: set[tuple[str, str, int, str]], b: set[tuple[str, str, int, str]]
) -> None:
    assert (_sum(list(a)) == _sum(list(b))) == (a == b)


def test_a_digest_is_64_hexadecimal_digits_and_that_of_nothing_is_zero() -> None:
    assert _sum([]) == "0" * 64
    assert len(_sum([("group", "a", 1, "x")])) == 64
