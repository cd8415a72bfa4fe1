"""Registries and scanners that misbehave: what fails is said, what is held stays, the others go on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from fedbus.cluster.registries.run import Running
from fedbus.model.scan import Report
from fedbus.runtime import Clock
from fedbus.scan.oci import transport
from fedbus.scan.scanners.interface import Database, ScanError, Target
from tests.support.daemons import eventually
from tests.support.fake_registry import MANIFEST, FakeRegistry, fake_registry, manifest, never
from tests.support.registry import OPENSSL, DockerRegistry, bomb, needs_registry, root
from tests.support.scanning import Scanning, scanning


class FakeScanner:
    """Finds nothing in what it is let to; `held` are scanned until they are let go."""

    def __init__(self) -> None:
        self.scanned: list[str] = []
        self.failing: dict[str, ScanError] = {}
        self.hold, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()
        self.most, self.now = 0, 0
        self.stuck_after = 1_000_000

    async def prepare(self, *, update: bool = True) -> Database:
        return Database("1", "2026-01-01T00:00:00Z")

    async def scan(self, target: Target) -> Report:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            self.hold.set()
            await self.go.wait()
            if len(self.scanned) >= self.stuck_after:
                await asyncio.Event().wait()
        finally:
            self.now -= 1
        if error := self.failing.get(target.repository):
            raise error
        self.scanned.append(target.repository)
        return Report(digest=target.digest, scanned_at=Clock().now(), cvedb_version="1")


def use(cluster: Scanning, scanner: FakeScanner, **changes: Any) -> None:
    shared: Running = cluster.registries.shared
    cluster.registries.shared = msgspec.structs.replace(shared, scanner=scanner, **changes)


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    async with fake_registry() as made:
        made.catalog("a", "b", "c")
        for name in ("a", "b", "c"):
            made.holds(name, {"1": manifest(name=name)})
        yield made


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Scanning]:
    async with scanning(tmp_path / "cluster") as made:
        yield made


@pytest.fixture
async def scanned(fake: FakeRegistry, cluster: Scanning) -> FakeScanner:
    """Make a registry of three images that were scanned."""
    scanner = FakeScanner()
    use(cluster, scanner)
    await cluster.define("r", fake.url)
    assert (await cluster.scanned("r")).scanned == 3
    return scanner


async def three(cluster: Scanning) -> bool:
    return len(await cluster.tags("r")) == len(await cluster.digests("r")) == 3


async def test_a_registry_that_is_down_keeps_its_results_and_says_so(
    fake: FakeRegistry, cluster: Scanning, scanned: FakeScanner
) -> None:
    fake.says("/v2/", {}, status=503)
    status = await cluster.scanned("r")
    assert (status.state, status.error_code, bool(status.error_message)) == (
        "failed",
        "REGISTRY_FAILED",
        True,
    )
    assert await three(cluster)


async def test_a_registry_that_is_slow_keeps_its_results(
    fake: FakeRegistry, cluster: Scanning, scanned: FakeScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    for path in list(fake.answers):
        if "manifests" in path:
            fake.answers[path] = never
    status = await cluster.scanned("r")
    assert {failure.code for failure in status.failures} == {"REGISTRY_UNREACHABLE"}
    assert await three(cluster)


@pytest.mark.parametrize("body", [b"<html>", b'{"repositories": {}}', b""])
async def test_a_registry_that_answers_html_keeps_its_results(
    fake: FakeRegistry, cluster: Scanning, scanned: FakeScanner, body: bytes
) -> None:
    fake.says("/v2/_catalog", body, Content_Type="text/html")
    status = await cluster.scanned("r")
    assert (status.state, status.error_code) == ("failed", "REGISTRY_ANSWER")
    assert await three(cluster)


async def test_a_registry_that_loops_its_paging_keeps_its_results(
    fake: FakeRegistry, cluster: Scanning, scanned: FakeScanner
) -> None:
    fake.says("/v2/_catalog", {"repositories": ["a"]}, Link='</v2/_catalog?n=1000>; rel="next"')
    assert (await cluster.scanned("r")).error_code == "REGISTRY_PAGING"
    assert await three(cluster)


async def test_an_image_whose_manifest_is_missing_fails_alone_and_is_gone(
    fake: FakeRegistry, cluster: Scanning, scanned: FakeScanner
) -> None:
    fake.says("/v2/a/manifests/1", {"errors": []}, status=404)
    status = await cluster.scanned("r")
    assert (status.state, status.failed) == ("done", 1)
    assert [(one.repository, one.tag, one.code) for one in status.failures] == [("a", "1", "NAME_MISSING")]
    assert set(await cluster.tags("r")) == {"b:1", "c:1"}
    assert len(await cluster.digests("r")) == 2


async def test_an_image_whose_digest_is_wrong_fails_alone_and_keeps_its_result(
    fake: FakeRegistry, cluster: Scanning, scanned: FakeScanner
) -> None:
    fake.says("/v2/a/manifests/1", manifest(name="other"), Content_Type=MANIFEST,
              Docker_Content_Digest="sha256:" + "1" * 64)  # fmt: skip
    status = await cluster.scanned("r")
    assert [one.code for one in status.failures] == ["DIGEST_MISMATCH"]
    assert await three(cluster)


async def test_a_repository_that_cannot_be_listed_keeps_its_results_and_one_that_is_gone_does_not(
    fake: FakeRegistry, cluster: Scanning, scanned: FakeScanner
) -> None:
    fake.says("/v2/a/tags/list", {}, status=500)
    fake.says("/v2/b/tags/list", {}, status=404)
    await cluster.scanned("r")
    assert set(await cluster.tags("r")) == {"a:1", "c:1"}
    assert len(await cluster.digests("r")) == 2


async def test_an_image_that_is_too_large_is_not_scanned(fake: FakeRegistry, cluster: Scanning) -> None:
    layer = {"digest": "sha256:" + "2" * 64, "size": 20 << 30}
    fake.holds("a", {"1": manifest(layers=[layer])})
    scanner = FakeScanner()
    use(cluster, scanner)
    await cluster.define("r", fake.url)
    status = await cluster.scanned("r")
    assert [(one.repository, one.code) for one in status.failures] == [("a", "SCAN_TOO_LARGE")]
    assert sorted(scanner.scanned) == ["b", "c"]


async def test_more_images_than_are_allowed_are_left_out_and_that_is_said(
    fake: FakeRegistry, cluster: Scanning
) -> None:
    scanner = FakeScanner()
    use(cluster, scanner, max_images=2)
    await cluster.define("r", fake.url, "a", "b", "c:*")
    status = await cluster.scanned("r")
    assert (len(scanner.scanned), len(status.limits)) == (2, 1)


async def test_an_image_that_cannot_be_scanned_fails_alone_and_is_tried_again(
    fake: FakeRegistry, cluster: Scanning
) -> None:
    scanner = FakeScanner()
    use(cluster, scanner)
    scanner.failing["b"] = ScanError("it is broken")
    await cluster.define("r", fake.url)
    status = await cluster.scanned("r")
    assert (status.state, status.scanned, status.failed) == ("done", 2, 1)
    assert [(one.repository, one.message) for one in status.failures] == [("b", "it is broken")]
    scanner.failing.clear()
    assert (await cluster.scanned("r")).failed == 0
    assert sorted(scanner.scanned) == ["a", "b", "c"]


async def test_a_scanner_that_is_not_there_ends_the_run(fake: FakeRegistry, cluster: Scanning) -> None:
    scanner = FakeScanner()
    use(cluster, scanner)
    scanner.failing["a"] = ScanError("it is gone", code="SCANNER_MISSING")
    await cluster.define("r", fake.url)
    assert (await cluster.scanned("r")).error_code == "SCANNER_MISSING"


async def test_no_more_images_are_scanned_at_once_than_are_allowed(
    fake: FakeRegistry, cluster: Scanning
) -> None:
    names = [f"r{number}" for number in range(20)]
    fake.catalog(*names)
    for name in names:
        fake.holds(name, {"1": manifest(name=name)})
    scanner = FakeScanner()
    scanner.go.clear()
    use(cluster, scanner, turns=asyncio.Semaphore(3), at_once=10)
    for registry in ("r", "s"):
        await cluster.define(registry, fake.url)
        await cluster.registries.start(registry, "manual")

    async def full() -> bool:
        going = [await cluster.registries.status(registry) for registry in ("r", "s")]
        return scanner.now == 3 and all(one.state == "scanning" for one in going)

    await eventually(full)
    scanner.go.set()
    for registry in ("r", "s"):
        assert (await cluster.idle(registry)).scanned == 20
    assert scanner.most == 3


async def test_a_scan_that_is_stopped_keeps_what_it_did_and_begins_where_it_was(
    fake: FakeRegistry, cluster: Scanning
) -> None:
    scanner = FakeScanner()
    use(cluster, scanner, turns=asyncio.Semaphore(1))
    scanner.go.clear()
    await cluster.define("r", fake.url)
    await cluster.registries.start("r", "manual")
    await scanner.hold.wait()
    going = await cluster.registries.status("r")
    assert (going.status, going.state, going.scanning, going.scheduled) == ("scanning", "scanning", 1, 2)

    stopped = await cluster.registries.stop("r")

    assert (stopped.status, stopped.state, scanner.scanned) == ("idle", "stopped", [])
    scanner.go.set()
    assert (await cluster.scanned("r")).scanned == 3


async def test_a_restart_goes_on_and_does_not_do_again_what_is_done(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    first, second = FakeScanner(), FakeScanner()
    async with scanning(tmp_path / "cluster") as made:
        use(made, first, turns=asyncio.Semaphore(1))
        await made.define("r", fake.url)
        await made.scanned("r")
        first.scanned.clear()
        first.stuck_after = 1
        await made.registries.start("r", "forced")

        async def stuck() -> bool:
            return len(first.scanned) == 1 and first.now == 1

        await eventually(stuck)
    done = set(first.scanned)

    async with scanning(tmp_path / "cluster", made, scanner=second) as again:
        status = await again.idle("r")

    assert (status.state, status.reason, status.scanned) == ("done", "forced", 3)
    assert set(second.scanned) == {"a", "b", "c"} - done


@needs_registry
async def test_a_registry_that_is_stopped_and_started_again_is_found_again(
    tmp_path: Path, cluster: Scanning
) -> None:
    async with DockerRegistry(tmp_path / "registry") as registry:
        image = await registry.push("app", "1", root(OPENSSL))
        await cluster.define("r", registry.url)
        await cluster.scanned("r")
        await registry.stop()

        status = await cluster.scanned("r")

        assert (status.state, status.error_code) == ("failed", "REGISTRY_UNREACHABLE")
        assert await cluster.digests("r") == {image.digest}
        await registry.start()
        assert (await cluster.scanned("r")).state == "done"


@needs_registry
async def test_a_layer_that_unpacks_without_end_is_given_up_and_the_others_are_scanned(
    tmp_path: Path,
) -> None:
    async with (
        DockerRegistry(tmp_path / "registry") as registry,
        scanning(tmp_path / "cluster", scan_seconds=5.0) as cluster,
    ):
        await registry.push("bomb", "1", {}, layer=bomb(64))
        sound = await registry.push("sound", "1", root(OPENSSL))
        await cluster.define("r", registry.url)

        status = await cluster.scanned("r")

        assert [(one.repository, one.code) for one in status.failures] == [("bomb", "SCAN_TIMEOUT")]
        assert (status.state, await cluster.digests("r")) == ("done", {sound.digest})
