"""A thread that does one thing after the other."""

import asyncio
import threading

import pytest

from fedbus.store.lane import Lane


@pytest.fixture
async def lane() -> Lane:
    return Lane("a lane")


async def test_work_is_done_in_one_thread_in_the_order_given(lane: Lane) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(lane.run(work, number) for number in range(50)))
    assert done == list(range(50))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    lane.finish()


async def test_what_the_work_raises_is_raised_where_it_is_awaited(lane: Lane) -> None:
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0)
    assert await lane.run(lambda: "goes on") == "goes on"
    lane.finish()


async def test_a_cancelled_job_is_not_begun_and_one_in_hand_ends_unheard(lane: Lane) -> None:
    go, begun, done = threading.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def slow() -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        done.append("in hand")

    in_hand = lane.run(slow)
    waiting = lane.run(lambda: done.append("waiting"))
    await begun.wait()
    in_hand.cancel()
    waiting.cancel()
    go.set()
    assert await lane.run(lambda: list(done)) == ["in hand"]
    lane.finish()


async def test_a_finished_lane_ends_after_what_it_was_given_and_takes_no_more(lane: Lane) -> None:
    last = lane.run(lambda: "done")
    lane.finish()
    with pytest.raises(RuntimeError, match="takes no more work"):
        lane.run(lambda: None)
    await asyncio.to_thread(lane.join)
    assert await last == "done"
