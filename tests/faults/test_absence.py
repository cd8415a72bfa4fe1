"""Workers are autonomous (guarantee 6): away, alone, and back."""

import signal
from pathlib import Path

import aiohttp

from tests.faults.fleet import CONVERGE, fleet, held, journal, signal_bus
from tests.support import validator
from tests.support.daemons import apply, eventually, group


async def test_a_worker_offline_for_a_thousand_events_comes_back_with_each_object_applied_once(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a", "b") as f:
        away = f.workers["b"]
        await apply(f.master, group("before", "seen"))
        await f.converged()
        assert await away.stop() == 0
        validator.keep_journal(away.directory / "store.db")
        for turn in range(10):
            await apply(f.master, *(group(f"g{n}", f"turn {turn}") for n in range(100)))
        await f.converged("a")
        row = await f.row("b")
        assert row["link"]["state"] == "offline"
        assert row["sync"]["state"] != "synced"
        await away.start()
        await f.converged()
        applied = journal(away)
        assert len(applied) == 1000  # the history is on the stream: each revision once, in order
        assert validator.judge(applied, applied, {"b": applied}, {"b": await held(away)}, {}).ok


async def test_a_worker_restarted_with_master_and_bus_down_serves_its_policy_and_says_offline(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a") as f:
        worker = f.workers["a"]
        await apply(f.master, group("web", "mine"), group("db", "mine too"))
        await f.converged()
        await f.master.kill()
        await worker.kill()
        await worker.start()
        assert await held(worker) == {"fed.web": "mine", "fed.db": "mine too"}
        assert (await worker.call("GET", "/livez"))[0] == 200
        (row,) = (await worker.get("/v1/fed/summary"))["clusters"]
        assert row["link"]["state"] == "offline"
        assert row["sync"]["state"] == "unknown"  # nobody tells what is current
        member = await worker.get("/v1/fed/member")
        assert member["master_cluster"]["status"] == "disconnected"
        await f.master.start()
        await f.serving()
        await apply(f.master, group("web", "newer"))
        await f.converged()


async def test_a_bus_that_stands_still_is_a_503_with_a_key_and_no_process_hangs(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        signal_bus(f.master, signal.SIGSTOP)
        try:
            headers = {"Idempotency-Key": "stood-still"}
            body = {"documents": [group("web", "x")]}
            limit = aiohttp.ClientTimeout(total=20)
            status, answer = await f.master.call(
                "POST", "/v1/fed/apply", body, headers=headers, timeout=limit
            )
            assert status == 503, answer
            assert answer["idempotency_key"] == "stood-still"
        finally:
            signal_bus(f.master, signal.SIGCONT)

        async def answered() -> bool:
            status, answer = await f.master.call("POST", "/v1/fed/apply", body, headers=headers)
            return status == 200 and answer["changes"][0]["op"] == "created"

        await eventually(answered, CONVERGE)
        status, again = await f.master.call("POST", "/v1/fed/apply", body, headers=headers)
        assert (status, again["changes"][0]["revision"]) == (200, 1)
        await f.converged()
