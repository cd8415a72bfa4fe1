"""Statements of OpenVEX over reports."""

from typing import Any

import msgspec
import pytest

from fedbus.errors import InvalidInput
from fedbus.model.scan import Module, Report, Vex, Vulnerability
from fedbus.scan.importers import openvex
from tests.support.scan_files import content

DIGEST = "sha256:" + "ef" * 32
SPRING = "org.springframework.boot:spring-boot"


def report(*found: Vulnerability) -> Report:
    return Report(
        digest=DIGEST,
        repository="team/app",
        tag="1.4",
        vulnerabilities=found,
        modules=(
            Module(name=SPRING, version="2.6.0", ecosystem="maven"),
            Module(name="openssl", version="3.0", ecosystem="deb"),
        ),
    )


def vulnerability(
    name: str = "CVE-2021-44228", package: str = SPRING, version: str = "2.6.0"
) -> Vulnerability:
    return Vulnerability(name=name, package_name=package, package_version=version)


def statement(product: object, status: str = "not_affected", **more: Any) -> dict[str, Any]:
    products = [product if isinstance(product, dict) else {"@id": product}]
    return {"vulnerability": {"name": "CVE-2021-44228"}, "status": status, "products": products} | more


def said(given: list[dict[str, Any]] | bytes, found: Report) -> list[tuple[str, ...]]:
    raw = given if isinstance(given, bytes) else msgspec.json.encode({"author": "us", "statements": given})
    annotated = openvex.read([raw]).annotate(found)
    assert [one.name for one in annotated.vulnerabilities] == [one.name for one in found.vulnerabilities]
    return [tuple(vex.status for vex in one.vex) for one in annotated.vulnerabilities]


def test_the_latest_statement_of_a_real_document_counts_and_nothing_is_deleted() -> None:
    raw = content("sbom-vex/openvex-multiple.json")
    other = vulnerability(version="2.7.0")
    assert said(raw, report(vulnerability(), other)) == [("not_affected",), ()]
    (one,) = openvex.read([raw]).annotate(report(vulnerability())).vulnerabilities
    assert one.vex == (
        Vex(
            status="not_affected",
            justification="vulnerable_code_not_in_execute_path",
            author="Aqua Security",
            timestamp=1673917636,
        ),
    )


def test_it_is_the_time_that_decides_and_not_the_order() -> None:
    early = statement(
        "pkg:maven/org.springframework.boot/spring-boot", "affected", timestamp="2024-01-01T00:00:00Z"
    )
    late = statement(
        "pkg:maven/org.springframework.boot/spring-boot", "fixed", timestamp="2024-01-02T00:00:00Z"
    )
    assert said([late, early], report(vulnerability())) == [("fixed",)]
    assert said([early, late], report(vulnerability())) == [("fixed",)]


def test_of_statements_of_one_time_the_one_that_stands_last_counts() -> None:
    product = "pkg:deb/debian/openssl@3.0"
    found = report(vulnerability(package="openssl", version="3.0"))
    assert said([statement(product, "affected"), statement(product, "fixed")], found) == [("fixed",)]


@pytest.mark.parametrize(
    ("product", "applies"),
    [
        (f"pkg:oci/app@{DIGEST}?repository_url=r.example.com/team/app", True),
        (f"pkg:oci/app@{DIGEST.replace(':', '%3A')}", True),
        (f"pkg:oci/app@sha256:{'00' * 32}", False),
        ("pkg:oci/app", True),
        ("pkg:oci/app?tag=1.4", True),
        ("pkg:oci/app?tag=1.5", False),
        ("pkg:oci/app?repository_url=r.example.com/team/app", True),
        ("pkg:oci/app?repository_url=r.example.com/other/app", False),
        ("r.example.com/team/app:1.4", True),
        (f"r.example.com/team/app@{DIGEST}", True),
        ("team/app:2", False),
        ("pkg:maven/org.springframework.boot/spring-boot@2.6.0", True),
        ("pkg:npm/org.springframework.boot/spring-boot@2.6.0", False),
        ("https://example.com/products/7", False),
        ("", False),
    ],
)
def test_products_are_images_or_packages(product: str, applies: bool) -> None:
    wanted = [("not_affected",)] if applies else [()]
    assert said([statement(product)], report(vulnerability())) == wanted
    by_purl = statement({"@id": "x", "identifiers": {"purl": product}})
    if product.startswith("pkg:"):
        assert said([by_purl], report(vulnerability())) == wanted


def test_a_part_of_an_image_is_only_that_part() -> None:
    product = {"@id": "pkg:oci/app", "subcomponents": [{"@id": "pkg:deb/debian/openssl@3.0"}]}
    found = report(vulnerability(), vulnerability(package="openssl", version="3.0"))
    assert said([statement(product)], found) == [(), ("not_affected",)]
    unnamed = {"@id": "pkg:oci/app", "subcomponents": [{"@id": "the parser"}]}
    assert said([statement(unnamed)], found) == [(), ()]


def test_an_alias_is_as_good_as_the_name() -> None:
    found = Vulnerability(name="GHSA-aaaa-bbbb-cccc", cves=("CVE-2021-44228",), package_name="x")
    assert said([statement("pkg:oci/app")], report(found)) == [("not_affected",)]
    by_alias = statement("pkg:oci/app", vulnerability={"name": "X-1", "aliases": ["ghsa-AAAA-bbbb-cccc"]})
    assert said([by_alias], report(found)) == [("not_affected",)]


def test_what_the_report_says_itself_stays_behind_it() -> None:
    own = Vex(status="under_investigation", author="scanner")
    found = msgspec.structs.replace(vulnerability(), vex=(own,))
    assert said([statement("pkg:oci/app")], report(found)) == [("not_affected", "under_investigation")]


def test_a_status_that_there_is_not_is_named_by_its_place() -> None:
    raw = msgspec.json.encode({"statements": [statement("a"), statement("b", "harmless")]})
    with pytest.raises(InvalidInput, match=r"\$\.vex\[0\]\.statements\[1\]\.status"):
        openvex.read([raw])


def test_many_statements_over_many_findings_take_a_time_that_grows_with_them() -> None:
    statements = [statement(f"pkg:npm/p{number}@1") for number in range(20_000)]
    found = [vulnerability(package=f"p{number}", version="1") for number in range(20_000)]
    assert said(statements, report(*found)).count(("not_affected",)) == 20_000
