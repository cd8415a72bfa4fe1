"""A worker between two memberships."""

import asyncio
from pathlib import Path

import msgspec

from fedbus.model.federation import Dismissal, RestInfo
from fedbus.runtime import Clock
from fedbus.settings import WorkerSettings
from fedbus.store.database import Database
from fedbus.web.auth import Authenticator
from fedbus.worker.bootstrap import Bootstrap
from fedbus.worker.lifecycle import Worker
from fedbus.worker.membership import Membership
from tests.support.daemons import eventually

REMOVED = Membership(
    state="removed",
    cluster_id="c1",
    name="shop",
    federation_id="f1",
    federation_name="hub",
    federation_key="",
    ca_pem="",
    bus=RestInfo(),
    joined_at="2026-01-01T00:00:00.000Z",
)


async def test_what_was_folded_behind_the_purge_of_an_ended_membership_goes_too(tmp_path: Path) -> None:
    stop = asyncio.Event()
    auth = Authenticator(tmp_path, clock=Clock().monotonic)
    async with (
        Database(tmp_path / "store.db", "NORMAL") as database,
        Database(tmp_path / "scans.db", "NORMAL", scans=True) as scans,
        asyncio.TaskGroup() as group,
    ):
        worker = Worker(WorkerSettings(data_dir=tmp_path), database, scans, auth, Clock())
        worker.membership = REMOVED
        await database.write(lambda tx: tx.folding("all").save())
        await scans.write(lambda tx: tx.folding("scans").save())

        group.create_task(worker.run(stop))

        async def nothing_left() -> bool:
            left = [await one.read(lambda tx: tx.scopes()) for one in (database, scans)]
            return left == [{}, {}]

        await eventually(nothing_left)
        stop.set()


async def test_a_membership_that_is_ended_twice_at_once_ends_once(tmp_path: Path) -> None:
    auth = Authenticator(tmp_path, clock=Clock().monotonic)
    async with (
        Database(tmp_path / "store.db", "NORMAL") as database,
        Database(tmp_path / "scans.db", "NORMAL", scans=True) as scans,
    ):
        worker = Worker(WorkerSettings(data_dir=tmp_path), database, scans, auth, Clock())
        (tmp_path / "membership").mkdir()
        worker.membership = msgspec.structs.replace(REMOVED, state="joined")
        over = Dismissal(cluster_id="c1", federation_id="f1", reason="left", at="2026-01-01T00:00:00.000Z")

        await asyncio.gather(worker._end(over), worker._end(over))

        assert [record.action for record in await database.read(lambda tx: tx.audit.records())] == ["left"]


async def test_a_token_file_that_is_no_text_is_refused_and_the_worker_stays(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe\x00")
    stop = asyncio.Event()
    auth = Authenticator(tmp_path, clock=Clock().monotonic)
    async with (
        Database(tmp_path / "store.db", "NORMAL") as database,
        Database(tmp_path / "scans.db", "NORMAL", scans=True) as scans,
    ):
        settings = WorkerSettings(data_dir=tmp_path, join_token_file=file, join_name="shop")
        worker = Worker(settings, database, scans, auth, Clock())

        asyncio.get_running_loop().call_later(0.1, stop.set)
        await Bootstrap(worker).run(stop)

        assert worker.membership is None
        assert worker.bootstrap_error is not None
        assert worker.bootstrap_error.code == "TOKEN_GARBLED"
