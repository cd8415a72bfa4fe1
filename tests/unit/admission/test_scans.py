"""Which of several reports counts, and what a decision says of them."""

from fedbus.core.admission.scans import newest
from tests.support.admission import DAY, DIGEST, NOW, criterion, decide, pod, report, rule

OTHER = "sha256:" + "0e" * 32
HIGH = {"name": "CVE-1", "severity": "High", "package_name": "x"}
MANY_HIGH = rule(criterion("cveHighCount", ">=", "1"), id=1)


def test_the_newest_scan_of_a_digest_counts_whatever_its_source() -> None:
    old = report(source="ci", scanned_at=1.0, cvedb_create_time="2026-02")
    same_time = report(scanned_at=1.0, cvedb_create_time="2026-03")
    new = report(scanned_at=2.0, cvedb_create_time="2026-01")
    other = report(digest=OTHER)

    assert list(newest([old, same_time])) == [same_time]
    assert list(newest([new, old, same_time, other])) == [new, other]


def test_one_report_that_hits_is_enough() -> None:
    clean, dirty = report(digest=OTHER), report(vulnerabilities=[HIGH])

    decision = decide(pod(), local=[MANY_HIGH], reports=[clean, dirty])

    by = decision.containers[0].decided_by
    assert not decision.allowed
    assert by is not None
    assert by.scan is not None
    assert by.scan.digest == DIGEST
    assert len(decision.containers[0].scans) == 2


def test_a_decision_names_the_scan_with_source_and_age() -> None:
    scan = report(
        source="ci", registry="_repo_scan", scanned_at=NOW - 3 * DAY, vulnerabilities=[HIGH], scanner="trivy"
    )

    by = decide(pod(), local=[MANY_HIGH], reports=[scan]).containers[0].decided_by

    assert by is not None
    assert by.scan is not None
    assert (by.scan.source, by.scan.registry, by.scan.scanner) == ("ci", "_repo_scan", "trivy")
    assert by.scan.age == 3 * DAY


def test_a_superseded_report_no_longer_denies() -> None:
    fixed = report(scanned_at=NOW, source="registry")
    stale = report(scanned_at=NOW - DAY, source="ci", vulnerabilities=[HIGH])

    assert decide(pod(), local=[MANY_HIGH], reports=[stale, fixed]).allowed
