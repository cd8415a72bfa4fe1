"""Change control with real daemons: preview, history, rollback, and that a lost store keeps the history."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced


@pytest_asyncio.fixture
async def master(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("master", tmp_path / "master") as daemon:
        await promoted(daemon)
        yield daemon


async def history(master: Daemon, kind: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await master.get(f"/v1/fed/history?kind={kind}&name={name}"))["revisions"]
    return found


async def comment_of(master: Daemon, name: str) -> str:
    answer = await master.get(f"/v1/group/{name}")
    return str(answer["group"]["comment"])


async def test_a_preview_names_every_field_and_changes_nothing(master: Daemon) -> None:
    await apply(master, group("web", "first"))
    documents = {"documents": [group("web", "second"), group("db")]}
    preview = await master.post("/v1/fed/apply?dry_run=true", documents)
    changed, created = preview["changes"]
    assert (changed["op"], changed["diff"]) == (
        "updated",
        [{"path": "comment", "before": "first", "after": "second"}],
    )
    assert created["op"] == "created"
    assert await comment_of(master, "fed.web") == "first"
    assert (await master.call("GET", "/v1/group/fed.db"))[0] == 404


async def test_a_preview_refuses_what_apply_would_refuse(master: Daemon) -> None:
    status, problem = await master.call("POST", "/v1/fed/apply?dry_run=true", {"documents": [{"kind": "no"}]})
    assert (status, bool(problem["errors"])) == (422, True)


async def test_a_preview_of_more_than_one_change_can_hold_is_refused_like_the_change(master: Daemon) -> None:
    documents = {"documents": [group(f"g{number}") for number in range(5000)]}
    for path in ("/v1/fed/apply?dry_run=true", "/v1/fed/apply"):
        status, problem = await master.call("POST", path, documents)
        assert (status, problem["reason"]) == (422, "CHANGESET_TOO_LARGE")
        assert "5000" in problem["detail"]
        assert "1000" in problem["detail"]
        assert "parts of at most 1000" in problem["remedy"]
    assert (await master.get("/v1/group"))["groups"] == []


async def test_a_change_for_no_cluster_says_so_before_and_after(master: Daemon, tmp_path: Path) -> None:
    for_gold = group("web") | {"target": {"selector": {"tier": "gold"}}}
    for_nobody = group("db") | {"target": {"cluster": "nobody"}}
    documents = {"documents": [for_gold, for_nobody, group("all")]}
    async with Daemon("worker", tmp_path / "a") as worker:
        await joined(master, worker, "a", labels={"tier": "gold"})
        preview = (await master.post("/v1/fed/apply?dry_run=true", documents))["changes"]
        done = (await master.post("/v1/fed/apply", documents))["changes"]
    assert [one.get("clusters") for one in preview] == [1, 0, None]
    assert [one.get("clusters") for one in done] == [1, 0, None]


async def test_history_says_who_changed_what_and_why(master: Daemon) -> None:
    await apply(master, group("web", "first"))
    await master.post("/v1/fed/apply", {"documents": [group("web", "second")], "comment": "ticket 7"})
    await apply(master, {"kind": "group", "op": "delete", "spec": {"name": "fed.web"}})
    deleted, updated, created = await history(master, "group", "fed.web")
    assert [one["op"] for one in (deleted, updated, created)] == ["deleted", "updated", "created"]
    assert (updated["comment"], updated["actor"], updated["from"]) == ("ticket 7", "local", "127.0.0.1")
    assert updated["diff"] == [{"path": "comment", "before": "first", "after": "second"}]
    newest = (await master.get("/v1/fed/history?limit=1"))["revisions"]
    assert [one["revision"] for one in newest] == [3]


async def test_rollback_of_an_object_is_a_new_revision_that_reaches_the_workers(
    master: Daemon, tmp_path: Path
) -> None:
    async with Daemon("worker", tmp_path / "a") as worker:
        await joined(master, worker, "a")
        await apply(master, group("web", "good"))
        await apply(master, group("web", "bad"))
        target = {"kind": "group", "name": "fed.web", "revision": 1, "comment": "was bad"}
        done = await master.post("/v1/fed/rollback", target)
        assert done["changes"][0]["revision"] == 3
        await synced(master, 1)
        assert await comment_of(worker, "fed.web") == "good"


async def test_rollback_of_a_changeset_brings_back_all_it_deleted(master: Daemon) -> None:
    rule = {"from": "fed.web", "to": "external", "ports": "any", "applications": ["any"], "action": "allow"}
    await apply(master, group("web"), {"kind": "network_rule", "spec": rule})
    gone = await apply(master, {"kind": "group", "op": "delete", "spec": {"name": "fed.web"}})
    assert (await master.get("/v1/policy/rule?scope=fed"))["rules"] == []
    await master.post("/v1/fed/rollback", {"changeset": gone["changeset"]})
    assert len((await master.get("/v1/policy/rule?scope=fed"))["rules"]) == 1
    assert len(await history(master, "group", "fed.web")) == 3


async def test_rollback_of_a_creation_deletes(master: Daemon) -> None:
    made = await apply(master, group("web"))
    await master.post("/v1/fed/rollback", {"changeset": made["changeset"]})
    assert (await master.call("GET", "/v1/group/fed.web"))[0] == 404


async def test_a_changeset_whose_objects_changed_since_is_not_rolled_back_unless_forced(
    master: Daemon,
) -> None:
    first = await apply(master, group("web", "first"))
    await apply(master, group("web", "second"))
    status, problem = await master.call("POST", "/v1/fed/rollback", {"changeset": first["changeset"]})
    assert (status, problem["reason"]) == (409, "CHANGED_SINCE")
    await master.post("/v1/fed/rollback", {"changeset": first["changeset"], "force": True})
    assert (await master.call("GET", "/v1/group/fed.web"))[0] == 404


async def test_what_came_back_must_still_fit(master: Daemon) -> None:
    rule = {"from": "fed.web", "to": "external", "ports": "any", "applications": ["any"], "action": "allow"}
    await apply(master, group("web"))
    await apply(master, {"kind": "network_rule", "spec": rule})
    await apply(master, {"kind": "group", "op": "delete", "spec": {"name": "fed.web"}})
    target = {"kind": "network_rule", "name": "100001", "revision": 1}
    status, problem = await master.call("POST", "/v1/fed/rollback", target)
    assert (status, problem["errors"][0]["field"]) == (422, "from")


async def test_unknown_revisions_and_half_named_targets_are_refused(master: Daemon) -> None:
    await apply(master, group("web"))
    for target, expected in (
        ({"kind": "group", "name": "fed.web", "revision": 9}, 404),
        ({"changeset": "nowhere"}, 404),
        ({"kind": "group"}, 422),
        ({"kind": "group", "name": "fed.web", "revision": 1, "changeset": "x"}, 422),
        ({"kind": "group", "name": "fed.web", "revision": "1"}, 422),
        ({"other": 1}, 422),
    ):
        assert (await master.call("POST", "/v1/fed/rollback", target))[0] == expected, target


async def test_a_master_that_lost_its_store_has_its_history_again(tmp_path: Path) -> None:
    directory = tmp_path / "master"
    async with Daemon("master", directory) as master:
        await promoted(master)
        await apply(master, group("web", "first"))
        await apply(master, group("web", "second"))
        await master.stop()
        for file in directory.glob("store.db*"):
            file.unlink()
        await master.start()

        async def remembered() -> list[Any]:
            status, answer = await master.call("GET", "/v1/fed/history?kind=group&name=fed.web")
            return answer.get("revisions", []) if status == 200 else []

        assert [one["revision"] for one in await eventually(remembered)] == [2, 1]
