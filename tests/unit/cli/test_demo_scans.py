"""The scan results that the demo brings along."""

from collections import Counter

from fedbus.cli.demo import scans
from fedbus.scan.importers import read
from tests.support.scan_files import RECEIVED


def test_the_registrys_results_fit_together() -> None:
    held = scans.registry()
    assert {one.registry for one in held.reports} == {scans.REGISTRY}
    assert {one.registry for one in held.images} == {scans.REGISTRY}
    assert {one.digest for one in held.reports} == {one.digest for one in held.images}
    assert Counter(one.severity for report in held.reports for one in report.vulnerabilities)["Critical"] == 6


def test_the_pipelines_file_is_a_scan_of_an_image() -> None:
    (report,) = read(scans.pipeline(), received=RECEIVED * 2).reports
    assert (report.repository, report.tag, len(report.vulnerabilities)) == ("shop/cart", "0.9", 1)
    assert report.registry_url == "https://registry.shop.example/"
