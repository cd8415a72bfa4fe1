"""Preview with real daemons: what a rule would deny of what runs, also where nobody is at home."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.fleet import FAST
from tests.support.admission import criterion, pod
from tests.support.daemons import Daemon, apply, eventually, joined, promoted, synced

PREVIEW = "/v1/fed/preview"


def state(mode: str = "protect") -> dict[str, Any]:
    return {"kind": "admission_state", "spec": {"enable": True, "mode": mode}}


def deny(namespace: str, **fields: Any) -> dict[str, Any]:
    criteria = [criterion("namespace", "containsAny", namespace)]
    return {"kind": "admission_rule", "spec": {"rule_type": "deny", "criteria": criteria} | fields}


def runs(file: Path, *workloads: dict[str, Any]) -> Path:
    new = file.with_suffix(".new")
    new.write_text(yaml.safe_dump_all(workloads))
    new.rename(file)
    return file


def web(name: str, namespace: str = "shop", **fields: Any) -> dict[str, Any]:
    return pod(namespace=namespace, metadata={"name": name}, **fields)


async def previewed(master: Daemon, *documents: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = await master.post(PREVIEW, {"documents": list(documents)})
    return {one["name"]: one for one in found["clusters"]}


async def reported(master: Daemon, cluster: str, workloads: int) -> dict[str, Any]:
    """Wait until so many workloads of a cluster are known to the master."""

    async def known() -> dict[str, Any] | None:
        row = (await previewed(master, deny("nowhere")))[cluster]
        return row if row["workloads"] == workloads else None

    found: dict[str, Any] = await eventually(known)
    return found


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Daemon]:
    own = runs(tmp_path / "hub.yaml", web("console"))
    async with Daemon("master", tmp_path / "master", inventory_file=own, **FAST) as daemon:
        await promoted(daemon)
        yield daemon


async def test_what_critical_rules_exempt_is_not_said_to_be_denied(master: Daemon, tmp_path: Path) -> None:
    file = runs(tmp_path / "shop.yaml", web("a"), web("dns", "kube-system"))
    async with Daemon("worker", tmp_path / "shop", inventory_file=file, inventory_interval=1) as shop:
        await joined(master, shop, "shop")
        await apply(master, state())
        await synced(master, 1)
        await reported(master, "shop", 2)

        row = (await previewed(master, deny("*")))["shop"]

        assert [one["name"] for one in row["affected"]] == ["a"]


async def test_a_rule_is_previewed_on_what_runs_everywhere_and_offline_too(
    master: Daemon, tmp_path: Path
) -> None:
    secret = {"env": [{"name": "PASSWORD", "value": "a-secret-of-the-shop"}]}
    file = runs(
        tmp_path / "shop.yaml",
        web("a", container=secret),
        web("b"),
        web("c", "bank"),
    )
    async with Daemon("worker", tmp_path / "shop", inventory_file=file, inventory_interval=1) as shop:
        await joined(master, shop, "shop")
        await apply(master, state())
        await synced(master, 1)
        await reported(master, "shop", 3)
        for held in master.directory.glob("store.db*"):
            assert b"a-secret-of-the-shop" not in held.read_bytes()

        found = await previewed(master, deny("shop", comment="no shop"))

        assert (found["hub"]["denied"], found["hub"]["age_seconds"], found["hub"]["unknown"]) == (1, 0.0, [])
        row = found["shop"]
        assert (row["denied"], row["reported"], row["no_longer_denied"]) == (2, 0, 0)
        assert row["namespaces"] == [
            {"namespace": "shop", "workloads": 2, "denied": 2, "reported": 0, "no_longer_denied": 0}
        ]
        assert [(one["name"], one["before"], one["after"]) for one in row["affected"]] == [
            ("a", "allowed", "denied"),
            ("b", "allowed", "denied"),
        ]
        assert "observed: shop" in row["affected"][0]["message"]
        assert (row["unscanned"], row["unscanned_images"]) == (3, 1)
        assert "its own rules" in row["unknown"][0]
        assert (await master.get("/v1/admission/rules?scope=fed"))["rules"] == []  # nothing was written

        only_reports = await previewed(master, deny("shop", rule_mode="monitor"))
        assert (only_reports["shop"]["denied"], only_reports["shop"]["reported"]) == (0, 2)
        elsewhere = await previewed(master, deny("shop") | {"target": {"cluster": "shop"}})
        assert (elsewhere["hub"]["denied"], elsewhere["shop"]["denied"]) == (0, 2)

        done = await apply(master, deny("shop"))
        number = int(next(c["name"] for c in done["changes"] if c["kind"] == "admission_rule"))
        gone = {"kind": "admission_rule", "op": "delete", "spec": {"id": number}}
        assert (await previewed(master, gone))["shop"]["no_longer_denied"] == 2
        monitored = await previewed(master, state("monitor"))
        assert (monitored["shop"]["reported"], monitored["shop"]["no_longer_denied"]) == (2, 2)

        runs(file, web("a"), web("b"), web("c", "bank"), web("d"))
        await reported(master, "shop", 4)

    async def offline() -> bool:
        rows = (await master.get("/v1/fed/summary"))["clusters"]
        return any(row["name"] == "shop" and row["link"]["state"] == "offline" for row in rows)

    await eventually(offline)
    row = (await previewed(master, gone))["shop"]
    assert (row["workloads"], row["no_longer_denied"]) == (4, 3)
    assert row["age_seconds"] > 2

    await master.call("DELETE", f"/v1/fed/cluster/{row['id']}")
    assert "shop" not in await previewed(master, gone)


async def test_the_command_shows_it_and_bad_documents_are_refused_as_by_apply(
    master: Daemon, tmp_path: Path
) -> None:
    async with Daemon("worker", tmp_path / "empty") as empty:
        await joined(master, empty, "empty")
        await apply(master, state())
        file = tmp_path / "rule.yaml"
        file.write_text(yaml.safe_dump(deny("shop")))

        code, out, said = await cli(master, "policy", "preview", "-f", str(file))
        assert code == 0, said
        assert "console" in out
        assert "no inventory" in out
        assert "Not known of empty" in said
        code, out, _ = await cli(master, "policy", "preview", "-f", str(file), "-o", "json")
        assert [c["denied"] for c in json.loads(out)["clusters"]] == [1, 0]

        file.write_text(yaml.safe_dump(deny("shop", rule_type="perhaps")))
        assert (await cli(master, "policy", "preview", "-f", str(file)))[0] == 7
        stale = deny("shop") | {"revision": 7}
        status, answer = await master.call("POST", PREVIEW, {"documents": [stale]})
        assert status in (409, 422), answer
        assert (await empty.call("POST", PREVIEW, {"documents": []}))[0] == 404


async def cli(daemon: Daemon, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", "--data-dir", str(daemon.directory), *arguments,
        stdin=-1, stdout=-1, stderr=-1,
        env={k: v for k, v in os.environ.items() if not k.startswith("FEDBUS_")},
    )  # fmt: skip
    out, said = await process.communicate(b"")
    return process.returncode or 0, out.decode(), said.decode()
