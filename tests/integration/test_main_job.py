"""The main job with real processes: promote, join, publish, see it everywhere, remove."""

from pathlib import Path

from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced


async def test_policy_reaches_every_worker_and_goes_when_one_is_removed(tmp_path: Path) -> None:
    async with Daemon("master", tmp_path / "master") as master:
        await promoted(master)
        async with Daemon("worker", tmp_path / "a") as a, Daemon("worker", tmp_path / "b") as b:
            await joined(master, a, "a")
            joined_b = await joined(master, b, "b")
            answer = await apply(master, group("web"), group("db"))
            assert [c["op"] for c in answer["changes"]] == ["created", "created"]
            await synced(master, 2)
            for worker in (a, b):
                found = await worker.get("/v1/group?scope=fed")
                assert sorted(g["name"] for g in found["groups"]) == ["fed.db", "fed.web"]
            status, _ = await master.call("DELETE", f"/v1/fed/cluster/{joined_b['id']}")
            assert status == 200

            async def purged() -> bool:
                return not (await b.get("/v1/group?scope=fed"))["groups"]

            await eventually(purged)
            assert (await b.get("/v1/fed/member"))["membership"] == "removed"
