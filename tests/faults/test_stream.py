"""The stream is damaged, deleted, emptied: the master repairs it from its store (guarantees 1 and 9)."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import msgspec
import pytest

from fedbus.bus.session import Connection, Message
from fedbus.bus.topology import STREAMS
from fedbus.model import subjects
from tests.faults.fleet import CONVERGE, Fleet, Writer, alive, blocks, fleet, held, signal_bus
from tests.support.daemons import apply, eventually, group
from tests.support.intruder import intruding


async def _written(f: Fleet, turns: int = 8) -> dict[str, str]:
    """Write enough for positions to be high; return what everybody must hold from then on."""
    for turn in range(turns):
        await apply(f.master, *(group(f"g{n}", f"turn {turn}") for n in range(20)))
    await f.converged()
    return await held(f.master)


async def _repaired(f: Fleet) -> None:
    """Wait until the stream was made anew, under a raised epoch."""

    async def raised() -> bool:
        status, summary = await f.master.call("GET", "/v1/fed/summary")
        return status == 200 and summary["federation"]["epoch"] == 2

    await eventually(raised, CONVERGE)


async def _works_on(f: Fleet, expected: dict[str, str]) -> None:
    """Check that nothing was lost and that later writes still reach everybody."""
    await f.serving()
    assert {k: v for k, v in (await held(f.master)).items() if k in expected} == expected
    await apply(f.master, group("later", "after the repair"), group("g0", "turn last"))
    await f.converged()
    for worker in f.workers.values():
        found = await held(worker)
        assert (found["fed.later"], found["fed.g0"]) == ("after the repair", "turn last")


@pytest.mark.parametrize(
    ("where", "killed"),
    [
        pytest.param(0.3, False, id="superseded"),
        pytest.param(0.98, False, id="newest"),
        pytest.param(0.5, True, id="killed"),
    ],
)
async def test_a_flipped_bit_in_the_stopped_servers_stream_is_repaired_from_the_store(
    tmp_path: Path, where: float, killed: bool
) -> None:
    async with fleet(tmp_path, "up", "down") as f:
        expected = await _written(f)
        assert await f.workers["down"].stop() == 0
        await apply(f.master, group("g1", "while down is away"))
        expected["fed.g1"] = "while down is away"
        await f.converged("up")
        if killed:
            pid = signal_bus(f.master, signal.SIGKILL)
            await f.master.kill()

            async def gone() -> bool:
                return not alive(pid)

            await eventually(gone)
        else:
            assert await f.master.stop() == 0
        block = blocks(f.master)[-1]
        content = bytearray(block.read_bytes())
        content[int(len(content) * where)] ^= 0x10
        block.write_bytes(content)
        await f.master.start()
        await f.workers["down"].start()
        await _repaired(f)
        await f.converged()
        assert "stream_lost_messages" in f.master.log()
        await _works_on(f, expected)


async def test_a_stream_deleted_while_the_master_is_stopped_is_made_anew(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _written(f, 2)
        await f.master.kill()
        shutil.rmtree(f.master.directory / "bus" / "jetstream")
        await f.master.start()
        await f.converged()
        assert await f.epoch() == 2
        await _works_on(f, expected)


async def test_a_stream_deleted_under_a_running_master_is_made_anew(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _written(f, 2)
        async with intruding(f.master.directory) as intruder:
            assert (await intruder.api("$JS.API.STREAM.DELETE.POLICY"))["success"]
        await _repaired(f)
        await f.converged()
        await _works_on(f, expected)


async def test_an_empty_stream_behind_a_stopped_masters_back_wipes_nobody_whatever_is_played_again(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a") as f:
        worker = f.workers["a"]
        # Signed by the master when the federation was empty: the most dangerous thing to hear again.
        oldest = await _checkpoint(f)
        expected = await _written(f, 2)
        assert f.master.process is not None
        f.master.process.send_signal(signal.SIGSTOP)  # the bus goes on without it
        try:
            attached = worker.log().count('"following"')
            async with intruding(f.master.directory) as intruder:
                await intruder.api("$JS.API.STREAM.DELETE.POLICY")
                (config,) = (s for s in STREAMS if s.name == "POLICY")
                await intruder.api("$JS.API.STREAM.CREATE.POLICY", **msgspec.to_builtins(config))

                async def attached_again() -> bool:
                    return worker.log().count('"following"') >= attached + 2

                await eventually(attached_again, 40)
                for _ in range(3):
                    await intruder.connection.publish(
                        subjects.CHECKPOINT, oldest.data, headers=oldest.headers
                    )
                    # It was heard, and answered by deeds if at all, when the worker has said hello again.
                    await _heartbeat(intruder.connection, f.ids["a"])
                    assert await held(worker) == expected
            await worker.kill()  # with no checkpoint in memory the old one is the only one it knows
            await worker.start()
            async with intruding(f.master.directory) as intruder:
                await _heartbeat(intruder.connection, f.ids["a"])
                await intruder.connection.publish(subjects.CHECKPOINT, oldest.data, headers=oldest.headers)
                await _heartbeat(intruder.connection, f.ids["a"])
                assert await held(worker) == expected
        finally:
            f.master.process.send_signal(signal.SIGCONT)
        await f.converged()
        assert await f.epoch() == 2
        await _works_on(f, expected)


async def _checkpoint(f: Fleet) -> Message:
    heard: asyncio.Queue[Message] = asyncio.Queue()
    async with (
        intruding(f.master.directory) as intruder,
        intruder.connection.subscription(subjects.CHECKPOINT, heard.put),
        asyncio.timeout(10),
    ):
        return await heard.get()


async def _heartbeat(connection: Connection, cluster_id: str) -> None:
    """Wait for the second next heartbeat: the first may have been on its way."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    async with (
        connection.subscription(subjects.up(cluster_id, "hb"), heard.put),
        asyncio.timeout(20),
    ):
        await heard.get()
        await heard.get()


async def test_foreign_messages_are_covered_and_send_nobody_back_to_the_beginning(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        expected = await _written(f, 1)
        worker = f.workers["a"]
        async with intruding(f.master.directory) as intruder:
            for name in ("fed.g1", "fed.g2", "fed.unheard-of"):
                event = intruder.forge(name, os.urandom(20), signed=False)
                await intruder.put(event)

        async def covered() -> bool:
            return f.master.log().count("foreign_event_covered") >= 2

        await eventually(covered, 20)
        await f.converged()
        assert await held(worker) == expected
        quarantined = (await worker.get("/v1/fed/quarantine"))["events"]
        assert len(quarantined) == 3
        assert "snapshot_needed" not in worker.log()
        await _works_on(f, expected)


async def test_a_write_that_gets_in_long_after_it_was_given_up_is_taken_up_by_the_master(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "a") as f:
        await _written(f, 1)
        # What a buffer on the way may hold: signed by us, expected by nobody, on an object of its own.
        head = (await f.master.get("/v1/fed/summary"))["federation"]["head_version"]
        async with intruding(f.master.directory) as intruder:
            payload = b'{"name":"fed.straggler","comment":"late"}'
            await intruder.put(intruder.forge("fed.straggler", payload, revision=1, version=head))

        async def folded() -> bool:
            return (await held(f.master)).get("fed.straggler") == "late"

        await eventually(folded, 20)
        await f.converged()
        assert await f.epoch() == 1


async def test_the_master_killed_while_it_rewrites_the_stream_rewrites_it_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "a") as f:
        writer = Writer(f.master)
        for n in range(6):
            await writer.write(f"content {n}", *(f"g{k}" for k in range(50)))
        await f.converged()
        await f.master.kill()
        shutil.rmtree(f.master.directory / "bus" / "jetstream")
        await f.master.start()

        async def began() -> bool:
            return "stream_lost_messages" in f.master.log()

        await eventually(began, 20)
        await f.master.kill()
        await f.master.start()
        await f.converged()
        assert await f.epoch() >= 2
        assert (await held(f.master))["fed.g7"] == "content 5"
