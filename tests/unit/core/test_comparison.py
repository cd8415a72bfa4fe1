"""Stream against store (guarantee 1): repaired, both hold the newest of everything that either had."""

from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.comparison import SETTLE_SECONDS, Comparison, OnStream, compare, loss_is_certain
from fedbus.model import subjects
from fedbus.model.events import Event
from tests.support.history import event

Copy = dict[str, tuple[Event, int]]


@st.composite
def copies(draw: st.DrawFn) -> tuple[Copy, dict[str, OnStream[Event]]]:
    """Draw a store and a stream that were equal once: either may lack or lag, the stream may be foreign."""
    held: Copy = {}
    stream: dict[str, OnStream[Event]] = {}
    for number, name in enumerate("abcdef", start=1):
        newest = draw(st.integers(1, 3))
        here, there = draw(st.integers(0, newest)), draw(st.integers(0, newest))
        foreign = draw(st.booleans())
        subject = event(name, 1).subject
        if here:
            held[subject] = event(name, here), number * 10 + here
        if foreign:
            stream[subject] = OnStream(number * 10 + 9, None)
        elif there:
            replayed = draw(st.booleans()) and there < here
            stream[subject] = OnStream(number * 10 + (8 if replayed else there), event(name, there))
    return held, stream


def _repaired(
    held: Copy, stream: dict[str, OnStream[Event]], todo: Comparison[Event]
) -> tuple[Copy, dict[str, OnStream[Event]]]:
    held, stream = dict(held), dict(stream)
    for one, seq in todo.fold + todo.moved:
        held[one.subject] = one, seq
    if todo.lost:  # made anew from the store
        stream = {}
        for seq, (subject, (one, _)) in enumerate(held.items(), start=1):
            held[subject] = one, seq
            stream[subject] = OnStream(seq, one)
    else:
        for one, above in todo.covered:
            held[one.subject] = one, above + 100
            stream[one.subject] = OnStream(above + 100, one)
    return held, stream


def _compare(held: Copy, stream: dict[str, OnStream[Event]]) -> Comparison[Event]:
    return compare(held.values(), stream)


@given(copies())
def test_repaired_there_is_nothing_left_to_repair(both: tuple[Copy, dict[str, OnStream[Event]]]) -> None:
    held, stream = _repaired(*both, _compare(*both))
    left = _compare(held, stream)
    assert (left.fold, left.moved, left.covered, left.lost) == ([], [], [], [])
    ours = {subject: (found.event, found.seq) for subject, found in stream.items() if found.event}
    assert ours == held  # foreign messages alone may stand where we have nothing


@given(copies())
def test_repaired_both_have_the_newest_version_of_everything(
    both: tuple[Copy, dict[str, OnStream[Event]]],
) -> None:
    held, stream = both
    newest: dict[str, int] = {}
    for one, _ in held.values():
        newest[one.subject] = one.revision
    for subject, found in stream.items():
        if found.event is not None:
            newest[subject] = max(newest.get(subject, 0), found.event.revision)
    after, _ = _repaired(held, stream, _compare(held, stream))
    assert {subject: one.revision for subject, (one, _) in after.items()} == newest


@given(copies())
def test_what_only_the_store_has_is_called_lost(both: tuple[Copy, dict[str, OnStream[Event]]]) -> None:
    held, stream = both
    todo = _compare(held, stream)
    assert {one.subject for one in todo.lost} >= held.keys() - stream.keys()
    assert {one.subject for one, _ in todo.covered} >= {
        s for s in held if s in stream and not stream[s].event
    }


def test_the_same_version_with_other_content_is_lost_and_not_believed() -> None:
    mine, other = event("a", 1, content="mine"), event("a", 1, content="other")
    todo = compare([(mine, 1)], {mine.subject: OnStream(1, other)})
    assert (todo.lost, todo.fold) == ([mine], [])


def test_an_instruction_that_was_read_is_missed_by_nobody() -> None:
    told = event("-", 1, category=subjects.CONTROL, scope="c.x", kind="resync", payload=b"{}")
    assert compare([(told, 5)], {}).lost == []


def test_what_is_folded_comes_in_the_order_it_was_written() -> None:
    written = [event("z", 1, version=1), event("m", 1, version=2), event("a", 1, version=3)]
    stream = {e.subject: OnStream(e.version, e) for e in reversed(written)}
    assert [e for e, _ in compare([], stream).fold] == written


@given(st.integers(1, 5), st.integers(0, 4), st.floats(0, 60))
def test_a_loss_is_believed_at_once_of_one_server_and_of_several_when_they_have_settled(
    replicas: int, behind: int, seconds: float
) -> None:
    certain = loss_is_certain(replicas=replicas, behind=behind, seconds=seconds)
    if replicas == 1:
        assert certain
    elif behind or seconds < SETTLE_SECONDS:
        assert not certain
    else:
        assert certain
