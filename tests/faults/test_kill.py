"""kill -9 of each process in the middle of a stream of writes (guarantees 1 and 2)."""

import asyncio
import signal
from pathlib import Path

from tests.faults.fleet import Fleet, Writer, fleet, held, history, journal, signal_bus, writing
from tests.support import validator
from tests.support.daemons import Daemon, eventually


async def test_no_process_killed_in_mid_write_loses_or_doubles_an_acknowledged_write(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a", "b") as f:
        for worker in f.workers.values():
            await worker.kill()
            validator.keep_journal(worker.directory / "store.db")
            await worker.start()
        writer = Writer(f.master)
        async with writing(writer) as more:
            for _ in range(2):
                await more(15)
                signal_bus(f.master, signal.SIGKILL)
                await more(15)
                await f.workers["a"].kill()
                await more(15)
                await f.workers["a"].start()
                await f.master.kill()
                await f.master.start()
                await more(5)
                async with asyncio.TaskGroup() as group:  # two at once
                    group.create_task(_again(f.workers["b"]))
                    group.create_task(_again(f.master))
            await more(10)
        await f.converged()
        verdict = await _judge(f, writer)
        assert verdict.ok, verdict
        assert await f.epoch() == 1  # nothing was lost, so nothing was rewritten
        assert writer.unknown, "the faults hit no write: they prove nothing"


async def _again(daemon: Daemon) -> None:
    await daemon.kill()
    await daemon.start()


async def _judge(f: Fleet, writer: Writer) -> validator.Verdict:
    scopes = {name: (await f.snapshot(name))["all"]["digest"] for name in f.workers}
    return validator.judge(
        writer.acknowledged,
        await history(f.master),
        {name: journal(worker) for name, worker in f.workers.items()},
        {"master": await held(f.master)} | {n: await held(w) for n, w in f.workers.items()},
        scopes,
    )


async def test_a_stopped_bus_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        writer = Writer(f.master)
        async with writing(writer) as more:
            await more(10)
            signal_bus(f.master, signal.SIGSTOP)
            try:

                async def in_doubt() -> bool:
                    return writer.unknown > 0

                await eventually(in_doubt, 30)
            finally:
                signal_bus(f.master, signal.SIGCONT)
            await more(20)
        await f.converged()
        digest = (await f.snapshot("a"))["all"]["digest"]
        verdict = validator.judge(
            writer.acknowledged, await history(f.master), {}, {"m": await held(f.master)}, {"a": digest}
        )
        assert verdict.ok, verdict
        assert await f.epoch() == 1
