"""Scan results from a master to its workers: put, looked up, replaced, removed, and what is private."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support import scans
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted
from tests.support.scan_master import ScanMaster

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_scans")]

FAST = {"heartbeat_interval": 1.0, "checkpoint_interval": 1.0}
REGISTRY = {
    "kind": "registry",
    "spec": {
        "name": "fed.hub",
        "registry_type": "Docker Registry",
        "registry": "https://registry.example.com/",
        "filters": ["*"],
    },
}


class Scene:
    def __init__(self, root: Path) -> None:
        self.master = ScanMaster(root / "master", **FAST)
        self.workers = [Daemon("worker", root / name) for name in ("one", "two")]
        self.one, self.two = self.workers
        self.ids: list[str] = []

    async def add_registry(self, name: str) -> None:
        spec = REGISTRY["spec"] | {"name": name}  # type: ignore[operator]
        await self.master.post("/v1/fed/apply", {"documents": [{"kind": "registry", "spec": spec}]})

    async def synced(self) -> list[dict[str, Any]]:
        """Wait until both workers hold exactly what the master has; return their rows."""

        async def check() -> list[dict[str, Any]]:
            rows = (await self.master.get("/v1/fed/summary"))["clusters"]
            own = next(r for r in rows if r["role"] == "master")
            good = [
                r
                for r in rows
                if r["role"] == "joint"
                and r["sync"]["state"] == r["scans"]["state"] == "synced"
                and r["scans"]["applied_version"] == own["scans"]["head_version"]
            ]
            return good if len(good) == len(self.workers) else []

        rows: list[dict[str, Any]] = await eventually(check, 30)
        return rows


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("scans"))
    async with made.master, made.one, made.two:
        await promoted(made.master)
        for name, worker in zip(("one", "two"), made.workers, strict=True):
            made.ids.append((await joined(made.master, worker, name))["id"])
        await made.add_registry("fed.hub")
        yield made


async def shown(daemon: Daemon, query: str) -> dict[str, Any] | None:
    status, answer = await daemon.call("GET", f"/v1/scan/image?{query}")
    assert status in (200, 404), answer
    return answer if status == 200 else None


async def test_a_result_is_looked_up_on_every_cluster_in_every_way(scene: Scene) -> None:
    await scene.master.put(1, 20)
    wanted = scans.report(7)

    rows = await scene.synced()

    assert {r["scans"]["have"] for r in rows} == {r["scans"]["total"] for r in rows}
    assert min(r["scans"]["have"] for r in rows) >= 40
    assert {r["scans"]["bytes"] for r in rows} == {r["scans"]["total_bytes"] for r in rows}
    for daemon in (scene.master, *scene.workers):
        for query in (
            f"digest={wanted.digest}",
            f"image_id={wanted.image_id}",
            f"repository={wanted.repository}&tag={wanted.tag}",
            f"image=registry.example.com/{wanted.repository}:{wanted.tag}",
            f"image=registry.example.com/{wanted.repository}:{wanted.tag}@{wanted.digest}",
        ):
            found = await shown(daemon, query)
            assert found is not None, query
            assert found["image"]["digest"] == wanted.digest
            assert found["image"]["source"] == "registry"
            assert found["image"]["age_seconds"] > 0
            names = [v["name"] for v in found["report"]["vulnerabilities"]]
            assert names == [v.name for v in wanted.vulnerabilities]
        assert await shown(daemon, f"image=other.example.com/{wanted.repository}:{wanted.tag}") is None
        one = await daemon.get(f"/v1/scan/registry/fed.hub/image/{wanted.image_id}")
        assert one["image"]["digest"] == wanted.digest


async def test_the_images_with_a_vulnerability_are_found_page_by_page(scene: Scene) -> None:
    await scene.master.put(1, 20)
    await scene.synced()
    reports = [scans.report(n) for n in range(1, 21)]
    counted = Counter(name for r in reports for name in {v.name for v in r.vulnerabilities})
    name, most = counted.most_common(1)[0]

    found: list[str] = []
    cursor = ""
    while True:
        page = await scene.one.get(f"/v1/scan/cve/{name.lower()}?limit=3&cursor={cursor}")
        found += [image["digest"] for image in page["images"]]
        cursor = page["next_cursor"]
        if not cursor:
            break

    assert most > 3
    assert page["total"] == len(found) == len(set(found))
    assert {r.digest for r in reports if name in {v.name for v in r.vulnerabilities}} <= set(found)


async def test_an_older_scan_is_answered_and_does_not_replace_a_newer_one(scene: Scene) -> None:
    await scene.master.put(30, scanned_at=1_790_000_000.0, vulnerabilities=3)
    await scene.master.put(30, scanned_at=1_785_000_000.0, vulnerabilities=9)
    await scene.synced()

    found = await shown(scene.one, f"digest={scans.report(30).digest}")

    assert found is not None
    assert len(found["report"]["vulnerabilities"]) == 3


async def test_what_is_removed_is_gone_everywhere(scene: Scene) -> None:
    await scene.master.put(40, 5)
    await scene.synced()
    gone = scans.report(41)

    await scene.master.remove(41)
    await scene.synced()

    for daemon in (scene.master, *scene.workers):
        assert await shown(daemon, f"digest={gone.digest}") is None
        assert await shown(daemon, f"repository={gone.repository}&tag={gone.tag}") is None
        listed = await daemon.get("/v1/scan/registry/fed.hub/images")
        assert gone.digest not in {i["digest"] for i in listed["images"]}
        assert await shown(daemon, f"digest={scans.report(42).digest}") is not None


async def test_results_of_a_registry_that_is_deleted_go_with_it(scene: Scene) -> None:
    await scene.add_registry("fed.other")
    await scene.master.put(60, 3, registry="fed.other")
    await scene.synced()

    deletion = {"kind": "registry", "op": "delete", "spec": {"name": "fed.other"}}
    await scene.master.post("/v1/fed/apply", {"documents": [deletion]})

    async def gone() -> bool:
        found = await scene.two.get("/v1/scan/registry/fed.other/images")
        return not found["images"]

    await eventually(gone)
    status, answer = await scene.master.call("POST", "/test/put", {"first": 60, "registry": "fed.other"})
    assert (status, answer["reason"]) == (404, "REGISTRY_UNKNOWN")


async def test_results_of_pipelines_come_and_go_with_the_setting(scene: Scene) -> None:
    await scene.master.put(70, 250, registry="_repo_scan", vulnerabilities=2)
    digest = f"digest={scans.report(75).digest}"
    await scene.synced()
    here = await shown(scene.master, digest)
    assert here is not None
    assert (here["image"]["registry"], here["image"]["source"]) == ("_repo_scan", "ci")
    assert await shown(scene.one, digest) is None

    await scene.master.call("PATCH", "/v1/fed/config", {"deploy_repo_scan_data": True})

    async def arrived() -> bool:
        found = await scene.one.get("/v1/scan/registry/fed._repo_scan/images")
        return len(found["images"]) == 250

    await eventually(arrived, 30)
    await scene.synced()
    there = await shown(scene.two, digest)
    assert there is not None
    assert there["image"]["registry"] == "fed._repo_scan"
    await scene.master.put(75, registry="_repo_scan", vulnerabilities=1, scanned_at=1_790_000_000.0)
    await scene.synced()

    await scene.master.call("PATCH", "/v1/fed/config", {"deploy_repo_scan_data": False})

    async def left() -> bool:
        return not (await scene.one.get("/v1/scan/registry/fed._repo_scan/images"))["images"]

    await eventually(left, 30)
    await scene.synced()
    assert await shown(scene.two, digest) is None
    kept = await shown(scene.master, digest)
    assert kept is not None
    assert (kept["image"]["registry"], len(kept["report"]["vulnerabilities"])) == ("_repo_scan", 1)


async def test_a_large_report_arrives_whole_and_its_object_goes_when_it_is_superseded(scene: Scene) -> None:
    await scene.master.put(400, vulnerabilities=40_000)
    await scene.synced()
    digest = f"digest={scans.report(400, vulnerabilities=0).digest}"
    for daemon in scene.workers:
        found = await shown(daemon, digest)
        assert found is not None
        assert len(found["report"]["vulnerabilities"]) == 40_000

    await scene.master.put(400, vulnerabilities=1, scanned_at=1_790_000_000.0)
    await scene.master.post("/test/collect")
    await scene.synced()
    found = await shown(scene.one, digest)
    assert found is not None
    assert len(found["report"]["vulnerabilities"]) == 1


async def test_the_object_of_a_pipelines_report_goes_when_the_setting_takes_it_away(scene: Scene) -> None:
    await scene.master.call("PATCH", "/v1/fed/config", {"deploy_repo_scan_data": True})
    await scene.master.put(410, registry="_repo_scan", vulnerabilities=20_000)
    await scene.synced()
    query = f"digest={scans.report(410, vulnerabilities=0).digest}"
    assert await shown(scene.one, query) is not None

    await scene.master.call("PATCH", "/v1/fed/config", {"deploy_repo_scan_data": False})

    async def left() -> bool:
        return await shown(scene.one, query) is None

    await eventually(left, 30)
    await scene.synced()
    kept = await shown(scene.master, query)
    assert kept is not None
    assert len(kept["report"]["vulnerabilities"]) == 20_000

    async def collected() -> bool:
        return await scene.master.get("/test/objects") == {"scans": 0, "m-scans": 1}

    await eventually(collected, 30)
    await scene.master.remove(410, registry="_repo_scan")  # other tests count what pipelines have


def snapshots(worker: Daemon) -> int:
    """Return how often a worker began to read all scan results."""
    lines = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]
    return sum(
        line.get("event") == "following" and line.get("scope") == "scans" and line["snapshot"]
        for line in lines
    )


async def test_a_forced_resync_reads_every_result_again(scene: Scene) -> None:
    await scene.master.put(1, 3)
    before, begun = (await scene.synced())[0]["scans"]["have"], snapshots(scene.one)

    await scene.master.post("/v1/fed/deploy", {"ids": [scene.ids[0]], "force": True})

    async def again() -> bool:
        return snapshots(scene.one) > begun

    await eventually(again, 40)
    assert (await scene.synced())[0]["scans"]["have"] == before


async def test_policy_does_not_wait_behind_a_backlog_of_results(scene: Scene, tmp_path: Path) -> None:
    for first in range(1000, 2600, 200):
        await scene.master.put(first, 200, vulnerabilities=40)
    async with Daemon("worker", tmp_path / "late") as late:
        await joined(scene.master, late, "late")

        async def row() -> dict[str, Any]:
            found: dict[str, Any] = (await late.get("/v1/fed/summary"))["clusters"][0]["scans"]
            return found

        async def begun() -> bool:
            return bool((await row())["have"])

        own = (await scene.master.get("/v1/fed/summary"))["clusters"][0]
        await eventually(begun)
        await apply(scene.master, group("urgent"))

        async def arrived() -> bool:
            return "fed.urgent" in {g["name"] for g in (await late.get("/v1/group?scope=fed"))["groups"]}

        await eventually(arrived)
        behind = await row()
        await late.post("/v1/fed/leave", {})

    assert behind["have"] < own["scans"]["total"]


async def test_images_are_shown_by_the_command_line(scene: Scene) -> None:
    await scene.master.put(5)
    await scene.synced()
    wanted = scans.report(5)

    async def said(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fedbus", "--data-dir", str(scene.two.directory), "scan", *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, out
        return out.decode()

    name = f"{wanted.repository}:{wanted.tag}"
    assert name in await said("search", name)
    assert "fed.hub" in await said("list", "--registry", "fed.hub", "--limit", "1")
    assert wanted.vulnerabilities[0].name in await said("show", wanted.digest)
    assert wanted.digest in await said("show", f"registry.example.com/{name}")
    assert "is in" in await said("cve", wanted.vulnerabilities[0].name)
    assert "fed.hub" in await said("results")
