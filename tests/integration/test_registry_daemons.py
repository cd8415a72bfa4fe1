"""Registries through the daemons: federated on the master, local everywhere, secrets nowhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fedbus.cli.main import app
from tests.support.daemons import Daemon, eventually, joined, promoted
from tests.support.registry import (
    OPENSSL,
    PASSWORD,
    USER,
    ZLIB,
    DockerRegistry,
    database,
    needs_registry,
    root,
)

pytestmark = [needs_registry, pytest.mark.xdist_group("registry")]

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[DockerRegistry]:
    async with DockerRegistry(tmp_path / "registry", secure=True) as made:
        await made.push("team/app", "1", root(OPENSSL))
        await made.push("team/z", "1", root(ZLIB))
        yield made


@pytest.fixture
async def scene(tmp_path: Path, hub: DockerRegistry) -> AsyncIterator[tuple[Daemon, Daemon]]:
    settings: dict[str, Any] = {"trivy_offline": "true", "registry_ca": str(hub.ca)}
    for name in ("master", "worker"):
        database(tmp_path / name / "trivy")
    async with (
        Daemon("master", tmp_path / "master", **settings) as master,
        Daemon("worker", tmp_path / "worker", **settings) as worker,
    ):
        await promoted(master)
        await joined(master, worker, "shop")
        yield master, worker


def command(daemon: Daemon) -> Command:
    async def run(*line: str, stdin: str = "") -> Result:
        whole = ["--data-dir", str(daemon.directory), *line]
        return await asyncio.to_thread(CliRunner().invoke, app, whole, input=stdin)

    return run


def config(name: str, hub: DockerRegistry, **fields: Any) -> dict[str, Any]:
    about = {"name": name, "registry_type": "Docker Registry", "registry": hub.url, "filters": ["*"]}
    return {"config": {**about, "username": USER, "password": PASSWORD, **fields}}


async def done(daemon: Daemon, name: str) -> dict[str, Any]:
    async def idle() -> dict[str, Any] | None:
        summary = (await daemon.get(f"/v1/scan/registry/{name}"))["summary"]
        return summary if summary["status"] == "idle" and summary["state"] else None

    found: dict[str, Any] = await eventually(idle, 60.0)
    return found


async def test_a_federated_registry_is_scanned_on_the_master_and_seen_without_credentials_on_workers(
    scene: tuple[Daemon, Daemon], hub: DockerRegistry, tmp_path: Path
) -> None:
    master, worker = scene
    await master.post("/v1/scan/registry", config("fed.hub", hub))
    await master.post("/v1/scan/registry/fed.hub/scan")

    summary = await done(master, "fed.hub")

    assert (summary["state"], summary["scanned"], summary["failed"]) == ("done", 2, 0)
    assert (summary["username"], summary["password"]) == ("****", "****")

    async def arrived() -> dict[str, Any] | None:
        status, found = await worker.call("GET", "/v1/scan/registry/fed.hub")
        return found["summary"] if status == 200 else None

    seen = await eventually(arrived)
    assert (seen["password"], seen["registry"]) == ("****", hub.url)
    for method, path in (("POST", "/scan"), ("DELETE", "/scan"), ("POST", "/test"), ("DELETE", "")):
        status, refused = await worker.call(method, f"/v1/scan/registry/fed.hub{path}", {})
        assert (status, refused["reason"]) == (403, "FEDERATED_READ_ONLY"), (method, path)
    for daemon in scene:
        assert PASSWORD not in daemon.log()
        for file in daemon.directory.rglob("*"):
            if file.is_file():
                assert PASSWORD.encode() not in file.read_bytes(), file


async def test_a_mask_keeps_the_credentials_and_another_address_does_not_get_them(
    scene: tuple[Daemon, Daemon], hub: DockerRegistry, tmp_path: Path
) -> None:
    master, _ = scene
    await master.post("/v1/scan/registry", config("fed.hub", hub))
    path = "/v1/scan/registry/fed.hub"
    held = (await master.get(path))["summary"]

    status, changed = await master.call("PATCH", path, {"config": held | {"filters": ["team/app"]}})
    assert (status, [c["op"] for c in changed["changes"]]) == (200, ["updated"])
    await master.post(path + "/scan")
    assert (await done(master, "fed.hub"))["scanned"] == 1

    async with DockerRegistry(tmp_path / "other", secure=True) as other:
        tried = await master.post(path + "/test", {"config": {"registry": other.url}})
        assert not tried["success"]
        status, _ = await master.call("PATCH", path, {"config": {"registry": other.url}})
        assert status == 200
        await master.post(path + "/scan")
        summary = await done(master, "fed.hub")
        assert (summary["state"], summary["error_code"]) == ("failed", "CREDENTIALS_ELSEWHERE")


async def test_what_is_refused_leaves_the_credentials_as_they_were(
    scene: tuple[Daemon, Daemon], hub: DockerRegistry
) -> None:
    _, worker = scene
    path = "/v1/scan/registry/own"
    await worker.post("/v1/scan/registry", config("own", hub))

    status, refused = await worker.call("POST", "/v1/scan/registry", config("own", hub, password="other"))
    assert (status, refused["reason"]) == (409, "OBJECT_EXISTS")
    bad = {"config": {"password": "other", "filters": []}}
    assert (await worker.call("PATCH", path, bad))[0] == 422
    dry = {"config": {"password": "other", "repo_limit": 5}}
    assert (await worker.call("PATCH", path + "?dry_run=true", dry))[0] == 200

    await worker.post(path + "/scan")
    assert (await done(worker, "own"))["state"] == "done"

    status, _ = await worker.call("PATCH", path, {"config": {"username": "", "password": ""}})
    assert status == 200
    shown = (await worker.get(path))["summary"]
    assert (shown["username"], shown["password"]) == ("", "")
    await worker.post(path + "/scan")
    assert (await done(worker, "own"))["error_code"] == "REGISTRY_UNAUTHORIZED"


async def test_the_command_line_adds_tries_scans_shows_and_removes(
    scene: tuple[Daemon, Daemon], hub: DockerRegistry, tmp_path: Path
) -> None:
    _, worker = scene
    run = command(worker)
    added = await run(
        "registry", "add", "own", "--registry", hub.url, "--username", USER, "--password-file", "-",
        stdin=PASSWORD + "\n",
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    tried = await run("registry", "test", "own")
    assert tried.exit_code == 0, tried.output

    scanned = await run("registry", "scan", "own")
    assert scanned.exit_code == 0, scanned.output
    listed = await run("registry", "list")
    assert "own" in listed.output
    assert "done" in listed.output
    stopped = await run("registry", "stop", "own")
    assert stopped.exit_code == 0, stopped.output

    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    changed = await run("registry", "add", "own", "--update", "--password-file", str(wrong))
    assert changed.exit_code == 0, changed.output
    tried = await run("registry", "test", "own")
    assert (tried.exit_code, "does not accept the credentials" in tried.output) == (1, True), tried.output
    assert PASSWORD not in tried.output

    removed = await run("registry", "remove", "own", "--yes")
    assert removed.exit_code == 0, removed.output
    assert (await worker.call("GET", "/v1/scan/registry/own"))[0] == 404


async def test_a_scan_that_a_kill_cut_goes_on_and_does_not_begin_again(
    scene: tuple[Daemon, Daemon], hub: DockerRegistry
) -> None:
    master, _ = scene
    await hub.push("team/more", "1", root(OPENSSL | ZLIB))
    await master.post("/v1/scan/registry", config("fed.hub", hub))
    await master.post("/v1/scan/registry/fed.hub/scan")
    began = (await master.get("/v1/scan/registry/fed.hub"))["summary"]["started_at"]
    await master.kill()
    await master.start()

    summary = await done(master, "fed.hub")

    assert (summary["state"], summary["scanned"], summary["started_at"]) == ("done", 3, began)
