"""Criteria on what a scan found in the image; without a scan they are unknown, `imageScanned` apart."""

from fedbus.core.admission.criterion import (
    DEAR,
    Criterion,
    Unusable,
    comparison,
    number_of,
    on_set,
    on_truth,
)
from fedbus.core.admission.facts import ScanFacts, Subject, listing
from fedbus.model.policy.admission import AdmissionCriterion

_UNSCANNED = "no scan"

_COUNTS: dict[str, tuple[tuple[str, ...], bool]] = {
    "cveCriticalCount": (("Critical",), False),
    "cveHighCountNoCritical": (("High",), False),
    "cveHighCount": (("Critical", "High"), False),
    "cveMediumCount": (("Medium",), False),
    "cveCriticalWithFixCount": (("Critical",), True),
    "cveHighWithFixCountNoCritical": (("High",), True),
    "cveHighWithFixCount": (("Critical", "High"), True),
}
"""Which severities each criterion counts, and whether only what has a fix."""


def count(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the number of vulnerabilities, on request only of those that are old enough."""
    severities, with_fix = _COUNTS[source.name]
    compare, limit = comparison(source.name, source.op), number_of(source.name, source.value)
    ages = [number_of(sub.name, sub.value) for sub in source.sub_criteria if sub.name == "publishDays"]
    if len(ages) != len(source.sub_criteria):
        raise Unusable(f"{source.name} has no sub-criterion but publishDays")

    days = max(ages, default=None)

    def counted(scan: ScanFacts, now: float) -> int:
        if days is not None:
            return scan.count_older(severities, days, with_fix, now)
        return scan.count_with_fix(severities) if with_fix else scan.count(severities)

    def observed(subject: Subject) -> str:
        scan = subject.scan
        if scan is None:
            return _UNSCANNED
        found = {
            one.name
            for one in scan.vulnerabilities
            if one.severity in severities and (one.fixed_version or not with_fix)
        }
        number = counted(scan, subject.now)
        return f"{number} ({listing(found, 3)})" if number and found else str(number)

    def holds(subject: Subject) -> bool | None:
        return None if subject.scan is None else compare(counted(subject.scan, subject.now), limit)

    return Criterion(source, source.name, holds, observed, DEAR)


def score_count(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on how many vulnerabilities have at least a score."""
    score = number_of(source.name, source.value)
    subs = source.sub_criteria
    limits = [(comparison("count", sub.op), number_of("count", sub.value)) for sub in subs]
    compare, limit = limits[0] if limits else (comparison("count", ">="), 1.0)
    if source.op != ">=" or len(subs) > 1 or any(sub.name != "count" for sub in subs):
        raise Unusable("cveScoreCount must be >= a score, with one count")

    def observed(subject: Subject) -> str:
        scan = subject.scan
        return _UNSCANNED if scan is None else f"{scan.count_scored(score)} with a score of {score:g} or more"

    return Criterion(
        source,
        source.name,
        lambda s: s.per_scan(lambda scan: compare(scan.count_scored(score), limit)),
        observed,
        DEAR,
    )


def names(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the names of vulnerabilities, whose case does not count."""
    upper = AdmissionCriterion(name=source.name, op=source.op, value=source.value.upper())
    return _scanned(source, on_set(upper, lambda s: _scan(s).names, cost=DEAR))


def verifiers(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on who signed the image."""
    return _scanned(source, on_set(source, lambda s: _scan(s).report.signature.verifiers))


def _scan(subject: Subject) -> ScanFacts:
    if subject.scan is None:
        raise ValueError("there is no scan")
    return subject.scan


def _scanned(source: AdmissionCriterion, asked: Criterion) -> Criterion:
    """Return the criterion as one that is unknown without a scan."""
    return Criterion(
        source,
        source.name,
        lambda s: None if s.scan is None else asked.holds(s),
        lambda s: _UNSCANNED if s.scan is None else asked.observed(s),
        asked.cost,
        asked.positive,
    )


def scanned(source: AdmissionCriterion) -> Criterion:
    """Return whether there is a scan of the image."""
    return on_truth(source, lambda s: s.scan is not None)


def signed(source: AdmissionCriterion) -> Criterion:
    """Return whether anyone signed the image."""
    return on_truth(source, lambda s: s.per_scan(lambda scan: bool(scan.report.signature.verifiers)))


def without_os(source: AdmissionCriterion) -> Criterion:
    """Return whether the image has no operating system that the scanner knows."""
    return on_truth(source, lambda s: s.per_scan(lambda scan: not scan.report.base_os))


def compliance(source: AdmissionCriterion) -> Criterion:
    """Return whether the image has secrets or files with the setuid or setgid bit.

    A scan that did not look for secrets and found no such file does not know.
    """

    def found(scan: ScanFacts) -> bool | None:
        report = scan.report
        if report.setid_perms or report.secrets:
            return True
        return None if report.secrets is None else False

    def why(subject: Subject) -> str:
        report = _scan(subject).report
        return f"{len(report.secrets or ())} secrets, {len(report.setid_perms)} setuid or setgid files"

    return on_truth(source, lambda s: s.per_scan(found), why)
