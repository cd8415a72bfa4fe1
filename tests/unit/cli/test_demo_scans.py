"""The scan results that the demo brings along."""

from collections import Counter

from fedbus.cli.demo import scans
from fedbus.model.scan import Report
from fedbus.scan.importers import read
from tests.support.scan_files import RECEIVED


def registry() -> list[Report]:
    found = [read(file, received=RECEIVED * 2) for file in scans.registry().values()]
    assert not any(one.rejected for one in found)
    return [report for one in found for report in one.reports]


def test_every_file_of_the_registry_is_a_scan_of_another_image() -> None:
    images = [f"{one.registry_url[8:]}{one.repository}:{one.tag}" for one in registry()]
    assert len(images) == len(set(images)) == len({one.digest for one in registry()}) == 4
    assert {scans.ORDERS_IMAGE, scans.WEB_IMAGE} < set(images)
    severities = Counter(one.severity for report in registry() for one in report.vulnerabilities)
    assert severities["Critical"] == 6


def test_the_critical_vulnerability_is_in_the_image_that_is_denied_and_in_no_other() -> None:
    having = {one.digest for one in registry() if scans.CRITICAL in {v.name for v in one.vulnerabilities}}
    assert having == {scans.ORDERS}
    (orders,) = (one for one in registry() if one.digest == scans.ORDERS)
    assert [v.severity for v in orders.vulnerabilities if v.name == scans.CRITICAL] == ["Critical"]


def test_the_pipelines_file_is_a_scan_of_an_image() -> None:
    (report,) = read(scans.pipeline(), received=RECEIVED * 2).reports
    assert (report.repository, report.tag) == ("shop/cart", "0.9")
    assert [one.name for one in report.vulnerabilities] == [scans.PIPELINE_CVE]
    assert report.registry_url == "https://registry.shop.example/"
