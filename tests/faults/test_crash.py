"""Crashes at the one point between two copies, racing writers, and the ends of daemons."""

import asyncio
import contextlib
import signal
from pathlib import Path

import aiohttp

from tests.faults.fleet import alive, fleet, held, history, signal_bus, tamper
from tests.support.daemons import apply, eventually, group
from tests.support.intruder import bus_pid

FAILPOINT = (
    "CREATE TRIGGER failpoint BEFORE INSERT ON objects WHEN new.name = 'fed.doomed'"
    " BEGIN SELECT RAISE(ABORT, 'failpoint'); END"
)


async def test_a_crash_between_publish_and_fold_is_folded_at_the_next_start_and_keeps_its_answer(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a") as f:
        store = f.master.directory / "store.db"
        tamper(store, FAILPOINT)
        body = {"documents": [group("doomed", "published"), group("beside", "published")]}
        headers = {"Idempotency-Key": "crashed"}
        status = 0
        with contextlib.suppress(OSError, aiohttp.ClientError):  # it may be gone before it answers
            status, _ = await f.master.call("POST", "/v1/fed/apply", body, headers=headers)
        assert status != 200
        await f.master.kill()
        tamper(store, "DROP TRIGGER failpoint")
        await f.master.start()
        await f.serving()
        await f.converged()
        assert await held(f.workers["a"]) == {"fed.doomed": "published", "fed.beside": "published"}
        answers = [await f.master.call("POST", "/v1/fed/apply", body, headers=headers) for _ in range(2)]
        for status, answer in answers:
            assert status == 200, answer
            assert [(c["op"], c["revision"]) for c in answer["changes"]] == [("created", 1), ("created", 1)]
        assert answers[0] == answers[1]
        assert len(await history(f.master)) == 2  # and it was not written a second time
        other = {"documents": [group("doomed", "another request")]}
        status, problem = await f.master.call("POST", "/v1/fed/apply", other, headers=headers)
        assert status == 422, problem


async def test_of_two_changes_that_race_on_one_object_one_is_told_the_current_revision(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a") as f:
        await apply(f.master, group("web", "first"))
        bodies = [{"documents": [group("web", f"racer {n}") | {"revision": 1}]} for n in range(4)]
        answers = await asyncio.gather(*(f.master.call("POST", "/v1/fed/apply", b) for b in bodies))
        assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
        assert {a["current_revision"] for status, a in answers if status == 409} == {2}
        (winner,) = (n for n, (status, _) in enumerate(answers) if status == 200)
        await f.converged()
        assert await held(f.workers["a"]) == {"fed.web": f"racer {winner}"}


async def test_one_key_asked_many_times_at_once_is_one_write(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        body = {"documents": [group("web", "once")]}
        headers = {"Idempotency-Key": "at-once"}
        answers = await asyncio.gather(
            *(f.master.call("POST", "/v1/fed/apply", body, headers=headers) for _ in range(5))
        )
        assert all(answer == answers[0] for answer in answers), answers
        assert answers[0][1]["changes"][0]["op"] == "created"
        assert len(await history(f.master)) == 1


async def test_a_terminated_daemon_ends_with_zero_and_takes_its_bus_along(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        bus = bus_pid(f.master.directory)
        async with asyncio.timeout(8):
            assert await f.workers["a"].stop() == 0
            assert await f.master.stop() == 0
        assert not alive(bus)
        await f.master.start()
        await f.workers["a"].start()
        await f.converged()
        async with asyncio.timeout(8):
            assert await f.master.stop() == 0  # with a worker attached
        assert not alive(bus_pid(f.master.directory))


async def test_a_killed_masters_bus_dies_with_it_even_while_it_stands_still(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        await apply(f.master, group("web", "kept"))
        for stopped in (False, True):
            bus = signal_bus(f.master, signal.SIGSTOP) if stopped else bus_pid(f.master.directory)
            await f.master.kill()
            if not stopped:

                async def gone(bus: int = bus) -> bool:
                    return not alive(bus)

                await eventually(gone, 10)
            await f.master.start()
            await f.serving()  # a leftover that does not listen has been ended
            assert not alive(bus)
            await f.converged()
        assert await held(f.workers["a"]) == {"fed.web": "kept"}
        assert await f.epoch() == 1
