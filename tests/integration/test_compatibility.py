"""Masters and workers of different builds in one federation (guarantee 7, and no crash)."""

from pathlib import Path
from typing import Any

from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.doctored import OtherBuild


async def row_of(master: Daemon, name: str, **expected: object) -> dict[str, Any]:
    """Wait until a cluster's row says what is expected."""

    async def check() -> dict[str, Any] | None:
        rows = {row["name"]: row for row in (await master.get("/v1/fed/summary"))["clusters"]}
        row = rows[name]
        return row if {key: row[key] for key in expected} == expected else None

    found: dict[str, Any] = await eventually(check)
    return found


async def applied(worker: Daemon, name: str, comment: str) -> None:
    async def check() -> bool:
        status, answer = await worker.call("GET", f"/v1/group/fed.{name}?scope=fed")
        return status == 200 and answer["group"]["comment"] == comment

    await eventually(check)


async def test_neighbours_work_together_and_show_the_version_they_agreed_on(tmp_path: Path) -> None:
    master, older = OtherBuild("master", tmp_path / "master"), OtherBuild("worker", tmp_path / "older")
    newer = OtherBuild("worker", tmp_path / "newer")
    master.speaks, older.speaks, newer.speaks = (1, 2), (1, 1), (2, 3)
    async with master, older, newer:
        await promoted(master)
        await joined(master, older, "older")
        await joined(master, newer, "newer")
        await apply(master, group("web", "one"))

        rows = {row["name"]: row["version"] for row in await synced(master, 2)}

        assert {name: version["protocol"] for name, version in rows.items()} == {"older": 1, "newer": 2}
        assert all(version["compatible"] for version in rows.values())
        await applied(older, "web", "one")
        await applied(newer, "web", "one")
        mine = (await newer.get("/v1/fed/summary"))["clusters"][0]["version"]
        assert (mine["protocol"], mine["protocol_max"]) == (2, 3)


async def test_a_worker_without_a_common_version_is_not_let_in_and_may_come_back_upgraded(
    tmp_path: Path,
) -> None:
    worker = OtherBuild("worker", tmp_path / "worker")
    worker.speaks = (7, 9)
    async with Daemon("master", tmp_path / "master") as master, worker:
        await promoted(master)
        token = (await master.post("/v1/fed/join_token", {"uses": 2}))["join_token"]
        asked = {"name": "shop", "join_token": token}

        status, answer = await worker.call("POST", "/v1/fed/join", asked)

        assert (status, answer["reason"]) == (426, "PROTOCOL_UNSUPPORTED")
        assert "7 to 9" in answer["detail"]
        assert "upgrade the master" in answer["detail"]
        await worker.become(speaks=(1, 2))
        assert (await worker.call("POST", "/v1/fed/join", asked))[0] == 200
        await synced(master, 1)


async def test_a_member_that_is_upgraded_too_far_says_so_and_serves_what_it_holds(tmp_path: Path) -> None:
    worker = OtherBuild("worker", tmp_path / "worker")
    async with OtherBuild("master", tmp_path / "master") as master, worker:
        await promoted(master)
        await joined(master, worker, "shop")
        await apply(master, group("web", "one"))
        await synced(master, 1)

        await worker.become(speaks=(2, 3))

        row = await row_of(master, "shop", status="joint_version_too_new")
        assert (row["version"]["compatible"], row["version"]["protocol"]) == (False, None)
        assert row["link"]["state"] == "online"

        async def told() -> bool:
            member = await worker.get("/v1/fed/member")
            return bool(member["master_cluster"]["status"] == "master_upgrade_required")

        await eventually(told)
        await applied(worker, "web", "one")

        await master.become(speaks=(3, 4))  # too far for nobody: 3 is common
        assert (await row_of(master, "shop", status="synced"))["version"]["protocol"] == 3

        await master.become(speaks=(4, 5))
        await row_of(master, "shop", status="joint_upgrade_required")
        await applied(worker, "web", "one")
