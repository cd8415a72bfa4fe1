"""Assessment with real daemons: here, in every cluster, and what a member can do about it (nothing)."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.fleet import FAST
from tests.support.admission import criterion, pod
from tests.support.daemons import Daemon, apply, eventually, joined, promoted, synced

ASSESS = "/v1/assess/admission/rule"
EVERYWHERE = "/v1/fed/assess/admission/rule"


def state(mode: str = "protect", *, enable: bool = True) -> dict[str, Any]:
    return {"kind": "admission_state", "spec": {"enable": enable, "mode": mode}}


def deny(*criteria: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"kind": "admission_rule", "spec": {"rule_type": "deny", "criteria": list(criteria)} | fields}


def in_namespace(name: str) -> dict[str, Any]:
    return criterion("namespace", "containsAny", name)


async def send(
    daemon: Daemon, path: str, body: str | bytes, media: str = "application/yaml"
) -> tuple[int, dict[str, Any]]:
    return await daemon.call("POST", path, data=body, headers={"Content-Type": media})


async def asked(daemon: Daemon, path: str, *manifests: object) -> dict[str, Any]:
    status, found = await send(daemon, path, yaml.safe_dump_all(manifests))
    assert status == 200, found
    return found


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("master", tmp_path / "master", **FAST) as daemon:
        await promoted(daemon)
        yield daemon


@pytest.fixture
async def shop(master: Daemon, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon("worker", tmp_path / "shop") as daemon:
        await joined(master, daemon, "shop")
        yield daemon


async def test_manifests_are_judged_one_by_one_with_every_rule_that_matches(master: Daemon) -> None:
    await apply(
        master,
        state(),
        deny(in_namespace("shop"), comment="no shop"),
        deny(in_namespace("shop"), disable=True),
        deny(criterion("imageScanned", "=", "false"), criterion("cveHighCount", ">=", "1")),
    )
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    listed = {"kind": "List", "items": [pod(namespace="free"), pod(kind="Pod")]}

    found = await asked(master, ASSESS, pod(), service, listed)

    assert found["props_unavailable"] == ["user", "userGroups"]
    assert (found["global_mode"], found["enable"]) == ("protect", True)
    results = [(r["index"], r["kind"], r["namespace"], r["allowed"]) for r in found["results"]]
    assert results == [
        (0, "Deployment", "shop", False),
        (1, "Service", "", True),
        (2, "Deployment", "free", True),
        (2, "Pod", "shop", False),
    ]
    first = found["results"][0]
    assert "no shop" in first["message"]
    matched = {rule["id"]: rule for rule in first["matched_rules"]}
    assert matched[100001] == {
        "container_image": "nginx:1.25",
        "container": "app",
        "id": 100001,
        "disabled": False,
        "type": "deny",
        "mode": "protect",
        "rule_details": "namespace containsAny shop (observed: shop)",
        "rule_cfg_type": "federal",
        "unknown": False,
        "decides": True,
    }
    assert [matched[100002][what] for what in ("disabled", "unknown", "decides")] == [True, False, False]
    assert [matched[100003][what] for what in ("disabled", "unknown", "decides")] == [False, True, False]
    assert (await master.get("/v1/admission/stats"))["stats"]["k8s_denied_requests"] == 0


async def test_a_bad_document_is_named_with_its_line_and_the_others_are_assessed(master: Daemon) -> None:
    bomb = "a: &a [x, x]\nb: [*a, *a]"
    parts = [
        yaml.safe_dump(pod()),
        bomb,
        "kind: Pod\nspec: {containers: 7}",
        "kind: [no]",
        "metadata: {name: x}",
        "key: 'unclosed",
        "- a list",
        yaml.safe_dump(pod(image="UP CASE!")),
        yaml.safe_dump({"kind": "Frobnicator", "metadata": {"name": "f"}}),
    ]

    status, found = await send(master, ASSESS, "\n---\n".join(parts))

    assert status == 200
    assert [r["index"] for r in found["results"]] == [0, 8]
    assert [r["judged"] for r in found["results"]] == [True, False]
    rejected = {r["index"]: r for r in found["rejected"]}
    assert sorted(rejected) == [1, 2, 3, 4, 5, 6, 7]
    assert "Anchors" in rejected[1]["message"]
    assert rejected[2]["field"] == "spec.containers"
    assert rejected[7]["code"] == "IMAGE_INVALID"
    assert all(isinstance(r["line"], int) for r in rejected.values())


async def test_json_is_taken_in_every_form_and_nothing_else_is(master: Daemon) -> None:
    for body in (pod(), [pod()], {"documents": [pod()]}):
        status, found = await send(master, ASSESS, json.dumps(body), "application/json")
        assert (status, len(found["results"])) == (200, 1)
    status, found = await send(master, ASSESS, json.dumps([pod(), 7]), "application/json")
    assert (status, found["rejected"][0]["index"]) == (200, 1)
    assert (await send(master, ASSESS, "[" * 100_000, "application/json"))[0] == 400
    assert (await send(master, ASSESS, b"\xff\xfe", "application/yaml"))[0] == 400
    assert (await send(master, ASSESS, "x", "text/plain"))[0] == 415


async def test_what_is_too_much_is_refused_at_once_and_the_daemon_lives(master: Daemon) -> None:
    began = time.monotonic()
    many = "---\nkind: Pod\n" * 10_000
    assert (await send(master, ASSESS, many))[0] == 413
    assert (await send(master, ASSESS, many + many))[0] == 413
    listed = {"kind": "PodList", "items": [{}] * 20_000}
    assert (await send(master, ASSESS, json.dumps(listed), "application/json"))[0] == 413
    assert (await send(master, EVERYWHERE, json.dumps(listed), "application/json"))[0] == 413
    assert time.monotonic() - began < 20
    await master.get("/v1/admission/stats")


async def test_every_cluster_says_what_it_would_do_and_offline_ones_since_when(
    master: Daemon, shop: Daemon, tmp_path: Path
) -> None:
    async with Daemon("worker", tmp_path / "bank") as bank:
        await joined(master, bank, "bank")
        await apply(master, state())
        only_bank = deny(in_namespace("shop"), comment="not in the bank") | {"target": {"cluster": "bank"}}
        await apply(master, only_bank)
        await shop.post(
            "/v1/local/apply", {"documents": [deny(in_namespace("dev"), comment="no dev", cfg_type="")]}
        )
        await synced(master, 2)

        found = await asked(master, EVERYWHERE, pod(), pod(namespace="dev"))

        assert not [c["refused"] for c in found["clusters"] if not c["assessment"]]
        allowed = {c["name"]: [r["allowed"] for r in c["assessment"]["results"]] for c in found["clusters"]}
        assert allowed == {"hub": [True, True], "bank": [False, True], "shop": [True, False]}
        some = await asked(master, f"{EVERYWHERE}?cluster=shop", pod(namespace="dev"))
        assert [c["name"] for c in some["clusters"]] == ["shop"]
        rule = some["clusters"][0]["assessment"]["results"][0]["matched_rules"][0]
        assert (rule["rule_cfg_type"], rule["decides"]) == ("user_created", True)
        assert (await send(master, f"{EVERYWHERE}?cluster=nobody", "kind: Pod"))[0] == 404

    async def bank_is_gone() -> dict[str, Any] | None:
        rows = (await master.get("/v1/fed/summary"))["clusters"]
        row = next(row for row in rows if row["name"] == "bank")
        return row if row["link"]["state"] == "offline" else None

    row = await eventually(bank_is_gone)
    found = await asked(master, EVERYWHERE, pod(namespace="dev"))
    clusters = {c["name"]: c for c in found["clusters"]}
    assert clusters["bank"]["assessment"] is None
    assert clusters["bank"]["offline_since"] == row["link"]["since"]
    assert not clusters["shop"]["assessment"]["results"][0]["allowed"]


async def test_the_command_says_it_by_rule_and_its_exit_code_says_it_too(
    master: Daemon, shop: Daemon, tmp_path: Path
) -> None:
    await apply(master, state(), deny(in_namespace("shop"), comment="no shop"))
    await synced(master, 1)
    (tmp_path / "good.yaml").write_text("# first\n---\n" + yaml.safe_dump(pod(namespace="free")))
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "bad.yaml").write_text("kind: Pod\nspec:\n  containers: 7\n")
    (tree / "web.yaml").write_text(yaml.safe_dump(pod()))

    code, out, _ = await cli(shop, "assess", "-f", str(tmp_path / "good.yaml"))
    assert (code, "no rule matches" in out) == (0, True)
    code, out, said = await cli(shop, "assess", "-f", str(tree))
    assert (code, "namespace containsAny shop (observed: shop)" in out) == (9, True)
    assert f"{tree / 'bad.yaml'}:3: spec.containers" in said
    code, _, said = await cli(shop, "assess", "-f", str(tree / "bad.yaml"))
    assert code == 7
    code, out, _ = await cli(master, "assess", "-f", str(tree / "web.yaml"), "--all-clusters", "-o", "json")
    assert code == 9
    assert {c["cluster"]: c["results"][0]["allowed"] for c in json.loads(out)["clusters"]} == {
        "hub": False,
        "shop": False,
    }
    code, out, _ = await cli(master, "assess", "-f", "-", "--cluster", "shop", stdin="kind: Service\n")
    assert code == 0


async def cli(daemon: Daemon, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", "--data-dir", str(daemon.directory), *arguments,
        stdin=-1, stdout=-1, stderr=-1,
        env={k: v for k, v in os.environ.items() if not k.startswith("FEDBUS_")},
    )  # fmt: skip
    out, said = await process.communicate(stdin.encode())
    return process.returncode or 0, out.decode(), said.decode()
