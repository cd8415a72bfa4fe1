"""The whole way: an image is pushed, scanned on the master, known on two workers, deleted, gone on both."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons import Daemon, eventually, joined, promoted
from tests.support.registry import (
    OPENSSL,
    OPENSSL_CVES,
    PASSWORD,
    USER,
    DockerRegistry,
    database,
    needs_registry,
    root,
)

pytestmark = [needs_registry, pytest.mark.xdist_group("registry")]


async def scan(master: Daemon) -> dict[str, Any]:
    await master.post("/v1/scan/registry/fed.hub/scan")

    async def idle() -> dict[str, Any] | None:
        summary = (await master.get("/v1/scan/registry/fed.hub"))["summary"]
        return summary if summary["status"] == "idle" else None

    found: dict[str, Any] = await eventually(idle, 60.0)
    assert found["state"] == "done", found
    return found


async def test_an_image_is_scanned_on_the_master_known_on_every_worker_and_gone_with_its_deletion(
    tmp_path: Path,
) -> None:
    database(tmp_path / "master" / "trivy")
    async with (
        DockerRegistry(tmp_path / "registry", secure=True) as registry,
        Daemon(
            "master",
            tmp_path / "master",
            trivy_offline="true",
            registry_ca=str(registry.directory / "tls/ca.pem"),
        ) as master,
        Daemon("worker", tmp_path / "one") as one,
        Daemon("worker", tmp_path / "two") as two,
    ):
        await promoted(master)
        for name, worker in (("one", one), ("two", two)):
            await joined(master, worker, name)
        image = await registry.push("team/app", "1", root(OPENSSL))
        config = {
            "name": "fed.hub",
            "registry_type": "Docker Registry",
            "registry": registry.url,
            "filters": ["team/*"],
            "username": USER,
            "password": PASSWORD,
        }
        await master.post("/v1/scan/registry", {"config": config})

        assert (await scan(master))["scanned"] == 1

        by_tag = f"/v1/scan/image?repository=team/app&tag=1&registry={registry.url}"
        by_digest = f"/v1/scan/image?digest={image.digest}"
        for worker in (one, two):
            for path in (by_tag, by_digest):

                async def known(worker: Daemon = worker, path: str = path) -> dict[str, Any] | None:
                    status, found = await worker.call("GET", path)
                    return found if status == 200 else None

                found = await eventually(known, 30.0)
                names = {entry["name"] for entry in found["report"]["vulnerabilities"]}
                assert names == OPENSSL_CVES, path

            assert (await worker.get("/v1/scan/registry/fed.hub"))["summary"]["scanned"] == 1

        await registry.delete("team/app", image)
        await scan(master)

        for worker in (one, two):

            async def gone(worker: Daemon = worker) -> bool:
                statuses = [(await worker.call("GET", path))[0] for path in (by_tag, by_digest)]
                return statuses == [404, 404]

            await eventually(gone, 30.0)
