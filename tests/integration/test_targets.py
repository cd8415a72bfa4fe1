"""Targets with real processes: a selector reaches whom it names, and follows labels, joins and removals."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fleet import FAST, held
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced

PROD = {"selector": {"env": "prod"}}


def targeted(name: str, target: dict[str, Any], comment: str = "") -> dict[str, Any]:
    return group(name, comment) | {"target": target}


async def holds(daemon: Daemon, expected: dict[str, str]) -> None:
    """Wait until a daemon serves exactly these groups."""

    async def check() -> bool:
        return await held(daemon) == expected

    try:
        await eventually(check)
    except AssertionError as error:
        raise AssertionError(f"{await held(daemon)} instead of {expected}") from error


async def join(master: Daemon, worker: Daemon, name: str, **labels: str) -> str:
    """Join a worker whose token gives it labels; return its id."""
    return str((await joined(master, worker, name, labels=labels))["id"])


async def label(master: Daemon, cluster: str, labels: dict[str, str | None]) -> tuple[int, dict[str, Any]]:
    return await master.call("PATCH", f"/v1/fed/cluster/{cluster}", {"labels": labels})


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("master", tmp_path / "master", **FAST) as daemon:
        await promoted(daemon)
        yield daemon


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("worker", tmp_path / "shop") as daemon:
        yield daemon


async def test_a_selector_follows_labels_joins_edits_and_removals(
    master: Daemon, worker: Daemon, tmp_path: Path
) -> None:
    shop = await join(master, worker, "shop", env="prod")
    await apply(master, group("every"), targeted("prod", PROD, "v1"))
    await holds(worker, {"fed.every": "", "fed.prod": "v1"})
    async with Daemon("worker", tmp_path / "lab") as other:
        lab = await join(master, other, "lab", env="test")
        await holds(other, {"fed.every": ""})

        # into the selector and out of it, by labels
        assert (await label(master, lab, {"env": "prod", "tier": "web"}))[0] == 200
        await holds(other, {"fed.every": "", "fed.prod": "v1"})
        found = await master.get("/v1/group/fed.prod?scope=fed")
        assert found["target"] == PROD
        assert found["clusters"] == {shop: "shop", lab: "lab"}
        rows = {row["name"]: row for row in await synced(master, 2)}
        assert rows["lab"]["labels"] == {"env": "prod", "tier": "web"}
        assert {row["own_objects"] for row in rows.values()} == {1}
        assert (await label(master, shop, {"env": None}))[0] == 200
        await holds(worker, {"fed.every": ""})

        # a new version and another selector are one change for those who keep it, come or go
        await apply(master, targeted("prod", {"selector": {"matchExpressions": [
            {"key": "tier", "operator": "Exists"}]}}, "v2"))  # fmt: skip
        await holds(other, {"fed.every": "", "fed.prod": "v2"})

        # removed: everything goes, and it is counted nowhere
        assert (await master.call("DELETE", f"/v1/fed/cluster/{lab}"))[0] == 200
        await holds(other, {})
        assert (await master.get("/v1/group/fed.prod?scope=fed"))["clusters"] == {}
    assert [row["name"] for row in await synced(master, 1)] == ["shop"]


async def test_a_cluster_that_joins_into_a_selector_has_the_object_from_the_beginning(
    master: Daemon, worker: Daemon
) -> None:
    answer = await apply(master, targeted("prod", PROD), targeted("shop", {"selector": {"name": "none"}}))
    assert [(c["kind"], c["name"], c["op"], c["revision"]) for c in answer["changes"]] == [
        ("group", "fed.prod", "created", 1),
        ("group", "fed.shop", "created", 1),
    ]
    await join(master, worker, "shop", env="prod")
    await holds(worker, {"fed.prod": ""})
    await synced(master, 1)


async def test_one_cluster_is_named_by_name_or_id(master: Daemon, worker: Daemon, tmp_path: Path) -> None:
    async with Daemon("worker", tmp_path / "lab") as other:
        shop, _ = await join(master, worker, "shop"), await join(master, other, "lab")
        await apply(master, targeted("a", {"cluster": "lab"}), targeted("b", {"cluster": shop}))
        await holds(worker, {"fed.b": ""})
        await holds(other, {"fed.a": ""})


async def test_an_object_moves_between_targets_and_all_in_one_change(master: Daemon, worker: Daemon) -> None:
    await join(master, worker, "shop", env="prod")
    await apply(master, group("web", "all"))
    moved = await apply(master, targeted("web", PROD, "prod"))
    assert [c["name"] for c in moved["changes"]] == ["fed.web"]
    await holds(worker, {"fed.web": "prod"})
    assert (await master.get("/v1/group?scope=fed"))["targets"] == {"fed.web": PROD}
    await apply(master, group("web", "all again"))
    await holds(worker, {"fed.web": "all again"})
    found = (await master.get("/v1/fed/history?kind=group&name=fed.web"))["revisions"]
    assert [(r["op"], r.get("target")) for r in found if r["op"] != "deleted"] == [
        ("created", None),
        ("created", PROD),
        ("created", None),
    ]
    await master.post("/v1/fed/rollback", {"changeset": moved["changeset"], "force": True})
    await holds(worker, {"fed.web": "all"})
    deleted = {"kind": "group", "op": "delete", "spec": {"name": "fed.web"}}
    await apply(master, targeted("web", PROD))
    await holds(worker, {"fed.web": ""})
    await apply(master, deleted)
    await holds(worker, {})
    await synced(master, 1)


async def test_a_rollback_brings_back_content_and_target(master: Daemon, worker: Daemon) -> None:
    await join(master, worker, "shop", env="prod")
    await apply(master, targeted("web", PROD, "one"))
    changed = await apply(master, targeted("web", {"selector": {"env": "test"}}, "two"))
    await holds(worker, {})
    await master.post("/v1/fed/rollback", {"changeset": changed["changeset"]})
    await holds(worker, {"fed.web": "one"})
    await master.post("/v1/fed/rollback", {"kind": "group", "name": "fed.web", "revision": 2})
    await holds(worker, {})


async def test_a_preview_shows_a_changed_target_and_changes_nothing(master: Daemon) -> None:
    await apply(master, targeted("web", PROD))
    body = {"documents": [targeted("web", {"cluster": "shop"})]}
    done = await master.post("/v1/fed/apply?dry_run=true", body)
    (change,) = done["changes"]
    assert (change["kind"], change["op"]) == ("group", "updated")
    assert {item["path"].split(".")[0] for item in change["diff"]} == {"target"}
    assert (await master.get("/v1/group/fed.web?scope=fed"))["target"] == PROD


RULE = {"from": "fed.web", "to": "external", "ports": "any", "applications": ["any"], "action": "allow"}


async def test_a_rule_needs_its_groups_for_all_or_with_its_own_target(master: Daemon) -> None:
    rule = {"kind": "network_rule", "spec": RULE}
    await apply(master, targeted("web", PROD))
    for target in ({}, {"target": {"cluster": "shop"}}):
        status, problem = await master.call("POST", "/v1/fed/apply", {"documents": [rule | target]})
        assert (status, problem["errors"][0]["field"]) == (422, "from")
    await apply(master, rule | {"target": PROD})
    # the group cannot move away from the rule, and takes it along when it goes
    status, problem = await master.call(
        "POST", "/v1/fed/apply", {"documents": [targeted("web", {"cluster": "x"})]}
    )
    assert status == 422, problem
    await apply(master, group("web"))
    gone = await apply(master, {"kind": "group", "op": "delete", "spec": {"name": "fed.web"}})
    assert sorted((c["kind"], c["op"]) for c in gone["changes"]) == [
        ("group", "deleted"),
        ("network_rule", "deleted"),
    ]


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({"selector": {}}, "target.selector"),
        ({"selector": {"env": 1}}, "target.selector.env"),
        ({"selector": {"bad key": "x"}}, "target.selector"),
        ({"cluster": "a", "selector": {"env": "x"}}, "target"),
        ("prod", "target"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}},
         "target.selector.matchExpressions[0].operator"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
         "target.selector.matchExpressions[0].values"),
    ],
)  # fmt: skip
async def test_a_bad_target_names_its_field(master: Daemon, target: object, field: str) -> None:
    document = group("web") | {"target": target}
    status, problem = await master.call("POST", "/v1/fed/apply", {"documents": [document]})
    assert (status, problem["errors"][0]["field"]) == (422, field)


async def test_bad_labels_change_nothing(master: Daemon, worker: Daemon) -> None:
    shop = await join(master, worker, "shop", env="prod")
    bad: list[dict[str, str | None]]
    bad = [{"bad key": "x"}, {"env": "no spaces"}, {str(n): "x" for n in range(40)}]
    for labels in bad:
        assert (await label(master, shop, labels))[0] == 422
    assert (await label(master, "nobody", {"a": "b"}))[0] == 404
    assert (await master.get(f"/v1/fed/cluster/{shop}"))["labels"] == {"env": "prod"}


async def test_a_stale_revision_of_a_targeted_object_is_refused_wherever_it_goes(master: Daemon) -> None:
    await apply(master, targeted("web", PROD, "one"))
    await apply(master, targeted("web", PROD, "two"))
    for document in (targeted("web", PROD, "three"), group("web", "three")):
        status, problem = await master.call(
            "POST", "/v1/fed/apply", {"documents": [document | {"revision": 1}]}
        )
        assert (status, problem["current_revision"]) == (409, 2)
    await apply(master, group("web", "three") | {"revision": 2})
