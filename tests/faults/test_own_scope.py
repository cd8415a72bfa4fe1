"""What a cluster has of its own survives what the policy for all survives: rewrites, drift, a lost store."""

import json
import shutil
from pathlib import Path

from fedbus.model import events
from tests.faults.fleet import CONVERGE, Fleet, fleet, held, tamper
from tests.support.daemons import apply, eventually, group
from tests.support.intruder import intruding

SELECTED = {"selector": {"env": "prod"}}


async def _own(f: Fleet, name: str, count: int) -> None:
    """Wait until the master shows a worker synced, with so many objects of its own."""

    async def check() -> bool:
        status, summary = await f.master.call("GET", "/v1/fed/summary")
        rows = {r["id"]: r for r in summary.get("clusters", [])} if status == 200 else {}
        row = rows.get(f.ids[name])
        return bool(
            row
            and row["sync"]["state"] == "synced"
            and row["sync"]["digests_equal"]
            and row["own_objects"] == count
        )

    await eventually(check, CONVERGE)


async def _serves(f: Fleet, name: str, expected: dict[str, str]) -> None:
    async def check() -> bool:
        return await held(f.workers[name]) == expected

    await eventually(check, CONVERGE)


async def _label(f: Fleet, name: str, value: str | None) -> None:
    status, answer = await f.master.call(
        "PATCH", f"/v1/fed/cluster/{f.ids[name]}", {"labels": {"env": value}}
    )
    assert status == 200, answer


async def _epoch(f: Fleet, wanted: int) -> None:
    async def raised() -> bool:
        status, summary = await f.master.call("GET", "/v1/fed/summary")
        return status == 200 and summary["federation"]["epoch"] == wanted

    await eventually(raised, CONVERGE)


async def _delete_the_stream(f: Fleet) -> None:
    await f.master.kill()
    shutil.rmtree(f.master.directory / "bus" / "jetstream")
    await f.master.start()


async def test_own_scopes_converge_after_the_stream_was_made_anew_again_and_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "in", "out") as f:
        await _label(f, "in", "prod")
        await apply(f.master, group("all"), group("own", "one") | {"target": SELECTED})
        await _serves(f, "in", {"fed.all": "", "fed.own": "one"})
        for turn in (2, 3):
            await f.workers["in"].stop()  # it learns of all of it when it is back
            await _delete_the_stream(f)
            await _epoch(f, turn)
            await f.workers["in"].start()
            await _own(f, "in", 1)
            await _own(f, "out", 0)
            await f.serving()
            await apply(f.master, group("own", f"turn {turn}") | {"target": SELECTED})
            await _serves(f, "in", {"fed.all": "", "fed.own": f"turn {turn}"})
        await _label(f, "in", None)
        await _label(f, "out", "prod")
        await _serves(f, "in", {"fed.all": ""})
        await _serves(f, "out", {"fed.all": "", "fed.own": "turn 3"})


async def test_a_cluster_whose_own_scope_drifted_is_found_and_repairs_itself(tmp_path: Path) -> None:
    async with fleet(tmp_path, "w") as f:
        await apply(f.master, *(group(n, "own") | {"target": {"cluster": "w"}} for n in "ab"))
        await _own(f, "w", 2)
        worker, scope = f.workers["w"], f"c.{f.ids['w']}"
        await worker.stop()
        # Without a trace: what is left looks as if it had never been more.
        assert tamper(worker.directory / "store.db", "DELETE FROM objects WHERE scope=?", scope) >= 2
        changed = "UPDATE scopes SET digest=?, objects=0 WHERE scope=?"
        assert tamper(worker.directory / "store.db", changed, "0" * 64, scope) == 1
        await worker.start()
        await _serves(f, "w", {"fed.a": "own", "fed.b": "own"})
        await _own(f, "w", 2)


async def test_what_a_cluster_has_and_no_record_of_the_master_says_is_taken_back(tmp_path: Path) -> None:
    async with fleet(tmp_path, "w") as f:
        await apply(f.master, group("own", "kept") | {"target": {"cluster": "w"}})
        await _serves(f, "w", {"fed.own": "kept"})
        payload = json.dumps({"name": "fed.stray", "comment": "nobody's", "criteria": []}).encode()
        async with intruding(f.master.directory) as intruder:
            own = f"c.{f.ids['w']}"
            stray = intruder.forge("fed.stray", payload, scope=own, version=10_000)
            await intruder.put(stray)

            async def taken_back() -> bool:
                newest = await intruder.newest(stray.subject)
                return newest.headers["ce-type"] == events.POLICY_DELETED

            await eventually(taken_back, CONVERGE)
        await _serves(f, "w", {"fed.own": "kept"})
        await _own(f, "w", 1)


async def test_a_master_that_lost_its_store_knows_targets_and_placements_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, "w") as f:
        await apply(f.master, group("own", "kept") | {"target": {"cluster": "w"}})
        await _serves(f, "w", {"fed.own": "kept"})
        await f.master.stop()
        for file in f.master.directory.glob("store.db*"):
            file.unlink()
        await f.master.start()
        await f.serving()
        await _own(f, "w", 1)
        found = await f.master.get("/v1/group/fed.own?scope=fed")
        assert (found["target"], list(found["clusters"].values())) == ({"cluster": "w"}, ["w"])
        history = (await f.master.get("/v1/fed/history?kind=group&name=fed.own"))["revisions"]
        assert [one["target"] for one in history] == [{"cluster": "w"}]
