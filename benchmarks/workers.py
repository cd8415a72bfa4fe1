"""A child process with many workers: `python -m benchmarks.workers DIR TOKEN_FILE FIRST COUNT [AT_ONCE]`.

Each has its own connection, credential and SQLite file, as a worker daemon; what they do not have is a
REST API each.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from benchmarks.bare import BEGAN
from benchmarks.stopwatch import Stopwatch, TimedHub, end_with_parent, take_stdout
from fedbus import log
from fedbus.model.federation import Dismissal, RestInfo
from fedbus.pki.credentials import Credentials
from fedbus.pki.join_token import JoinToken
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.runtime import Clock, stop_on_signals
from fedbus.store.database import Database
from fedbus.worker import dialogue
from fedbus.worker.federation import ActiveMembership
from fedbus.worker.membership import Membership, MembershipFiles

AT_ONCE = 4
"""Joins at a time, where a join is not what is measured."""


async def main(directory: Path, token: JoinToken, numbers: range, at_once: int, stopwatch: Stopwatch) -> None:
    stop, joining = asyncio.Event(), asyncio.Semaphore(at_once)
    with stop_on_signals(stop):
        async with asyncio.TaskGroup() as group:
            for number in numbers:
                name = f"w{number}"
                group.create_task(_worker(directory / name, token, joining, stopwatch, stop), name=name)


async def _worker(
    directory: Path, token: JoinToken, joining: asyncio.Semaphore, stopwatch: Stopwatch, stop: asyncio.Event
) -> None:
    clock, files = Clock(), MembershipFiles(directory)
    stopwatch.reached(directory.name, BEGAN)
    async with joining:
        membership = await _join(directory.name, token, files, clock)
    async with (
        Database(directory / "store.db", "NORMAL") as database,
        Database(directory / "scans.db", "NORMAL", scans=True) as scans,
    ):
        active = ActiveMembership(
            membership=membership,
            files=files,
            database=database,
            scans=scans,
            clock=clock,
            hub=TimedHub(stopwatch, membership.name),
            on_ended=_ended,
        )
        await active.run(stop)


async def _join(name: str, token: JoinToken, files: MembershipFiles, clock: Clock) -> Membership:
    bus, renew = (KeyPair.new(KeyType.USER, clock.random_bytes(32)) for _ in range(2))
    server = RestInfo(server=token.server, port=token.port)
    who, keys = dialogue.Joining(name=name), dialogue.Keys(bus, renew)
    answer = await dialogue.join(token, keys, who, (server,), clock.now())
    credentials = Credentials(answer.jwt, bus.seed), Credentials(answer.renew_jwt, renew.seed)
    return files.store(answer, *credentials, bus_at=server, at=clock.stamp(), token_hash="")


async def _ended(dismissal: Dismissal) -> None:
    raise RuntimeError(f"dismissed: {dismissal.reason}")


if __name__ == "__main__":
    out = take_stdout()
    end_with_parent()
    log.set_up("warning")
    _, where, token_file, number, size, *most = sys.argv
    join_token = JoinToken.decode(Path(token_file).read_text())
    those = range(int(number), int(number) + int(size))
    limit = int(most[0]) if most else AT_ONCE
    uvloop.run(main(Path(where), join_token, those, limit, Stopwatch(out, int(size))))
