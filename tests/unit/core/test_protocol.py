"""Which protocol version two daemons use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import protocol
from fedbus.model.federation import Versions


def speaking(low: int, high: int) -> Versions:
    return Versions(fedbus="1", protocol_min=low, protocol_max=high)


ranges = st.builds(lambda low, more: speaking(low, low + more), st.integers(1, 6), st.integers(0, 3))


def _set(versions: Versions) -> set[int]:
    return set(range(versions.protocol_min, versions.protocol_max + 1))


@given(ranges, ranges)
def test_it_is_the_newest_that_both_speak(one: Versions, other: Versions) -> None:
    common = _set(one) & _set(other)
    assert protocol.agreed(one, other) == (max(common) if common else None)
    assert protocol.agreed(one, other) == protocol.agreed(other, one)


@given(ranges, ranges)
def test_without_one_both_name_the_same_daemon_as_too_old(one: Versions, other: Versions) -> None:
    mirrored = {"ours": "theirs", "theirs": "ours", None: None}
    assert protocol.older(one, other) == mirrored[protocol.older(other, one)]
    assert (protocol.older(one, other) is None) == (protocol.agreed(one, other) is not None)


@given(st.integers(1, 9))
def test_neighbours_that_share_a_version_always_agree(n: int) -> None:
    assert protocol.agreed(speaking(n, n), speaking(n, n + 1)) == n
    assert protocol.agreed(speaking(n - 1, n), speaking(n, n + 1)) == n


@pytest.mark.parametrize(("of", "said"), [((1, 1), "1"), ((1, 3), "1 to 3")])
def test_a_range_in_words(of: tuple[int, int], said: str) -> None:
    assert protocol.spoken(speaking(*of)) == said


def test_a_peer_that_says_nothing_of_the_protocol_speaks_the_first() -> None:
    assert (Versions(fedbus="0").protocol_min, Versions(fedbus="0").protocol_max) == (1, 1)
