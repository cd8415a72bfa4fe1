"""The federation's settings over REST: validated, versioned, audited, in force at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.daemons import Daemon, eventually, joined, promoted, synced


@pytest_asyncio.fixture
async def master(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("master", tmp_path / "master") as daemon:
        await promoted(daemon)
        yield daemon


async def test_a_change_is_in_force_at_once_and_after_a_restart(master: Daemon) -> None:
    before = await master.get("/v1/fed/config")
    assert (before["heartbeat_interval"], before["deploy_repo_scan_data"]) == (10.0, False)
    changes = {"heartbeat_interval": 2.5, "deploy_repo_scan_data": True}
    status, after = await master.call("PATCH", "/v1/fed/config", changes)
    assert (status, after["set"]) == (200, changes)
    await master.stop()
    await master.start()

    async def there() -> bool:
        status, answer = await master.call("GET", "/v1/fed/config")
        return status == 200 and bool(answer["heartbeat_interval"] == 2.5) and bool(answer["revision"] == 1)

    await eventually(there)


async def test_workers_take_up_a_new_heartbeat_interval(tmp_path: Path) -> None:
    async with (
        Daemon("master", tmp_path / "master", checkpoint_interval=1) as master,
        Daemon("worker", tmp_path / "a") as worker,
    ):
        await promoted(master)
        await joined(master, worker, "a")
        await synced(master, 1)
        await master.call("PATCH", "/v1/fed/config", {"heartbeat_interval": 1})

        async def frequent() -> bool:
            rows = (await master.get("/v1/fed/summary"))["clusters"]
            return any(r["last_heartbeat_age_seconds"] < 1 for r in rows if r["role"] == "joint")

        async def taken_up() -> bool:
            return bool((await worker.get("/v1/fed/config"))["heartbeat_interval"] == 1.0)

        await eventually(taken_up)
        await eventually(frequent)


async def test_null_takes_a_setting_back(master: Daemon) -> None:
    await master.call("PATCH", "/v1/fed/config", {"heartbeat_interval": 3})
    _, answer = await master.call("PATCH", "/v1/fed/config", {"heartbeat_interval": None})
    assert (answer["heartbeat_interval"], answer["set"], answer["revision"]) == (10.0, {}, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"heartbeat_interval": 0},
        {"heartbeat_interval": "5"},
        {"worker_jwt_days": 1000},
        {"token_minutes": 1.5},
        {"deploy_repo_scan_data": 1},
        {"poll_interval": 2},
        {"name": "not a name"},
        [],
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(master: Daemon, changes: object) -> None:
    before = await master.get("/v1/fed/config")
    status, problem = await master.call("PATCH", "/v1/fed/config", changes)
    assert status in (400, 422), problem
    assert await master.get("/v1/fed/config") == before


async def test_a_stale_revision_is_a_conflict(master: Daemon) -> None:
    await master.call("PATCH", "/v1/fed/config", {"token_minutes": 30})
    for guard in (
        {"json": {"token_minutes": 5, "revision": 0}},
        {"json": {"token_minutes": 5}, "headers": {"If-Match": '"0"'}},
    ):
        status, problem = await master.call("PATCH", "/v1/fed/config", **guard)
        assert (status, problem["current_revision"]) == (409, 1)


async def test_name_and_addresses_are_read_only_while_clusters_are_joined(
    master: Daemon, tmp_path: Path
) -> None:
    changes = {"name": "centre", "master_rest_info": {"server": "localhost", "port": 0}}
    status, answer = await master.call("PATCH", "/v1/fed/config", changes)
    assert (status, answer["federation"]["name"]) == (200, "centre")
    async with Daemon("worker", tmp_path / "a") as worker:
        await joined(master, worker, "a")
        await synced(master, 1)
        assert (await worker.get("/v1/fed/member"))["master_cluster"]["rest_info"]["server"] == "localhost"
        status, problem = await master.call("PATCH", "/v1/fed/config", {"name": "other"})
        assert (status, problem["reason"]) == (409, "FEDERATION_IN_USE")
