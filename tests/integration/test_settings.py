"""The federation's settings over REST: validated, versioned, audited, in force at once."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

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
        {"poll_interval": "2"},
        {"pol_interval": 2},
        {"max_clusters": 0},
        {"name": "not a name"},
        [],
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(master: Daemon, changes: object) -> None:
    before = await master.get("/v1/fed/config")
    status, problem = await master.call("PATCH", "/v1/fed/config", changes)
    assert status in (400, 422), problem
    assert await master.get("/v1/fed/config") == before


@pytest.mark.parametrize(
    ("body", "if_match", "expected"),
    [
        ({"token_minutes": 5, "revision": 0}, None, (409, "REVISION_STALE")),
        ({"name": "other", "revision": 0}, None, (409, "REVISION_STALE")),
        ({"token_minutes": 5}, '"0"', (412, "PRECONDITION_FAILED")),
        ({"token_minutes": 5}, "what I read", (412, "PRECONDITION_FAILED")),
        ({"name": "other"}, '"0"', (412, "PRECONDITION_FAILED")),
    ],
)
async def test_a_change_of_what_was_not_read_is_refused(
    master: Daemon, body: dict[str, Any], if_match: str | None, expected: tuple[int, str]
) -> None:
    _, before = await master.call("PATCH", "/v1/fed/config", {"token_minutes": 30})
    headers = {"If-Match": if_match} if if_match else {}
    status, problem = await master.call("PATCH", "/v1/fed/config", body, headers=headers)
    assert ((status, problem["reason"]), problem["current_revision"]) == (expected, 1)
    assert await master.get("/v1/fed/config") == before


async def test_an_idempotency_key_of_another_change_is_refused(master: Daemon) -> None:
    headers = {"Idempotency-Key": "k1"}
    for minutes, expected in ((30, 200), (30, 200), (5, 422)):
        status, answer = await master.call(
            "PATCH", "/v1/fed/config", {"token_minutes": minutes}, headers=headers
        )
        assert status == expected, answer
    assert (await master.get("/v1/fed/config"))["revision"] == 1


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


async def test_what_neuvectors_console_always_sends_changes_nothing_by_itself(
    master: Daemon, tmp_path: Path
) -> None:
    async with Daemon("worker", tmp_path / "a") as worker:
        await joined(master, worker, "a")
        before = await master.get("/v1/fed/config")
        own = before["federation"]
        body = {"name": own["name"], "master_rest_info": own["bus"], "poll_interval": 2, "use_proxy": ""}
        assert await master.call("PATCH", "/v1/fed/config", body) == (200, before)


async def test_settings_and_addresses_that_are_asked_together_are_changed_together_or_not_at_all(
    master: Daemon, tmp_path: Path
) -> None:
    both = {"name": "centre", "token_minutes": 30}
    status, after = await master.call("PATCH", "/v1/fed/config", both | {"revision": 0})
    assert (status, after["federation"]["name"], after["token_minutes"]) == (200, "centre", 30)
    status, _ = await master.call(
        "PATCH", "/v1/fed/config", {"name": "other", "token_minutes": 5, "revision": 0}
    )
    assert (status, await master.get("/v1/fed/config")) == (409, after)
    async with Daemon("worker", tmp_path / "a") as worker:
        await joined(master, worker, "a")
        status, _ = await master.call("PATCH", "/v1/fed/config", {"name": "other", "token_minutes": 5})
        assert (status, await master.get("/v1/fed/config")) == (409, after)


async def test_changes_of_settings_and_of_the_name_are_audited_with_who_and_from_where(
    master: Daemon,
) -> None:
    await master.call("PATCH", "/v1/fed/config", {"name": "centre", "token_minutes": 30})

    def records() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in master.log().splitlines() if line.startswith("{")]
        return [one for one in lines if one.get("event") == "audit" and one["category"] == "configuration"]

    async def told() -> list[dict[str, Any]] | None:
        return found if len(found := records()) == 2 else None

    settings, name = await eventually(told)
    assert (settings["action"], settings["actor"]) == ("settings changed", "local from 127.0.0.1")
    assert (name["action"], name["actor"]) == ("name or address changed", "local from 127.0.0.1")
    assert "hub" in name["detail"]
    assert "centre" in name["detail"]


async def test_no_more_clusters_join_than_the_settings_allow(master: Daemon, tmp_path: Path) -> None:
    await master.call("PATCH", "/v1/fed/config", {"max_clusters": 1})
    async with Daemon("worker", tmp_path / "a") as first, Daemon("worker", tmp_path / "b") as second:
        await joined(master, first, "a")
        made = await master.post("/v1/fed/join_token", {"uses": 2})
        body = {"name": "b", "join_token": made["join_token"]}
        status, problem = await second.call("POST", "/v1/fed/join", body)
        assert (status, problem["reason"]) == (403, "CLUSTER_LIMIT")
        await master.call("PATCH", "/v1/fed/config", {"max_clusters": 2})
        assert (await second.call("POST", "/v1/fed/join", body))[0] == 200


async def test_the_toggle_of_ci_results_can_be_set_at_promote_and_is_shown_with_the_members(
    tmp_path: Path,
) -> None:
    async with Daemon("master", tmp_path / "master") as master:
        await master.post("/v1/fed/promote", {"name": "hub", "deploy_repo_scan_data": True})
        assert (await master.get("/v1/fed/member"))["deploy_repo_scan_data"] is True
