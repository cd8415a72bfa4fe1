"""Admission by the scans that a cluster holds."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from fedbus.cluster.admission.decider import Admission
from fedbus.cluster.admission.held_scans import HeldScans
from fedbus.cluster.admission.rules import LocalRules
from fedbus.cluster.scans.local_results import LocalResults
from fedbus.core.image_reference import image_reference
from fedbus.kube import review
from fedbus.model.policy.admission import AdmissionCriterion, AdmissionRule, AdmissionState
from fedbus.model.scan import Report, ScannedImage, Vulnerability
from fedbus.runtime import Clock
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction
from tests.support.api_server import pod_review

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
async def scans(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "scans.db", "NORMAL", scans=True) as opened:
        yield opened


async def put(scans: Database, *severities: str, at: float = 1.0, digest: str = DIGEST) -> None:
    found = [{"name": f"CVE-2026-{n}", "severity": s, "package_name": "p"} for n, s in enumerate(severities)]
    report = Report(
        digest=digest,
        registry="r",
        registry_url="https://docker.io/",
        repository="library/nginx",
        tag="1",
        scanned_at=at,
        vulnerabilities=msgspec.convert(found, tuple[Vulnerability, ...]),
    )
    image = ScannedImage(registry="r", repository="library/nginx", tag="1", digest=digest)
    await LocalResults(scans).put([report], [image])


async def test_an_image_is_found_by_its_digest_or_its_name_and_the_newest_scan_counts(
    scans: Database,
) -> None:
    held = HeldScans(scans, keep=1)
    assert await held.reports(image_reference("nginx:1")) == []
    await put(scans, "High")
    for name in ("nginx:1", "index.docker.io/library/nginx:1", f"nginx:2@{DIGEST}", f"other/x@{DIGEST}"):
        (found,) = await held.reports(image_reference(name))
        assert len(found.vulnerabilities) == 1
        assert await held.known(image_reference(name))
    await put(scans, "High", "Low", at=2.0)
    (found,) = await held.reports(image_reference("nginx:1"))
    assert len(found.vulnerabilities) == 2
    for name in ("nginx:2", "quay.io/library/nginx:1", "nginx@sha256:" + "b" * 64):
        assert await held.reports(image_reference(name)) == []
        assert not await held.known(image_reference(name))


async def test_a_rule_on_vulnerabilities_decides_by_the_scans_that_are_held(
    scans: Database, tmp_path: Path
) -> None:
    criterion = AdmissionCriterion(name="cveHighCount", op=">=", value="1")
    rule = AdmissionRule(id=1000, rule_type="deny", criteria=(criterion,), cfg_type="user_created")

    def write(tx: Transaction) -> None:
        tx.local.put("admission_rule", "1000", msgspec.json.encode(rule), version=1, at="")
        state = AdmissionState(enable=True, mode="protect")
        tx.local.put("admission_state", "default", msgspec.json.encode(state), version=1, at="")

    async with Database(tmp_path / "store.db", "NORMAL") as database:
        await database.write(write)
        admission = Admission(database, Clock(), [LocalRules()], scans=HeldScans(scans))
        await admission.load()
        asked = review.read(msgspec.json.encode(pod_review("nginx:1")))

        unscanned = await admission.answer(asked)
        await put(scans, "High")
        scanned = await admission.answer(asked)

    assert unscanned.allowed
    assert any("scan" in warning for warning in unscanned.warnings)
    assert not scanned.allowed
    assert "cveHighCount" in scanned.message
