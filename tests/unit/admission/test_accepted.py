"""What the vulnerability profile leaves out of every count."""

from typing import Any

import msgspec
import pytest

from fedbus.core.admission.accepted import Accepted
from fedbus.core.admission.facts import ScanFacts
from fedbus.core.image_reference import image_reference
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from tests.support.admission import DAY, NOW, report

FRESH = {
    "name": "CVE-2026-7",
    "severity": "High",
    "package_name": "x",
    "published_timestamp": int(NOW) - 3 * DAY,
}


def entry(**fields: Any) -> VulnerabilityEntry:
    return msgspec.convert({"name": "CVE-2026-7", **fields}, VulnerabilityEntry)


@pytest.mark.parametrize(
    ("fields", "vulnerability", "left_out"),
    [
        ({}, {}, True),
        ({"name": "cve-2026-7"}, {}, True),
        ({"name": "CVE-2026-*"}, {}, True),
        ({"name": "CVE-2025-*"}, {}, False),
        ({"name": "CVE-2026-77"}, {}, False),
        ({"domains": ["shop", "x"]}, {}, True),
        ({"domains": ["sh*"]}, {}, True),
        ({"domains": ["bank"]}, {}, False),
        ({"images": ["ghcr.io/team/*"]}, {}, True),
        ({"images": ["https://ghcr.io/team/app:1"]}, {}, True),
        ({"images": ["team/app"]}, {}, True),
        ({"images": ["team/other*"]}, {}, False),
        ({"images": ["team/app"], "domains": ["bank"]}, {}, False),
        ({"name": "_RecentVuln", "days": 7}, {}, True),
        ({"name": "_RecentVuln", "days": 2}, {}, False),
        ({"name": "_RecentVuln", "days": 7}, {"published_timestamp": 0}, False),
        ({"name": "_RecentVulnWithoutFix", "days": 7}, {}, True),
        ({"name": "_RecentVulnWithoutFix", "days": 7}, {"fixed_version": "2"}, False),
    ],
)
def test_an_entry_leaves_out_what_it_names_where_it_applies(
    fields: dict[str, Any], vulnerability: dict[str, Any], left_out: bool
) -> None:
    accepted = Accepted([entry(**fields)]).of("shop", image_reference("ghcr.io/team/app:1"))
    facts = ScanFacts(report(vulnerabilities=[{**FRESH, **vulnerability}]), accepted, NOW)

    assert (facts.count(("High",)) == 0) is left_out
    assert ("CVE-2026-7" not in facts.names) is left_out


def test_entries_of_all_profiles_count() -> None:
    accepted = Accepted([entry(name="A"), entry(name="B")]).of("shop", image_reference("nginx"))
    scan = report(vulnerabilities=[{"name": name, "severity": "High"} for name in "ABC"])

    assert ScanFacts(scan, accepted, NOW).names == {"C"}


def test_no_entry_costs_nothing() -> None:
    assert Accepted([entry(domains=["bank"])]).of("shop", image_reference("nginx")) is None
