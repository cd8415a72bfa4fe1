"""A pipeline's results, from the command line to the clusters, on real daemons."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.main import app
from tests.support.daemons import Daemon, eventually, joined, promoted
from tests.support.scan_files import DATA, content, many_matches

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_scan_submission")]

TRIVY = DATA / "trivy/alpine-310.json"


def image(name: str) -> list[str]:
    """Return the options that name an image of a test's own: its digest is nobody else's."""
    digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
    return ["--repository", f"team/{name}", "--tag", "1", "--digest", digest]


class Scene:
    def __init__(self, root: Path) -> None:
        self.master = Daemon("master", root / "master", heartbeat_interval=1.0, checkpoint_interval=1.0)
        self.worker = Daemon("worker", root / "worker")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("submission"))
    async with made.master, made.worker:
        await promoted(made.master)
        await joined(made.master, made.worker, "shop")
        yield made


async def submit(daemon: Daemon, *line: str) -> list[dict[str, Any]]:
    where = ["--data-dir", str(daemon.directory), "-o", "json"]
    done = await asyncio.to_thread(CliRunner().invoke, app, [*where, "scan", "submit", *line])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["files"]
    return found


async def shown(daemon: Daemon, name: str) -> dict[str, Any] | None:
    status, answer = await daemon.call("GET", f"/v1/scan/image?repository=team/{name}&tag=1")
    assert status in (200, 404), answer
    return answer if status == 200 else None


async def deploy(scene: Scene, on: bool) -> None:
    status, answer = await scene.master.call("PATCH", "/v1/fed/config", {"deploy_repo_scan_data": on})
    assert status == 200, answer


async def test_a_result_reaches_the_clusters_while_the_setting_says_so(scene: Scene) -> None:
    await deploy(scene, on=False)
    (one,) = await submit(scene.master, str(TRIVY), *image("web"))
    assert one["accepted"][0]["result"] == "stored"
    found = await shown(scene.master, "web")
    assert found is not None
    assert found["image"]["source"] == "ci"
    names = [one["name"] for one in found["report"]["vulnerabilities"]]
    assert names.count("CVE-2019-1549") == 2
    assert await shown(scene.worker, "web") is None

    await deploy(scene, on=True)
    await eventually(lambda: shown(scene.worker, "web"), 30)
    await deploy(scene, on=False)

    async def gone() -> bool:
        return await shown(scene.worker, "web") is None

    await eventually(gone, 30)


async def test_an_older_scan_is_told_what_it_is_older_than(scene: Scene, tmp_path: Path) -> None:
    await submit(scene.master, str(TRIVY), *image("older"))
    older = tmp_path / "older.json"
    document = json.loads(content("trivy/alpine-310.json")) | {"CreatedAt": "2020-01-01T00:00:00Z"}
    older.write_text(json.dumps(document))
    (one,) = await submit(scene.master, str(older), *image("older"))
    accepted = one["accepted"][0]
    assert (accepted["result"], accepted["older_than"]["scanned_at"]) == ("older", 1629894030.0)


async def test_a_pipelines_older_scan_does_not_take_a_tag_back(scene: Scene, tmp_path: Path) -> None:
    def made(name: str, at: str) -> tuple[str, ...]:
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(json.loads(content("trivy/alpine-310.json")) | {"CreatedAt": at}))
        digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        return str(file), "--repository", "team/moved", "--tag", "1", "--digest", digest

    async def named() -> str:
        found = await scene.master.get("/v1/scan/images?q=team/moved")
        (one,) = [i for i in found["images"] if i["tag"] == "1"]
        return str(one["digest"])

    old, new = made("old", "2026-01-01T00:00:00Z"), made("new", "2026-02-01T00:00:00Z")
    await deploy(scene, on=False)
    await submit(scene.master, *new)
    await submit(scene.master, *old)
    assert await named() == new[-1]

    # Nor does a move to where all clusters see it.
    await deploy(scene, on=True)
    await submit(scene.master, *made("newest", "2026-03-01T00:00:00Z"))
    await eventually(lambda: shown(scene.worker, "moved"), 30)
    await submit(scene.master, *old)
    assert await named() == made("newest", "")[-1]


async def test_results_submitted_to_a_worker_stay_there(scene: Scene) -> None:
    await submit(scene.worker, str(DATA / "sarif/trivy-alpine-310.sarif"), *image("own"))
    found = await shown(scene.worker, "own")
    assert found is not None
    assert found["image"]["registry"] == "_repo_scan"
    assert await shown(scene.master, "own") is None
    (again,) = await submit(scene.worker, str(TRIVY), *image("own"))
    assert again["accepted"][0]["result"] == "older"  # Trivy's file says when it was made


async def test_a_large_report_is_present_on_a_worker(scene: Scene, tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(many_matches(3_800_000))
    await deploy(scene, on=True)
    await submit(scene.master, str(large), *image("large"))
    found = await eventually(lambda: shown(scene.worker, "large"), 30)
    assert len(found["report"]["vulnerabilities"]) > 2000


async def test_results_submitted_into_a_federated_registry_reach_the_clusters_and_go_with_it(
    scene: Scene,
) -> None:
    await define(scene.master, "fed.hub")
    (one,) = await submit(scene.master, str(TRIVY), "--into", "fed.hub", *image("federated"))
    assert one["accepted"][0]["result"] == "stored"
    found = await eventually(lambda: shown(scene.worker, "federated"), 30)
    assert (found["image"]["registry"], found["image"]["source"]) == ("fed.hub", "registry")
    summary = (await scene.master.get("/v1/scan/registry/fed.hub"))["summary"]
    assert (summary["scanned"], summary["images"], summary["reason"]) == (1, 1, "submitted")

    status, answer = await scene.master.call("DELETE", "/v1/scan/registry/fed.hub")
    assert status == 200, answer
    for daemon in (scene.master, scene.worker):
        await eventually(partial(gone, daemon, "federated"), 30)


async def test_results_submitted_into_a_clusters_own_registry_stay_there_and_go_with_it(scene: Scene) -> None:
    await define(scene.worker, "own")
    await submit(scene.worker, str(TRIVY), "--into", "own", *image("mine"))
    found = await shown(scene.worker, "mine")
    assert found is not None
    assert found["image"]["registry"] == "own"
    assert await shown(scene.master, "mine") is None

    status, answer = await scene.worker.call("DELETE", "/v1/scan/registry/own")
    assert status == 200, answer
    await eventually(lambda: gone(scene.worker, "mine"), 30)


async def test_results_go_into_no_registry_that_is_not_the_daemons(scene: Scene) -> None:
    await define(scene.master, "fed.elsewhere")
    for daemon, name in ((scene.master, "fed.none"), (scene.worker, "fed.elsewhere"), (scene.worker, "none")):
        where = ["--data-dir", str(daemon.directory), "-o", "json", "scan", "submit", str(TRIVY)]
        done = await asyncio.to_thread(CliRunner().invoke, app, [*where, "--into", name, *image("nowhere")])
        assert done.exit_code == ExitCode.NOT_FOUND, done.output
        assert repr(name) in json.loads(done.stdout)["files"][0]["rejected"][0]["message"]
        assert await shown(daemon, "nowhere") is None


async def define(daemon: Daemon, name: str) -> None:
    """Make a registry that nobody can reach, and that is scanned on demand only."""
    config: dict[str, object] = {"name": name, "registry_type": "Docker Registry", "filters": ["*"]}
    config |= {"registry": "https://hub.example.com/", "schedule": {"schedule": "manual"}}
    await daemon.post("/v1/scan/registry", {"config": config})


async def gone(daemon: Daemon, name: str) -> bool:
    return await shown(daemon, name) is None
