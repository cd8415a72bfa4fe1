"""Publishing: whatever the bus loses, the changeset is in once or the caller knows that nobody knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.bus import publisher
from fedbus.errors import TooLarge, Unavailable
from fedbus.model.events import Event
from tests.support.fake_bus import ADRIFT, FakeBus, Loss, StillClock
from tests.support.history import event

ONE = (event("a", 1, version=1, changeset="c"),)
BATCH = tuple(event(n, 1, version=1, changeset="c", index=i, count=3) for i, n in enumerate("abc"))

losses = st.lists(st.sampled_from(list(Loss)), max_size=6)


@given(st.sampled_from([ONE, BATCH]), losses)
async def test_what_is_called_published_is_on_the_stream_once_at_its_sequences(
    changeset: tuple[Event, ...], script: list[Loss]
) -> None:
    bus = FakeBus(script)
    clock = StillClock()
    try:
        sequences = await publisher.publish(changeset, [0] * len(changeset), lambda: bus, clock, 8.0)
    except publisher.OutcomeUnknown:
        assert len(bus.stream) in (0, len(changeset))
    else:
        assert [bus.stream[seq - 1].subject for seq in sequences] == [e.subject for e in changeset]
        assert len(bus.stream) == len(changeset)


@given(st.sampled_from([ONE, BATCH]))
async def test_over_somebody_elses_message_nothing_is_published(
    changeset: tuple[Event, ...],
) -> None:
    bus = FakeBus([])
    bus.plant(changeset[-1].subject)
    with pytest.raises(publisher.SequenceMismatch):
        await publisher.publish(changeset, [0] * len(changeset), lambda: bus, StillClock(), 8.0)
    assert len(bus.stream) == 1


async def test_with_no_session_nothing_was_sent_and_that_is_what_is_said() -> None:
    def nobody() -> FakeBus:
        raise Unavailable("the bus is not connected")

    with pytest.raises(Unavailable) as refused:
        await publisher.publish(ONE, [0], nobody, StillClock(), 8.0)
    assert not isinstance(refused.value, publisher.OutcomeUnknown)


async def test_a_bus_that_answers_nothing_leaves_the_outcome_unknown_after_the_deadline() -> None:
    clock = StillClock()
    with pytest.raises(publisher.OutcomeUnknown):
        await publisher.publish(ONE, [0], lambda: FakeBus(ADRIFT), clock, 8.0)
    assert 8.0 <= clock.monotonic() < 12.0


async def test_a_message_that_is_too_large_is_refused_at_once() -> None:
    bus = FakeBus([], refuse=10054)
    with pytest.raises(TooLarge):
        await publisher.publish(ONE, [0], lambda: bus, StillClock(), 8.0)
