"""Variants of the formats that the real files do not have."""

import base64
from typing import Any

import msgspec
import pytest

from fedbus.core.scan.identity import Given
from fedbus.errors import InvalidInput
from fedbus.model.scan import Report
from fedbus.scan.importers import Imported, read, scanned
from tests.support.scan_files import IMAGE, RECEIVED, ci_body

DIGEST = "sha256:" + "cd" * 32


def load(document: object, given: Given = IMAGE) -> Imported:
    return read(msgspec.json.encode(document), received=RECEIVED, given=given)


def one(document: object, given: Given = IMAGE) -> Report:
    found = load(document, given)
    assert found.rejected == ()
    (report,) = found.reports
    return report


def trivy(*found: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    result = {"Target": "app:1 (debian 12)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": found}
    return {"SchemaVersion": 2, "ArtifactName": "app:1", "Metadata": metadata, "Results": [result]}


def vulnerability(**fields: Any) -> dict[str, Any]:
    return {"VulnerabilityID": "CVE-2024-1001", "PkgName": "p", "InstalledVersion": "1"} | fields


def test_an_older_list_of_results_is_one_image() -> None:
    found = one(trivy(vulnerability(Severity="LOW"))["Results"], Given())
    assert (found.repository, found.tag, found.base_os, found.digest) == ("app", "1", "debian:12", "app:1")


@pytest.mark.parametrize("digests", [None, [], [""]])
def test_without_a_repository_digest_the_image_id_identifies(digests: list[str] | None) -> None:
    assert one(trivy(RepoDigests=digests, ImageID=DIGEST), Given()).digest == DIGEST
    assert one(trivy(RepoDigests=digests), Given()).digest == "app:1"


def test_a_repository_digest_wins_over_the_image_id() -> None:
    digest = "sha256:" + "12" * 32
    assert one(trivy(RepoDigests=["", f"app@{digest}"], ImageID=DIGEST), Given()).digest == digest


@pytest.mark.parametrize(
    ("status", "fixed", "wanted"),
    [
        ("will_not_fix", "", "will not fix"),
        ("will_not_fix", "2", "will not fix"),
        ("end_of_life", "", "will not fix"),
        ("affected", "", "unpatched"),
        ("fix_deferred", "", "unpatched"),
        ("not_affected", "", "unaffected"),
        ("fixed", "2", "fix exists"),
        (None, "2", "fix exists"),
        (None, None, "unpatched"),
    ],
)
def test_the_state_of_a_fix_is_told(status: str | None, fixed: str | None, wanted: str) -> None:
    found = one(trivy(vulnerability(Status=status, FixedVersion=fixed)))
    assert found.modules[0].cves[0].status == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("1767225600", 1767225600),
        (1767225600, 1767225600),
        ("2026-01-01T00:00:00Z", 1767225600),
        ("2026-01-01T01:00:00.123456789+01:00", 1767225600),
        ("2026-01-01", 1767225600),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        (None, 0),
        (0, 0),
        (-5, 0),
        ("soon", 0),
        ("nan", 0),
        ("1e300", 0),
    ],
)
def test_publish_dates_in_all_their_variants(given: object, wanted: int) -> None:
    submitted = ci_body(Vuls=[{"Name": "CVE-2024-1001", "PublishedDate": given}])
    (by_pipeline,) = read(submitted, received=RECEIVED).reports
    by_trivy = one(trivy(vulnerability(PublishedDate=given)))
    assert by_pipeline.vulnerabilities[0].published_timestamp == wanted
    assert by_trivy.vulnerabilities[0].published_timestamp == wanted


def test_scores_come_from_the_source_of_the_severity_and_version_4_stands_in() -> None:
    cvss = {"nvd": {"V3Score": 9.8, "V2Score": 7.5}, "redhat": {"V3Score": 5.5}}
    found = one(trivy(vulnerability(SeveritySource="redhat", CVSS=cvss))).vulnerabilities[0]
    assert (found.score, found.score_v3) == (7.5, 5.5)
    only = {"ghsa": {"V40Score": 8.7, "V40Vector": "CVSS:4.0/AV:N"}}
    found = one(trivy(vulnerability(CVSS=only))).vulnerabilities[0]
    assert (found.score_v3, found.vectors_v3) == (8.7, "CVSS:4.0/AV:N")


def resource(name: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Namespace": "n", "Kind": "Deployment", "Name": name, "Results": list(results)} | more


def image_result(image: str, *found: dict[str, Any]) -> dict[str, Any]:
    return {"Target": f"{image} (debian 12)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": found}


def test_a_report_of_a_cluster_is_one_report_an_image() -> None:
    jar = {"Target": "Java", "Class": "lang-pkgs", "Type": "jar", "Vulnerabilities": [vulnerability()]}
    found = load(
        {
            "ClusterName": "c",
            "Resources": [
                resource("a", image_result("r.io/a:1", vulnerability()), jar, image_result("r.io/b:1")),
                resource("again", image_result("r.io/a:1", vulnerability())),
                resource("broken", Results=[{"Target": 7}]),
                resource("failed", Error="no such image"),
                resource("c", image_result("c:2"), Metadata=[{"RepoTags": ["c:2"], "ImageID": DIGEST}]),
            ],
        },
        Given(),
    )
    assert [(r.registry_url, r.repository, r.tag, len(r.vulnerabilities)) for r in found.reports] == [
        ("https://r.io/", "a", "1", 2), ("https://r.io/", "b", "1", 0), ("", "c", "2", 0),
    ]  # fmt: skip
    assert found.reports[2].digest == DIGEST
    assert [(one.path, one.message.partition(":")[0]) for one in found.rejected] == [
        ("$.Resources[2].Results[0].Target", "Expected `str | null`, got `int`"),
        ("$.Resources[3]", "Trivy could not scan Deployment n/failed"),
    ]


def grype(known: dict[str, Any], *related: dict[str, Any], source: object = "app:1") -> dict[str, Any]:
    match = {
        "vulnerability": {"id": "GHSA-aaaa-bbbb-cccc", "severity": "High"} | known,
        "relatedVulnerabilities": related,
        "artifact": {"name": "p", "version": "1", "type": "python", "purl": "pkg:pypi/p@1"},
    }
    return {"matches": [match], "source": {"type": "image", "target": source}, "descriptor": {"db": None}}


def test_the_cve_of_an_advisory_is_found_by_what_is_related() -> None:
    cvss = {"version": "3.1", "vector": "CVSS:3.1/AV:N", "metrics": {"baseScore": 6.5}}
    found = one(
        grype({"fix": {"state": "wont-fix", "versions": []}}, {"id": "CVE-2024-7007", "cvss": [cvss]})
    )
    assert found.vulnerabilities[0].cves == ("CVE-2024-7007",)
    assert found.vulnerabilities[0].score_v3 == 6.5
    assert found.modules[0].cves[0].status == "will not fix"


@pytest.mark.parametrize("state", [None, {"state": ""}, {"state": "unknown"}, {"state": "not-fixed"}])
def test_grypes_states_without_a_fix(state: object) -> None:
    found = one(grype({"fix": state}))
    assert (found.vulnerabilities[0].fixed_version, found.modules[0].cves[0].status) == ("", "unpatched")


def test_a_configuration_that_cannot_be_read_says_nothing() -> None:
    for config in ("!", base64.b64encode(b"{"), base64.b64encode(b"[" * 100_000), base64.b64encode(b"\xff")):
        target = {"userInput": "app:1", "config": config if isinstance(config, str) else config.decode()}
        assert one(grype({}, source=target)).envs == ()


def cyclonedx(**fields: Any) -> dict[str, Any]:
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"component": {
        "type": "container", "name": "r.example.com/app", "version": DIGEST,
        "purl": f"pkg:oci/app@{DIGEST.replace(':', '%3A')}?repository_url=r.example.com/app",
    }}} | fields  # fmt: skip


def test_a_bill_of_materials_joins_by_reference_through_nested_components() -> None:
    inner = {"bom-ref": "in", "type": "library", "name": "inner", "version": "3", "purl": "pkg:npm/inner@3"}
    outer = {"bom-ref": "out", "type": "library", "name": "outer", "components": [inner]}
    affects = [{"ref": "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#in"}, {"ref": "pkg:npm/elsewhere@1"}]
    found = one(
        cyclonedx(
            components=[outer],
            vulnerabilities=[
                {
                    "id": "CVE-2024-1001", "affects": affects, "analysis": {"state": "resolved"},
                    "ratings": [{"score": 7.5, "method": "CVSSv31"}, {"score": 5, "method": "CVSSv2"}],
                }
            ],
        ),
        Given(),
    )  # fmt: skip
    assert (found.registry_url, found.repository, found.digest) == ("https://r.example.com/", "app", DIGEST)
    assert [(v.package_name, v.package_version) for v in found.vulnerabilities] == [
        ("inner", "3"), ("elsewhere", "1"),
    ]  # fmt: skip
    first = found.vulnerabilities[0]
    assert (first.severity, first.score, first.score_v3, first.vex[0].status) == ("High", 5.0, 7.5, "fixed")


def test_a_bill_of_materials_without_vulnerabilities_is_a_report() -> None:
    assert one(cyclonedx(specVersion="1.5")).vulnerabilities == ()


@pytest.mark.parametrize("version", ["1.3", "2.0", None])
def test_other_versions_of_cyclonedx_are_refused_by_name(version: str | None) -> None:
    (rejected,) = load(cyclonedx(specVersion=version)).rejected
    assert rejected.path == "$.specVersion"


def sarif(*results: dict[str, Any], rules: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    driver = {"name": "Some", "rules": rules or []}
    return {"tool": {"driver": driver}, "results": list(results)}


def test_the_runs_of_a_sarif_file_stand_apart() -> None:
    image = {"properties": {"imageName": "app:1"}}
    runs = [
        sarif() | image,
        {"results": [7]},
        {"results": "x"},
        sarif() | {"properties": {"imageName": "app:2"}},
    ]
    found = load({"version": "2.1.0", "runs": runs}, Given())
    assert [one.tag for one in found.reports] == ["1", "2"]
    assert [one.path for one in found.rejected] == ["$.runs[1].results[0]", "$.runs[2].results"]


def test_sarif_severities_fall_back_from_score_to_level() -> None:
    rules: list[dict[str, Any]] = [
        {"id": "CVE-2024-1001", "properties": {"security-severity": "9.8"}},
        {"id": "CVE-2024-1002", "defaultConfiguration": {"level": "note"}},
        {"id": "CVE-2024-1003"},
        {"id": "js/eval"},
        {"id": "aws-key", "name": "Secret"},
    ]
    results = [{"ruleId": rule["id"], "ruleIndex": i, "message": {"text": "Match: x=AKIA" + "A" * 16}}
               for i, rule in enumerate(rules)]  # fmt: skip
    grypes = {
        "ruleId": "CVE-2024-1004-openssl",
        "message": {
            "text": "A low vulnerability in apk package: openssl, version 3.0 was found at: /lib/apk"
        },
    }
    found = one({"version": "2.1.0", "runs": [sarif(*results, grypes, rules=rules)]})
    assert [(v.name, v.severity) for v in found.vulnerabilities] == [
        ("CVE-2024-1001", "Critical"),
        ("CVE-2024-1002", "Low"),
        ("CVE-2024-1003", "Medium"),
        ("CVE-2024-1004", "Low"),
    ]
    assert found.modules[0].name == "openssl"
    assert [check.test_number for check in found.checks] == ["js/eval"]
    assert b"AKIA" not in msgspec.json.encode((found.checks, found.secrets))


def test_a_scan_of_the_future_counts_as_of_now() -> None:
    document = trivy() | {"CreatedAt": "2999-01-01T00:00:00Z"}
    assert one(document).scanned_at == RECEIVED


def test_a_registry_in_the_repositorys_name_is_taken_out_of_it() -> None:
    (found,) = read(
        ci_body(Repository="registry.example.com:5000/team/app", Registry=None), received=RECEIVED
    ).reports
    assert (found.registry_url, found.repository) == ("https://registry.example.com:5000/", "team/app")


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "x" * 300, " "])
def test_names_that_cannot_be_names_are_rejected(name: str) -> None:
    found = read(ci_body(Repository=name), received=RECEIVED)
    assert (found.reports, len(found.rejected)) == ((), 1)


def test_the_output_of_a_scanner_that_we_ran_is_read_as_it_is() -> None:
    (found,) = scanned(msgspec.json.encode(trivy(vulnerability(), ImageID=DIGEST)))
    assert (found.image_id, found.digest, len(found.vulnerabilities)) == (DIGEST, "", 1)
    envs = {"config": {"Env": ["A=b"] * 5000}}
    for output in (trivy(ImageConfig=envs), {"SchemaVersion": 2, "Results": 7}, {}):
        with pytest.raises(InvalidInput):
            scanned(msgspec.json.encode(output))
