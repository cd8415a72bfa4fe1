"""A cluster's own policy with real daemons: written on both, kept off the bus, promoted on the master."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced


class Scene(msgspec.Struct):
    master: Daemon
    worker: Daemon


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        Daemon("master", tmp_path / "master") as master,
        Daemon("worker", tmp_path / "worker") as worker,
    ):
        await promoted(master)
        await joined(master, worker, "shop")
        yield Scene(master, worker)


def local_group(name: str, comment: str = "") -> dict[str, Any]:
    criteria = [{"key": "namespace", "op": "=", "value": "shop"}]
    return {"kind": "group", "spec": {"name": name, "comment": comment, "criteria": criteria}}


NETWORK = {"from": "web", "to": "external", "ports": "tcp/443", "applications": ["SSL"], "action": "allow"}


async def ids(daemon: Daemon, path: str) -> list[int]:
    return [rule["id"] for rule in (await daemon.get(path))["rules"]]


@pytest.mark.parametrize("role", ["master", "worker"])
async def test_local_policy_is_written_and_ordered_in_its_own_id_range(scene: Scene, role: str) -> None:
    daemon: Daemon = getattr(scene, role)
    await daemon.post("/v1/group", {"config": local_group("web")["spec"]})
    body = {"insert": {"after": None, "rules": [NETWORK, NETWORK | {"comment": "second"}]}}
    assert (await daemon.call("PATCH", "/v1/policy/rule", body))[0] == 200
    move = {"move": {"id": 2, "after": 0}}
    assert (await daemon.call("PATCH", "/v1/policy/rule?scope=local", move))[0] == 200

    assert await ids(daemon, "/v1/policy/rule?scope=local") == [2, 1]
    made = await daemon.post("/v1/admission/rule", {"config": {"rule_type": "deny", "criteria": []}})
    assert made["rule"]["id"] == 1000
    assert made["rule"]["cfg_type"] == "user_created"


async def test_without_a_scope_federated_rules_stand_above_local_ones(scene: Scene) -> None:
    await apply(scene.master, group("web"))
    rule = {"kind": "network_rule", "spec": NETWORK | {"from": "fed.web"}}
    await apply(scene.master, rule)
    await synced(scene.master, 1)
    await scene.worker.post("/v1/local/apply", {"documents": [local_group("web")]})
    await scene.worker.post("/v1/local/apply", {"documents": [{"kind": "network_rule", "spec": NETWORK}]})

    assert await ids(scene.worker, "/v1/policy/rule") == [100001, 1]


async def test_local_policy_stays_in_its_cluster_and_survives_the_end_of_the_membership(scene: Scene) -> None:
    await scene.worker.post("/v1/local/apply", {"documents": [local_group("mine")]})
    await scene.master.post("/v1/local/apply", {"documents": [local_group("hubs")]})
    await apply(scene.master, group("shared"))
    await synced(scene.master, 1)

    assert (await scene.master.call("GET", "/v1/group/mine"))[0] == 404
    assert (await scene.worker.call("GET", "/v1/group/hubs"))[0] == 404
    await scene.worker.post("/v1/fed/leave")

    async def purged() -> bool:
        return (await scene.worker.call("GET", "/v1/group/fed.shared"))[0] == 404

    await eventually(purged)
    assert (await scene.worker.get("/v1/group/mine"))["group"]["cfg_type"] == "user_created"


async def test_local_policy_is_written_with_the_master_down_and_survives_a_kill(scene: Scene) -> None:
    await scene.master.kill()
    await scene.worker.post("/v1/local/apply", {"documents": [local_group("alone", "1")]})
    await scene.worker.kill()
    await scene.worker.start()

    assert (await scene.worker.get("/v1/group/alone"))["group"]["comment"] == "1"


async def test_a_local_object_may_not_take_a_federated_name_nor_use_federated_groups(scene: Scene) -> None:
    status, problem = await scene.worker.call(
        "POST", "/v1/local/apply", {"documents": [local_group("fed.mine"), local_group("ok")]}
    )
    assert (status, problem["errors"][0]["field"]) == (422, "name")
    assert (await scene.worker.call("GET", "/v1/group/ok"))[0] == 404  # nothing of the request
    documents = [{"kind": "network_rule", "spec": NETWORK | {"from": "fed.web"}}]
    status, problem = await scene.worker.call("POST", "/v1/local/apply", {"documents": documents})
    assert (status, problem["errors"][0]["field"]) == (422, "from")


async def test_conditions_dry_runs_and_keys_work_on_local_policy(scene: Scene) -> None:
    await scene.worker.post("/v1/local/apply", {"documents": [local_group("web", "1")]})
    changed = {"config": {"comment": "2"}}
    stale = await scene.worker.call("PATCH", "/v1/group/web", changed, headers={"If-Match": '"0.99"'})
    assert (stale[0], stale[1]["reason"]) == (412, "PRECONDITION_FAILED")
    preview = await scene.worker.call("PATCH", "/v1/group/web?dry_run=true", changed)
    assert preview[1]["changes"][0]["diff"] == [{"path": "comment", "before": "1", "after": "2"}]
    first = await scene.worker.call("PATCH", "/v1/group/web", changed, headers={"Idempotency-Key": "k"})
    again = await scene.worker.call("PATCH", "/v1/group/web", changed, headers={"Idempotency-Key": "k"})
    assert first == again
    assert first[1]["changes"][0]["revision"] == 2


async def test_promotion_copies_rules_and_their_groups_into_the_federation(scene: Scene) -> None:
    profile = {
        "group": "web",
        "process_list": [{"name": "nginx", "path": "/usr/sbin/nginx", "action": "allow"}],
    }
    documents = [
        local_group("web"),
        {"kind": "process_profile", "spec": profile},
        {"kind": "network_rule", "spec": NETWORK},
        {"kind": "admission_rule", "spec": {"rule_type": "deny", "comment": "no root",
         "criteria": [{"name": "runAsRoot", "op": "=", "value": "true"}]}},
    ]  # fmt: skip
    await scene.master.post("/v1/local/apply", {"documents": documents})

    await scene.master.post("/v1/policy/rules/promote", {"request": {"ids": [1]}})
    await scene.master.post("/v1/admission/rule/promote", {"request": {"ids": [1000]}})
    await synced(scene.master, 1)

    rule = (await scene.worker.get("/v1/policy/rule/100001"))["rule"]
    assert (rule["from"], rule["comment"]) == ("fed.web", "promoted from rule 1")
    profile = (await scene.worker.get("/v1/process_profile/fed.web"))["process_profile"]
    assert [entry["cfg_type"] for entry in profile["process_list"]] == ["federal"]
    denied = (await scene.worker.get("/v1/admission/rules?scope=fed"))["rules"]
    assert [r["comment"] for r in denied] == ["no root (promoted from rule 1000)"]
    assert await ids(scene.master, "/v1/policy/rule?scope=local") == [1]  # the originals stay


async def test_what_means_nothing_elsewhere_is_not_promoted(scene: Scene) -> None:
    hosts = NETWORK | {"from": "Host:node-1", "to": "nodes"}
    await scene.master.post("/v1/local/apply", {"documents": [{"kind": "network_rule", "spec": hosts}]})

    status, problem = await scene.master.call("POST", "/v1/policy/rules/promote", {"request": {"ids": [1]}})
    assert (status, problem["errors"][0]["field"]) == (422, "rule 1.from")
    status, _ = await scene.master.call("POST", "/v1/policy/rules/promote", {"request": {"ids": [7]}})
    assert status == 404
    status, _ = await scene.master.call("POST", "/v1/policy/rules/promote", {"request": {"ids": []}})
    assert status == 422
