"""Admission with real daemons: what the master publishes decides in a worker's webhook."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fleet import FAST
from tests.support.api_server import ApiServer, pod_review
from tests.support.daemons import Daemon, apply, eventually, joined, promoted, synced
from tests.support.kubernetes import Kubernetes, named, node, pod


def state(mode: str = "protect", *, enable: bool = True) -> dict[str, Any]:
    return {"kind": "admission_state", "spec": {"enable": enable, "mode": mode}}


def deny(*criteria: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {
        "kind": "admission_rule",
        "spec": {"rule_type": "deny", "criteria": list(criteria), "comment": "no"} | fields,
    }


def namespace(name: str) -> dict[str, str]:
    return {"name": "namespace", "op": "containsAny", "value": name}


@asynccontextmanager
async def asking(daemon: Daemon) -> AsyncIterator[ApiServer]:
    """Ask a daemon's webhook as its configuration says."""
    known = await daemon.get("/v1/admission/webhook")
    async with ApiServer(known["url"], known["ca_bundle"]) as api_server:
        yield api_server


async def decided(api_server: ApiServer, allowed: bool, seconds: float = 1.0, **asked: Any) -> dict[str, Any]:
    """Wait until a review is answered so, for a second at most; return the response."""

    async def ask() -> dict[str, Any] | None:
        response = await api_server.ask(pod_review("nginx:1.27", **asked))
        return response if response["allowed"] is allowed else None

    response: dict[str, Any] = await eventually(ask, seconds)
    return response


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("master", tmp_path / "master", **FAST) as daemon:
        await promoted(daemon)
        yield daemon


@pytest.fixture
async def worker(master: Daemon, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("worker", tmp_path / "shop") as daemon:
        await joined(master, daemon, "shop")
        yield daemon


async def test_a_published_rule_denies_within_a_second_everywhere_and_its_deletion_allows_again(
    master: Daemon, worker: Daemon
) -> None:
    await apply(master, state())
    await synced(master, 1)
    async with asking(worker) as shop, asking(master) as hub:
        await decided(shop, True)

        done = await apply(master, deny(namespace("shop")))
        rule = next(c["name"] for c in done["changes"] if c["kind"] == "admission_rule")

        response = await decided(shop, False)
        assert rule in response["status"]["message"]
        assert "shop" in response["status"]["message"]
        assert response["auditAnnotations"] == {"decision": "denied", "rule": f"fed/{rule}"}
        await decided(hub, False)
        await decided(shop, True, namespace="elsewhere")

        await apply(master, {"kind": "admission_rule", "op": "delete", "spec": {"id": int(rule)}})
        await decided(shop, True)
        await decided(hub, True)
        assert shop.connections == 1


async def test_a_worker_decides_alone_and_forgets_what_it_leaves(
    master: Daemon, worker: Daemon, tmp_path: Path
) -> None:
    await apply(master, state(), deny(namespace("shop")))
    async with asking(worker) as shop:
        await decided(shop, False, 5.0)
    port = json.loads((tmp_path / "master" / "federation.json").read_text())["listen_port"]
    await master.kill()
    await worker.kill()

    async def bus_is_gone() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return True
        writer.close()
        return False

    await eventually(bus_is_gone)
    async with Daemon("worker", tmp_path / "shop") as again, asking(again) as shop:
        assert not (await shop.ask(pod_review("nginx")))["allowed"]  # the first review after a start
        await again.post("/v1/fed/leave", {"force": True})
        await decided(shop, True)


async def test_what_was_decided_is_counted_logged_and_reported(master: Daemon, worker: Daemon) -> None:
    await apply(master, state(), deny(namespace("shop")), deny(namespace("watched"), rule_mode="monitor"))
    async with asking(worker) as shop:
        await decided(shop, False, 5.0)
        before = (await worker.get("/v1/admission/stats"))["stats"]
        for _ in range(3):
            await shop.ask(pod_review("nginx", "shop"))
        watched = await shop.ask(pod_review("nginx", "watched"))
        await shop.ask(pod_review("nginx", "shop", dryRun=True))
        await shop.ask(pod_review("nginx", "shop", operation="DELETE"))

    assert watched["allowed"]
    assert any("100002" in warning for warning in watched["warnings"])
    now = await worker.get("/v1/admission/stats")
    assert {name: count - before[name] for name, count in now["stats"].items()} == {
        "k8s_allowed_requests": 1,
        "k8s_denied_requests": 3,
        "k8s_erroneous_requests": 0,
        "k8s_ignored_requests": 1,
        "k8s_processing_requests": 0,
        "violations": 1,
    }
    by_rule = {(one["rule"], one["result"]): one["count"] for one in now["rules"]}
    assert by_rule[100_002, "violation"] == 1
    audits = (await worker.get("/v1/log/audit"))["audits"]
    assert {(one["name"], one["workload_domain"], one["rule"]) for one in audits} == {
        ("Admission.Control.Denied", "shop", 100_001),
        ("Admission.Control.Violation", "watched", 100_002),
    }
    counts = {(one["rule"], one["workload_image"]): one["count"] for one in audits}
    assert counts[100_001, "nginx"] == 3

    async def reported() -> bool:
        rows = (await master.get("/v1/fed/summary"))["clusters"]
        stats = next(row for row in rows if row["name"] == "shop")["cluster"]["admission"]["stats"]
        return bool(stats["k8s_denied_requests"] == now["stats"]["k8s_denied_requests"])

    await eventually(reported)


async def test_statistics_survive_a_restart(worker: Daemon, master: Daemon, tmp_path: Path) -> None:
    await apply(master, state(), deny(namespace("shop")))
    async with asking(worker) as shop:
        await decided(shop, False, 5.0)
    before = await worker.get("/v1/admission/stats")
    await worker.stop()
    async with Daemon("worker", tmp_path / "shop") as again:
        assert await again.get("/v1/admission/stats") == before


async def test_a_storm_of_policy_leaves_the_webhook_answering(master: Daemon, worker: Daemon) -> None:
    await apply(master, state(), deny(namespace("shop")))
    async with asking(worker) as shop:
        await decided(shop, False, 5.0)
        slowest = 0.0

        async def publish() -> None:
            for number in range(40):
                await apply(master, deny(namespace(f"n{number}")))

        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(publish())
            while not publishing.done():
                began = time.monotonic()
                assert not (await shop.ask(pod_review("nginx", "shop")))["allowed"]
                slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1.0

        await decided(shop, False, namespace="n39")
    compiled = (await worker.get("/v1/admission/webhook"))["policies_compiled"]
    assert compiled < 45


async def test_a_clusters_own_rule_decides_at_once_and_for_this_cluster_alone(
    master: Daemon, worker: Daemon
) -> None:
    await apply(master, state())
    await synced(master, 1)
    async with asking(worker) as shop, asking(master) as hub:
        rule = deny(namespace("shop")) | {"kind": "admission_rule"}
        await worker.post("/v1/local/apply", {"documents": [rule]})

        response = await decided(shop, False)

        assert response["auditAnnotations"]["rule"] == "local/1000"
        assert (await hub.ask(pod_review("nginx", "shop")))["allowed"]
        allowing = deny(namespace("shop"), rule_type="exception")
        await apply(master, allowing)
        await decided(shop, True)  # the federation's stands above


async def test_no_rule_denies_in_the_namespaces_of_the_system_and_the_critical_rules_are_locked(
    master: Daemon, worker: Daemon
) -> None:
    everywhere = namespace("*")
    await apply(master, state(), deny(everywhere))
    await worker.post("/v1/local/apply", {"documents": [deny(everywhere)]})
    async with asking(worker) as shop:
        await decided(shop, False, 5.0)
        for exempt in ("kube-system", "kube-public", "istio-system", "fedbus"):
            response = await shop.ask(pod_review("nginx", exempt))
            assert response["allowed"], exempt
            assert not response.get("warnings")

    listed = (await worker.get("/v1/admission/rules"))["rules"]
    assert [one["id"] for one in listed] == [1, 2, 100_001, 1000]
    own = await worker.get("/v1/admission/rules?scope=local")
    assert [(one["id"], one["critical"], one["cfg_type"]) for one in own["rules"]] == [
        (1, True, "system_defined"),
        (2, True, "system_defined"),
        (1000, False, "user_created"),
    ]
    rest = (await worker.get("/v1/admission/rules?limit=1"))["next_cursor"]
    page = await worker.get(f"/v1/admission/rules?limit=2&cursor={rest}")
    assert [one["id"] for one in page["rules"]] == [2, 100_001]
    assert (await worker.get("/v1/admission/rule/2"))["rule"]["criteria"][0]["value"] == "fedbus"

    off = {"config": {"id": 1, "disable": True}}
    for method, path, body in (
        ("PATCH", "/v1/admission/rule", off),
        ("DELETE", "/v1/admission/rule/1", None),
        ("PATCH", "/v1/admission/rules?scope=local", {"move": {"id": 1, "after": None}}),
        ("PATCH", "/v1/admission/rules?scope=local", {"delete": [2]}),
    ):
        status, problem = await worker.call(method, path, body)
        assert (status, problem["reason"]) == (403, "RULE_BUILT_IN"), (method, path)
    promoted_one = await master.call("POST", "/v1/admission/rule/promote", {"request": {"ids": [1]}})
    assert (promoted_one[0], promoted_one[1]["reason"]) == (403, "RULE_BUILT_IN")
    for document in ({"op": "delete", "spec": {"id": 1}}, {"spec": deny(everywhere)["spec"] | {"id": 1}}):
        sent = {"documents": [{"kind": "admission_rule"} | document]}
        status, problem = await worker.call("POST", "/v1/local/apply", sent)
        assert (status, problem["errors"][0]["field"]) == (422, "spec.id")
        assert "built in" in problem["errors"][0]["message"]
    read = await worker.call("GET", "/v1/admission/rules?scope=local")
    emptied = await worker.call("PATCH", "/v1/admission/rules?scope=local", {"rules": read[1]["rules"][:2]})
    assert emptied[0] == 200  # the critical ones stay as they are, whatever a list says
    assert (await worker.call("DELETE", "/v1/admission/rules?scope=local"))[0] == 200
    assert [one["id"] for one in (await worker.get("/v1/admission/rules?scope=local"))["rules"]] == [1, 2]


async def test_the_inventory_of_every_cluster_is_in_the_summary(master: Daemon, tmp_path: Path) -> None:
    async with Kubernetes() as api:
        await api.put("/api/v1/nodes", node("n1", "kind://x"))
        for name in ("a", "b"):
            await api.put("/api/v1/pods", pod(name))
        await api.put("/api/v1/namespaces", named("Namespace", "shop"))
        settings = {
            "kubernetes": "kubeconfig",
            "kubeconfig": api.kubeconfig(tmp_path / "kubeconfig"),
            "heartbeat_interval": 1,
        }
        async with Daemon("worker", tmp_path / "shop", **settings) as shop:
            await joined(master, shop, "shop")

            async def reported() -> dict[str, Any] | None:
                rows = (await master.get("/v1/fed/summary"))["clusters"]
                found = next(row for row in rows if row["name"] == "shop")["cluster"]["inventory"]
                return found if found and found["unscanned_images"] == 1 and found["version"] else None

            assert await eventually(reported) == {
                "platform": "Kubernetes (kind)", "version": "v1.31.4", "hosts": 1, "namespaces": 1,
                "services": 0, "workloads": 2, "pods": 2, "running_pods": 2, "images": 1,
                "unscanned_images": 1, "complete": True,
            }  # fmt: skip
            summary = (await shop.get("/v1/system/summary"))["summary"]
            assert (summary["hosts"], summary["running_pods"], summary["domains"]) == (1, 2, 1)
            (image,) = (await shop.get("/v1/inventory/images?unscanned=true"))["images"]
            assert (image["image"], image["pods"]) == ("nginx:1.27", 2)
            assert (await shop.call("GET", "/v1/inventory/images?unscanned=maybe"))[0] == 422


async def test_the_masters_own_cluster_has_an_inventory_by_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"kind": "List", "items": [node("n1"), pod("a")]}))
    async with Daemon("master", tmp_path / "master", inventory_file=file, **FAST) as hub:
        await promoted(hub)

        async def counted() -> bool:
            (own,) = (await hub.get("/v1/fed/summary"))["clusters"]
            found = own["cluster"]["inventory"]
            return bool(found and (found["hosts"], found["running_pods"]) == (1, 1))

        await eventually(counted)


async def test_bad_reviews_harm_nobody(worker: Daemon) -> None:
    async with asking(worker) as shop:
        for body in (b"", b"{", json.dumps({"kind": "AdmissionReview", "apiVersion": "v9"}).encode()):
            assert (await shop.send(body))[0] == 400
        assert (await shop.ask(pod_review("nginx")))["allowed"]
