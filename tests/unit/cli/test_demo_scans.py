"""The scan results that the demo brings along."""

from collections import Counter

from fedbus.cli.demo import scans
from fedbus.scan.importers import read
from tests.support.scan_files import RECEIVED


def test_the_registrys_results_are_scans_of_different_images_in_one_place() -> None:
    reports = [one for file in scans.registry() for one in read(file, received=RECEIVED * 2).reports]
    assert {one.registry_url for one in reports} == {"https://registry.shop.example/"}
    assert len({one.digest for one in reports}) == len(reports) == 4
    assert Counter(one.severity for report in reports for one in report.vulnerabilities)["Critical"] == 6


def test_the_pipelines_file_is_a_scan_of_an_image() -> None:
    (report,) = read(scans.pipeline(), received=RECEIVED * 2).reports
    assert (report.repository, report.tag, len(report.vulnerabilities)) == ("shop/cart", "0.9", 1)
    assert report.registry_url == "https://registry.shop.example/"
