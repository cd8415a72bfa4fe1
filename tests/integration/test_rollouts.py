"""Staged rollouts with real processes: waves, pauses, halts, the way back, and a master that stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fleet import FAST, held
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.intruder import intruding

CANARY = {"selector": {"ring": "canary"}}
OLD, NEW = {"fed.web": "old"}, {"fed.web": "new"}


class Scene:
    """A master with two workers, `canary` and `main`, that hold the old version."""

    def __init__(self, root: Path) -> None:
        self.master = Daemon("master", root / "master", **FAST)
        self.canary, self.main = Daemon("worker", root / "canary"), Daemon("worker", root / "main")
        self.ids: dict[str, str] = {}

    async def begin(self) -> None:
        await promoted(self.master)
        for name, worker in (("canary", self.canary), ("main", self.main)):
            answer = await joined(self.master, worker, name, labels={"ring": name})
            self.ids[name] = answer["id"]
        await apply(self.master, group("web", "old"))
        await synced(self.master, 2)

    async def start(self, *waves: object, **options: object) -> str:
        body = {"documents": [group("web", "new")], "waves": waves or [CANARY, {"percent": 100}]}
        return str((await self.master.post("/v1/fed/rollout", body | options))["id"])

    async def becomes(self, rollout: str, *states: str) -> dict[str, Any]:
        """Wait until a rollout is in one of these states; return it."""

        async def check() -> dict[str, Any] | None:
            status, found = await self.master.call("GET", f"/v1/fed/rollout/{rollout}")
            return found if status == 200 and found["state"] in states else None

        found: dict[str, Any] = await eventually(check, 30.0)
        return found

    async def hold(self, canary: dict[str, str], main: dict[str, str]) -> None:
        """Wait until the workers serve exactly this."""

        async def check() -> bool:
            return (await held(self.canary), await held(self.main)) == (canary, main)

        await eventually(check)

    async def own(self) -> dict[str, int]:
        """Return how many objects of its own each worker reports, once all are synced."""
        return {row["name"]: row["own_objects"] for row in await synced(self.master, 2)}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    async with AsyncExitStack() as stack:
        daemons = (made.master, made.canary, made.main)
        for daemon in daemons:
            stack.push_async_exit(daemon)
        async with asyncio.TaskGroup() as starting:
            for daemon in daemons:
                starting.create_task(daemon.start())
        await made.begin()
        yield made


async def test_a_rollout_goes_wave_by_wave_to_its_end(scene: Scene) -> None:
    rollout = await scene.start(manual=True, comment="a new web")
    await scene.hold(NEW, OLD)
    found = await scene.becomes(rollout, "waiting")
    assert (found["wave"], found["clusters"]) == (1, {"canary": "reached"})
    assert await scene.own() == {"canary": 1, "main": 0}
    assert await held(scene.master) == OLD
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")
    await scene.hold(NEW, NEW)
    await scene.becomes(rollout, "waiting")
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")
    found = await scene.becomes(rollout, "finished")
    await scene.hold(NEW, NEW)
    assert await held(scene.master) == NEW
    assert await scene.own() == {"canary": 0, "main": 0}
    newest = (await scene.master.get("/v1/fed/history?kind=group&name=fed.web"))["revisions"][0]
    assert newest["revision"] == 2
    assert newest["comment"].startswith("a new web")
    status, problem = await scene.master.call("POST", f"/v1/fed/rollout/{rollout}/abort")
    assert (status, problem["reason"]) == (409, "ROLLOUT_STATE")


async def test_a_rollout_with_a_pause_ends_by_itself_and_knows_its_key_again(scene: Scene) -> None:
    body = {
        "documents": [group("web", "new"), group("more")],
        "waves": [{"percent": 50}, {"percent": 100}],
        "pause_seconds": 0.3,
    }
    key = {"Idempotency-Key": "once"}
    tries = [await scene.master.call("POST", "/v1/fed/rollout", body, headers=key) for _ in range(2)]
    assert [status for status, _ in tries] == [201, 201]
    (rollout,) = {answer["id"] for _, answer in tries}
    await scene.becomes(rollout, "finished")
    await scene.hold(NEW | {"fed.more": ""}, NEW | {"fed.more": ""})
    assert [r["id"] for r in (await scene.master.get("/v1/fed/rollout"))["rollouts"]] == [rollout]


async def test_an_aborted_rollout_takes_back_what_it_brought(scene: Scene) -> None:
    rollout = await scene.start(manual=True)
    await scene.hold(NEW, OLD)
    done = await scene.master.post(f"/v1/fed/rollout/{rollout}/abort")
    assert done["state"] == "aborted"
    await scene.hold(OLD, OLD)
    assert await scene.own() == {"canary": 0, "main": 0}
    assert await held(scene.master) == OLD


async def test_a_cluster_that_goes_offline_halts_the_rollout_until_somebody_continues(scene: Scene) -> None:
    rollout = await scene.start(pause_seconds=3600)
    await scene.becomes(rollout, "pausing")
    await scene.canary.stop()
    found = await scene.becomes(rollout, "halted")
    assert found["reason"] == "canary is offline"
    assert found["clusters"] == {"canary": "failed"}
    assert await held(scene.main) == OLD
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")  # in spite of it
    found = await scene.becomes(rollout, "pausing")
    assert found["clusters"] == {"canary": "excused"}
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")  # not waiting for the pause
    found = await scene.becomes(rollout, "pausing")
    assert (found["wave"], found["clusters"]) == (2, {"canary": "excused", "main": "reached"})
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")
    await scene.becomes(rollout, "finished")
    await scene.canary.start()
    await scene.hold(NEW, NEW)
    assert await scene.own() == {"canary": 0, "main": 0}


async def test_a_cluster_that_refuses_events_halts_the_rollout(scene: Scene) -> None:
    rollout = await scene.start(pause_seconds=3600)
    await scene.becomes(rollout, "pausing")
    async with intruding(scene.master.directory) as intruder:
        own = f"c.{scene.ids['canary']}"
        await intruder.put(intruder.forge("fed.evil", b"{}", scope=own, signed=False))
    found = await scene.becomes(rollout, "halted")
    assert found["reason"] == "canary refused 1 events"
    await scene.master.post(f"/v1/fed/rollout/{rollout}/abort")
    await scene.hold(OLD, OLD)


async def test_a_halted_rollout_is_aborted_and_the_cluster_that_was_away_never_keeps_it(scene: Scene) -> None:
    rollout = await scene.start(pause_seconds=3600)
    await scene.becomes(rollout, "pausing")
    await scene.canary.stop()
    await scene.becomes(rollout, "halted")
    await scene.master.post(f"/v1/fed/rollout/{rollout}/abort")
    await scene.canary.start()
    await scene.hold(OLD, OLD)
    assert await scene.own() == {"canary": 0, "main": 0}


@pytest.mark.parametrize("gentle", [True, False])
async def test_a_master_that_starts_again_carries_the_rollout_on(scene: Scene, gentle: bool) -> None:
    rollout = await scene.start(manual=True)
    await scene.becomes(rollout, "waiting")
    if gentle:
        await scene.master.stop()
    else:
        await scene.master.kill()
    assert await held(scene.canary) == NEW
    await scene.master.start()
    found = await scene.becomes(rollout, "waiting")
    assert found["clusters"] == {"canary": "reached"}
    await synced(scene.master, 2)
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")
    await scene.becomes(rollout, "waiting")
    await scene.hold(NEW, NEW)
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")
    await scene.becomes(rollout, "finished")
    assert await scene.own() == {"canary": 0, "main": 0}


async def test_what_a_rollout_brings_is_not_changed_beside_it(scene: Scene) -> None:
    rollout = await scene.start(manual=True)
    deletion = {"kind": "group", "op": "delete", "spec": {"name": "fed.web"}}
    for document in (group("web", "else"), deletion, group("web", "x") | {"target": {"cluster": "main"}}):
        status, problem = await scene.master.call("POST", "/v1/fed/apply", {"documents": [document]})
        assert (status, problem["reason"]) == (409, "IN_ROLLOUT"), document
    body = {"documents": [group("web", "second")], "waves": [CANARY]}
    status, problem = await scene.master.call("POST", "/v1/fed/rollout", body)
    assert (status, problem["reason"]) == (409, "IN_ROLLOUT")
    await apply(scene.master, group("web", "old"), group("other"))  # what stays as it is may be said again
    await scene.master.post(f"/v1/fed/rollout/{rollout}/abort")
    await apply(scene.master, group("web", "else"))


async def test_a_group_that_a_rollout_needs_is_not_deleted(scene: Scene) -> None:
    rule = {
        "kind": "network_rule",
        "spec": {
            "from": "fed.web",
            "to": "external",
            "ports": "any",
            "applications": ["any"],
            "action": "deny",
        },
    }
    body = {"documents": [rule], "waves": [CANARY], "manual": True}
    rollout = (await scene.master.post("/v1/fed/rollout", body))["id"]
    deletion = {"kind": "group", "op": "delete", "spec": {"name": "fed.web"}}
    status, problem = await scene.master.call("POST", "/v1/fed/apply", {"documents": [deletion]})
    assert (status, problem["reason"]) == (409, "IN_ROLLOUT")
    taken = await apply(scene.master, rule)  # the number of the new rule is taken
    (brought,) = (await scene.master.get(f"/v1/fed/rollout/{rollout}"))["objects"]
    assert taken["changes"][0]["name"] != brought[1]


async def test_a_removed_cluster_does_not_hold_a_rollout_up(scene: Scene) -> None:
    rollout = await scene.start(pause_seconds=3600)
    await scene.becomes(rollout, "pausing")
    assert (await scene.master.call("DELETE", f"/v1/fed/cluster/{scene.ids['canary']}"))[0] == 200
    await scene.master.post(f"/v1/fed/rollout/{rollout}/continue")
    found = await scene.becomes(rollout, "pausing")
    assert (found["wave"], found["clusters"]) == (2, {"canary": "gone", "main": "reached"})


BAD: list[tuple[dict[str, object], str]] = [
    ({"waves": []}, "waves"),
    ({"waves": [{"percent": 0}]}, "waves[0].percent"),
    ({"waves": [{"percent": 50}, {"percent": 50}]}, "waves[1].percent"),
    ({"waves": [{"percent": 10, "selector": {"a": "b"}}]}, "waves[0]"),
    ({"waves": [{"selector": {"ring": "nobody"}}]}, "waves[0].selector"),
    ({"pause_seconds": -1}, "pause_seconds"),
    ({"pause_seconds": 5, "manual": True}, "manual"),
    ({"documents": [{"kind": "group", "op": "delete", "spec": {"name": "fed.web"}}]}, "op"),
    ({"documents": [group("web") | {"target": CANARY}]}, "target"),
    ({"documents": [{"kind": "group", "spec": {"name": "web"}}]}, "name"),
    ({"what": 1}, "what"),
]


async def test_bad_rollouts_name_what_is_wrong_and_begin_nothing(tmp_path: Path) -> None:
    async with Daemon("master", tmp_path / "m") as master, Daemon("worker", tmp_path / "w") as worker:
        await promoted(master)
        body: dict[str, object] = {"documents": [group("web")], "waves": [{"percent": 100}]}
        status, problem = await master.call("POST", "/v1/fed/rollout", body)
        assert (status, problem["detail"][:21]) == (422, "no cluster has joined")
        await joined(master, worker, "w", labels={"ring": "main"})
        for change, field in BAD:
            status, problem = await master.call("POST", "/v1/fed/rollout", body | change)
            assert (status, problem["errors"][0]["field"]) == (422, field), (change, problem)
        assert (await master.get("/v1/fed/rollout"))["rollouts"] == []
        assert (await master.call("POST", "/v1/fed/rollout/nothing/continue"))[0] == 404
