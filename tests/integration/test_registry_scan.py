"""A real registry, real images and the real Trivy: what is pushed is found, what is deleted is gone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fedbus.errors import NotFound
from tests.support.daemons import eventually
from tests.support.registry import (
    OCI_MANIFEST,
    OPENSSL,
    OPENSSL_CVES,
    PASSWORD,
    USER,
    ZLIB,
    ZLIB_CVES,
    DockerRegistry,
    needs_registry,
    root,
)
from tests.support.scanning import Scanning, scanning

pytestmark = [needs_registry, pytest.mark.xdist_group("registry")]


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[DockerRegistry]:
    async with DockerRegistry(tmp_path / "registry") as made:
        yield made


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Scanning]:
    async with scanning(tmp_path / "cluster") as made:
        yield made


async def test_an_image_is_scanned_once_for_all_its_tags_and_forgotten_with_them(
    registry: DockerRegistry, cluster: Scanning
) -> None:
    both = await registry.push("team/app", "1.0", root(OPENSSL | ZLIB))
    await registry.push("team/app", "latest", root(OPENSSL | ZLIB))
    zlib = await registry.push("lib/z", "1", root(ZLIB))
    await cluster.define("hub", registry.url)

    status = await cluster.scanned("hub")

    assert (status.state, status.images, status.scanned, status.failed) == ("done", 3, 2, 0)
    assert status.cvedb_create_time == "2026-11-01T00:00:00Z"
    assert await cluster.tags("hub") == {
        "team/app:1.0": both.digest,
        "team/app:latest": both.digest,
        "lib/z:1": zlib.digest,
    }
    assert await cluster.cves("hub", both.digest) == OPENSSL_CVES | ZLIB_CVES
    report = await cluster.report("hub", zlib.digest)
    assert (report.registry_url, report.repository, report.tag) == (registry.url, "lib/z", "1")
    assert (report.scanner, report.base_os, report.cvedb_version) == (
        "trivy",
        "debian:12.0",
        status.cvedb_version,
    )
    assert [(v.severity, v.score_v3, v.package_name) for v in report.vulnerabilities] == [
        ("Critical", 9.8, "zlib1g")
    ]
    assert [(m.name, m.cves[0].name) for m in report.modules] == [("zlib1g", "CVE-2023-45853")]

    await registry.delete("team/app", both)
    await cluster.scanned("hub")

    assert await cluster.tags("hub") == {"lib/z:1": zlib.digest}
    assert await cluster.digests("hub") == {zlib.digest}


async def test_a_tag_that_moves_is_known_by_its_new_digest(
    registry: DockerRegistry, cluster: Scanning
) -> None:
    old = await registry.push("app", "1", root(OPENSSL))
    await cluster.define("hub", registry.url)
    await cluster.scanned("hub")
    new = await registry.push("app", "1", root(ZLIB))

    await cluster.scanned("hub")

    assert await cluster.tags("hub") == {"app:1": new.digest}
    assert await cluster.digests("hub") == {new.digest}
    assert old.digest != new.digest


async def test_an_index_is_found_by_its_digest_and_every_platform_that_is_wanted_has_a_report(
    registry: DockerRegistry, tmp_path: Path
) -> None:
    amd = await registry.push("app", "", root(OPENSSL), media_type=OCI_MANIFEST)
    arm = await registry.push("app", "", root(ZLIB), media_type=OCI_MANIFEST, platform="linux/arm64")
    index = await registry.push_index("app", "1", {"linux/arm64": arm, "linux/amd64": amd})

    async with scanning(tmp_path / "one") as one:
        await one.define("hub", registry.url)
        await one.scanned("hub")
        assert await one.tags("hub") == {"app:1": amd.digest, f"app:{index.digest}": amd.digest}
        assert await one.digests("hub") == {amd.digest}
    async with scanning(tmp_path / "two", scan_platforms=("linux/arm64", "linux/amd64")) as two:
        await two.define("hub", registry.url)
        await two.scanned("hub")
        assert (await two.tags("hub"))["app:1"] == arm.digest
        assert await two.cves("hub", arm.digest) == ZLIB_CVES
        assert await two.cves("hub", amd.digest) == OPENSSL_CVES


async def test_filters_and_limits_say_what_is_scanned_and_a_limit_that_was_hit_is_shown(
    registry: DockerRegistry, cluster: Scanning
) -> None:
    for tag in ("1.9", "1.10", "latest", "dev"):
        await registry.push("team/app", tag, root(ZLIB))
    await registry.push("other/app", "1.9", root(ZLIB))
    await cluster.define("hub", registry.url, "team/*:1.[0-9]+", "team/app:latest", tag_limit=2)

    status = await cluster.scanned("hub")

    assert set(await cluster.tags("hub")) == {"team/app:latest", "team/app:1.10"}
    assert status.limits == ("only 2 tags of team/app are looked at (tag_limit)",)


async def test_a_registry_behind_tls_and_a_password_is_scanned_and_shows_neither(
    tmp_path: Path,
) -> None:
    async with DockerRegistry(tmp_path / "registry", secure=True) as registry:
        image = await registry.push("app", "1", root(OPENSSL))
        async with scanning(tmp_path / "cluster", registry_ca=registry.ca) as cluster:
            await cluster.define("hub", registry.url, username=USER, password=PASSWORD)
            assert (await cluster.scanned("hub")).failed == 0
            assert await cluster.cves("hub", image.digest) == OPENSSL_CVES

            await cluster.define("hub", registry.url, username=USER, password="wrong")
            status = await cluster.scanned("hub")
            assert (status.state, status.error_code) == ("failed", "REGISTRY_UNAUTHORIZED")
            assert await cluster.digests("hub") == {image.digest}
        async with scanning(tmp_path / "untrusting") as cluster:
            await cluster.define("hub", registry.url, username=USER, password=PASSWORD)
            status = await cluster.scanned("hub")
            assert (status.error_code, "registry_ca" in status.error_detail) == ("REGISTRY_TLS", True)
    for file in (tmp_path / "cluster").rglob("*"):
        if file.is_file():
            assert PASSWORD.encode() not in file.read_bytes(), file
    assert (tmp_path / "cluster/registries/key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "cluster/registries/credentials").stat().st_mode & 0o777 == 0o600


async def test_a_newer_database_has_images_scanned_again_where_that_is_wanted(
    registry: DockerRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedbus.cluster.registries.registries.DATABASE_SECONDS", 0.2)
    image = await registry.push("app", "1", root(OPENSSL))
    async with scanning(tmp_path / "cluster") as cluster:
        await cluster.define("again", registry.url, rescan_after_db_update=True)
        await cluster.define("once", registry.url)
        for name in ("again", "once"):
            await cluster.scanned(name)
        before = {name: await cluster.report(name, image.digest) for name in ("again", "once")}
        metadata = cluster.cache / "db" / "metadata.json"
        told = json.loads(metadata.read_text()) | {"UpdatedAt": "2026-11-02T00:00:00Z"}
        metadata.write_text(json.dumps(told))

        async def rescanned() -> bool:
            held = await cluster.report("again", image.digest)
            return held.cvedb_version != before["again"].cvedb_version

        await eventually(rescanned, 30.0)
        assert (await cluster.idle("again")).reason == "database"
        assert await cluster.report("once", image.digest) == before["once"]


async def test_a_known_digest_is_scanned_again_by_force_only(
    registry: DockerRegistry, cluster: Scanning
) -> None:
    image = await registry.push("app", "1", root(OPENSSL))
    await cluster.define("hub", registry.url)
    await cluster.scanned("hub")
    first = await cluster.report("hub", image.digest)

    await cluster.scanned("hub")
    assert await cluster.report("hub", image.digest) == first
    await cluster.scanned("hub", "forced")
    assert (await cluster.report("hub", image.digest)).scanned_at > first.scanned_at


async def test_a_periodical_registry_is_scanned_by_itself(
    registry: DockerRegistry, cluster: Scanning
) -> None:
    image = await registry.push("app", "1", root(OPENSSL))
    await cluster.define("hub", registry.url, schedule={"schedule": "periodical", "interval": 300})
    cluster.registries.poke()

    assert (await cluster.idle("hub")).reason == "periodical"
    assert await cluster.digests("hub") == {image.digest}


async def test_a_registry_that_is_removed_takes_its_results_and_credentials_along(
    registry: DockerRegistry, cluster: Scanning
) -> None:
    await registry.push("app", "1", root(OPENSSL))
    await cluster.define("hub", registry.url, username="nobody", password="nothing")
    await cluster.scanned("hub")
    cluster.defined.clear()
    cluster.registries.poke()

    async def forgotten() -> bool:
        return not await cluster.tags("hub") and not await cluster.registries.credentials.names()

    await eventually(forgotten)
    assert await cluster.digests("hub") == set()
    with pytest.raises(NotFound):
        await cluster.registries.start("hub", "manual")
