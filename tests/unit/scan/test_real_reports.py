"""Reports of real scanners, and what is known to be in them."""

from collections import Counter

import msgspec
import pytest

from fedbus.errors import InvalidInput
from fedbus.model.scan import ModuleCve, Report, Vulnerability
from fedbus.scan.importers import Format, Given, read
from tests.support.scan_files import IMAGE, RECEIVED, REPORTS, ci_body, imported

COUNTS = {
    "grype/many_vulns3.json": {
        "Critical": 5, "High": 24, "Medium": 155, "Low": 27, "Negligible": 106, "Unknown": 10,
    },
    "neuvector-scan/one_vuln.json": {"High": 1},
    "sarif/trivy-alpine-310.sarif": {"Medium": 4},
    "sbom-vex/cyclonedx-1.4-vuln.json": {"Critical": 1},
    "trivy/alpine-310.json": {"Medium": 4},
    "trivy/gomod-vex.json": {"Unknown": 4},
    "trivy/npm.json": {"Medium": 1},
}  # fmt: skip


def report(name: str, given: Given = IMAGE) -> Report:
    (one,) = imported(name, given).reports
    return one


def named(found: Report, name: str) -> Vulnerability:
    return next(one for one in found.vulnerabilities if one.name == name)


@pytest.mark.parametrize("name", REPORTS)
def test_the_severities_of_every_file_are_as_its_scanner_says(name: str) -> None:
    found = imported(name)
    counted = Counter(one.severity for each in found.reports for one in each.vulnerabilities)
    assert counted == COUNTS.get(name, {})
    assert found.rejected == ()


def test_trivy_says_the_image_its_packages_and_both_scores() -> None:
    found = report("trivy/alpine-310.json", Given())
    one = named(found, "CVE-2019-1549")
    assert (found.registry_url, found.repository, found.tag) == (
        "https://ghcr.io/", "aquasecurity/trivy-test-images", "alpine-310",
    )  # fmt: skip
    assert (
        found.digest
        == found.image_id
        == ("sha256:961769676411f082461f9ef46626dd7a2d1e2b2a38e6a44364bcbecf51e66dd4")
    )
    assert (found.base_os, found.platform, found.run_as_root) == ("alpine:3.10.2", "linux/amd64", True)
    assert (one.score, one.score_v3, one.fixed_version) == (5.0, 5.3, "1.1.1d-r0")
    assert one.published_timestamp == 1568135700
    module = next(each for each in found.modules if each.name == one.package_name)
    assert (module.ecosystem, module.source) == ("apk", "alpine:3.10.2")
    assert ModuleCve(name=one.name, status="fix exists") in module.cves
    assert one.name in found.layers[0].vulnerabilities
    assert found.secrets is None  # nobody looked


def test_secrets_are_kept_without_what_is_secret() -> None:
    found = report("trivy/secrets.json")
    assert [one.type for one in found.secrets or ()] == ["aws-access-key-id", "mysecret"]
    raw = msgspec.json.encode(found)
    assert b"ghp_" not in raw
    assert b"AWS_ACCESS_KEY_ID=****" in raw


def test_a_scan_of_a_directory_is_known_by_its_name() -> None:
    found = report("trivy/npm.json", Given())
    assert found.digest == found.repository == "testdata/fixtures/repo/npm"
    assert Counter(one.ecosystem for one in found.modules) == {"npm": 12}
    assert named(found, "CVE-2019-11358").file_name == "package-lock.json"


def test_a_report_without_any_digest_is_known_by_the_name_of_its_image() -> None:
    assert report("trivy/dd-no-vuln.json", Given()).digest == "trivy-unittest:latest"


def test_grype_carries_the_configuration_of_the_image() -> None:
    found = report("grype/many_vulns3.json", Given())
    assert (found.repository, found.tag, found.base_os) == (
        "defectdojo/defectdojo-django",
        "1.13.1",
        "debian:10",
    )
    assert found.digest.startswith("sha256:91bc0f1478c6")
    assert found.image_id.startswith("sha256:6132ee54d555")
    assert not found.run_as_root  # its user is 1001
    assert "DD_CELERY_BROKER_PASSWORD=****" in found.envs
    assert "DD_CELERY_BROKER_PORT=5672" in found.envs
    assert len(found.layers) == 18
    assert Counter(one.ecosystem for one in found.modules) == {"deb": 56, "pypi": 6}
    one = named(found, "CVE-2019-18276")
    assert (one.severity, one.score, one.package_name, one.fixed_version) == ("Negligible", 7.2, "bash", "")


def test_neuvectors_file_says_all_but_the_image() -> None:
    rejected = imported("neuvector-scan/one_vuln.json", Given()).rejected
    assert [(one.path, one.message) for one in rejected] == [
        ("$.report", "the report does not say which image it is about")
    ]
    found = report("neuvector-scan/one_vuln.json")
    one = named(found, "CVE-2015-8356")
    assert (one.score, one.score_v3, one.published_timestamp, one.in_base_image) == (
        7.2,
        7.3,
        1516561260,
        True,
    )
    assert (one.cves, one.cpes, one.tags) == ((), (), ())  # what was there was empty
    assert found.envs[0] == "PATH=/usr/local/sbin"
    assert found.secrets == ()
    assert found.checks[0].category == "docker"


def test_a_result_of_a_pipeline_says_everything() -> None:
    (found,) = read(ci_body(), received=RECEIVED).reports
    one = named(found, "CVE-2026-0001")
    assert (one.severity, one.score, one.score_v3, one.published_timestamp) == ("High", 6.8, 8.1, 1767225600)
    assert (found.registry_url, found.image_id) == ("https://registry.example.com/", "sha256:" + "49" * 32)
    assert (found.base_os, found.cvedb_version) == ("alpine:3.17.0", "3.512")
    assert (found.envs, found.labels) == (("A=b", "DB_PASSWORD=****"), {"x": "y"})
    assert not found.run_as_root  # the newest USER is 1001
    assert (found.scanned_at, found.secrets) == (RECEIVED, ())
    assert found.signature.verifiers == ("root1/ver1",)
    assert found.modules[0].ecosystem == "apk"


@pytest.mark.parametrize("field", ["ImageID", "Digest", "Repository", "Tag"])
def test_a_result_of_a_pipeline_must_name_its_image(field: str) -> None:
    (rejected,) = read(ci_body(**{field: ""}), received=RECEIVED).rejected
    assert (rejected.path, rejected.code) == (f"$.result.{field}", "BODY_MALFORMED")


def test_cyclonedx_says_what_its_author_found_out() -> None:
    (one,) = report("sbom-vex/cyclonedx-1.4-vuln.json").vulnerabilities
    assert one.package_name == "com.fasterxml.jackson.core:jackson-databind"
    assert (one.score_v3, one.fixed_version, one.cves) == (
        9.8,
        "2.6.7.5, 2.8.11.1, 2.9.5",
        ("CVE-2018-7489",),
    )
    assert [(vex.status, vex.justification) for vex in one.vex] == [("not_affected", "code_not_reachable")]
    module = report("sbom-vex/cyclonedx-1.4-vuln.json").modules[0]
    assert (module.ecosystem, module.cves[0].status) == ("maven", "will not fix")


def test_sarif_is_read_from_its_messages() -> None:
    found = report("sarif/trivy-alpine-310.sarif", Given())
    one = named(found, "CVE-2019-1549")
    assert (one.package_name, one.package_version, one.fixed_version) == (
        "libcrypto1.1",
        "1.1.1c-r0",
        "1.1.1d-r0",
    )
    assert (one.score_v3, found.tag, found.scanner) == (5.3, "alpine-310", "trivy")


def test_a_sarif_file_without_runs_holds_nothing() -> None:
    assert imported("sarif/no_runs.sarif").reports == ()


@pytest.mark.parametrize(
    ("name", "word"),
    [("neuvector-scan/compliance_many.json", "compliance"), ("sbom-vex/openvex-multiple.json", "OpenVEX")],
)
def test_what_is_no_scan_is_refused_by_its_name(name: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        imported(name)


def test_an_spdx_document_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="SPDX") as caught:
        read(b'{"spdxVersion": "SPDX-2.3", "packages": []}', received=RECEIVED)
    assert "trivy sbom" in caught.value.remedy


def test_null_is_a_scan_that_found_nothing() -> None:
    found = read(b"null\n", received=RECEIVED, given=IMAGE)
    assert found.format is Format.TRIVY_LEGACY
    assert found.reports[0].digest == IMAGE.digest
