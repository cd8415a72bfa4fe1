"""What criteria look at: one container of a workload, and one scan of its image, counted once."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

import msgspec

from fedbus.core.admission.accepted import IsAccepted
from fedbus.model.decision import ScanUsed
from fedbus.model.review import Container, Workload
from fedbus.model.scan import Module, Report, Vulnerability

DAY = 86_400.0
UNDATED_DAYS = 730
"""How old a vulnerability counts that nobody dated: two years, as in NeuVector."""

LOW = "Low"
_BUCKETS = ("Critical", "High", "Medium")
"""The severities that have a bucket of their own; all others are low."""


Pair = tuple[str, str]
"""A vulnerability and the package that has it, by name."""


class Hit(msgspec.Struct, frozen=True):
    """One vulnerability of one package, however many entries of the report name it.

    `published` is the earliest date (Unix seconds) that an entry has, infinite where none has one;
    `undated` says whether an entry has none.
    """

    published: float
    undated: bool
    fixed: bool
    score: float

    def with_another(self, other: "Hit") -> "Hit":
        """Return both entries as one: fixed if either is, the higher score, the earlier date."""
        return Hit(
            min(self.published, other.published),
            self.undated or other.undated,
            self.fixed or other.fixed,
            max(self.score, other.score),
        )


class ScanFacts:
    """One report without what the vulnerability profile accepts; everything is counted when first asked.

    What is accepted is asked at one time, `now`; nothing else here hangs on the time.
    """

    def __init__(self, report: Report, accepted: IsAccepted | None, now: float) -> None:
        self.report = report
        self._accepted = accepted
        self._now = now
        self._dates: dict[tuple[tuple[str, ...], bool], tuple[list[float], list[float]]] = {}
        self._fixes: dict[tuple[str, ...], int] = {}
        self._merges: dict[tuple[str, ...], Collection[Hit]] = {}

    def used(self, now: float) -> ScanUsed:
        """Return the scan, for a decision at a time."""
        report = self.report
        return ScanUsed(
            digest=report.digest,
            registry=report.registry,
            source=report.source,
            scanner=report.scanner,
            cvedb_version=report.cvedb_version,
            scanned_at=report.scanned_at,
            age=max(0.0, now - report.scanned_at) if report.scanned_at else 0.0,
        )

    @cached_property
    def vulnerabilities(self) -> tuple[Vulnerability, ...]:
        """What counts."""
        accepted, found = self._accepted, self.report.vulnerabilities
        return found if accepted is None else tuple(one for one in found if not accepted(one, self._now))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all vulnerabilities, in upper case."""
        return frozenset(one.name.upper() for one in self.vulnerabilities)

    @cached_property
    def _hits(self) -> Mapping[str, Mapping[Pair, Hit]]:
        buckets: dict[str, dict[Pair, Hit]] = {bucket: {} for bucket in (*_BUCKETS, LOW)}
        low = buckets[LOW]
        for one in self.vulnerabilities:
            bucket = buckets.get(one.severity, low)
            key = (one.name, one.package_name)
            score = max(one.score, one.score_v3)
            published = one.published_timestamp
            hit = Hit(published or math.inf, not published, one.fixed_version != "", score)
            held = bucket.get(key)
            bucket[key] = hit if held is None else hit.with_another(held)
        return buckets

    def _merged(self, severities: tuple[str, ...]) -> Collection[Hit]:
        merged = self._merges.get(severities)
        if merged is None:
            by_key: dict[Pair, Hit] = {}
            for severity in severities:
                by_key |= self._hits[severity]
            merged = self._merges[severities] = by_key.values()
        return merged

    def count(self, severities: tuple[str, ...]) -> int:
        """Count vulnerabilities of those severities: a pair of vulnerability and package counts once."""
        return len(self._merged(severities))

    def count_with_fix(self, severities: tuple[str, ...]) -> int:
        """Count entries of those severities that have a fix; what stands twice counts twice."""
        count = self._fixes.get(severities)
        if count is None:
            count = sum(1 for one in self.vulnerabilities if one.fixed_version and one.severity in severities)
            self._fixes[severities] = count
        return count

    def count_older(self, severities: tuple[str, ...], days: float, with_fix: bool, now: float) -> int:
        """Count pairs that were published `days` before `now` or earlier; on request those with a fix."""
        key = (severities, with_fix)
        dates = self._dates.get(key)
        if dates is None:
            hits = [hit for hit in self._merged(severities) if hit.fixed or not with_fix]
            dated = sorted(hit.published for hit in hits if not hit.undated)
            undated = sorted(hit.published for hit in hits if hit.undated)
            self._dates[key] = dates = dated, undated
        dated, undated = dates
        then = now - days * DAY
        return bisect_right(dated, then) + (
            len(undated) if days <= UNDATED_DAYS else bisect_right(undated, then)
        )

    @cached_property
    def _scores(self) -> list[float]:
        hits = [
            *self._merged(("Critical", "High")),
            *self._hits["Medium"].values(),
            *self._hits[LOW].values(),
        ]
        return sorted(hit.score for hit in hits)

    def count_scored(self, score: float) -> int:
        """Count pairs whose score, the higher of CVSS 2 and 3, is at least `score`."""
        return len(self._scores) - bisect_left(self._scores, score)

    @cached_property
    def modules(self) -> Mapping[str, Sequence[Module]]:
        """All modules by name."""
        found: dict[str, list[Module]] = {}
        for module in self.report.modules:
            found.setdefault(module.name, []).append(module)
        return found

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """The environment that the image brings."""
        return dict(one.partition("=")[::2] for one in self.report.envs)


class Subject:
    """One container of a workload (None: a volume claim) under one scan of its image (None: unscanned)."""

    def __init__(
        self, workload: Workload, container: Container | None, scan: ScanFacts | None, now: float = 0.0
    ) -> None:
        """Take the time of the decision (Unix seconds): the age of what a scan found hangs on it."""
        self.workload, self.now = workload, now
        self.namespace = workload.namespace
        self._container = container
        self.scan = scan

    @property
    def container(self) -> Container:
        """The container. Raises ValueError for a volume claim."""
        if self._container is None:
            raise ValueError("a volume claim has no container")
        return self._container

    def per_scan(self, ask: Callable[[ScanFacts], bool | None]) -> bool | None:
        """Return what the scan says, None (unknown) when there is none."""
        return None if self.scan is None else ask(self.scan)

    @cached_property
    def labels(self) -> Mapping[str, Sequence[str]]:
        """The workload's labels and the image's; a key that both have keeps both values."""
        return _union(self.workload.labels, {} if self.scan is None else self.scan.report.labels)

    @cached_property
    def annotations(self) -> Mapping[str, Sequence[str]]:
        """The workload's annotations."""
        return _union(self.workload.annotations, {})

    @cached_property
    def environment(self) -> Mapping[str, Sequence[str]]:
        """The container's environment, and the image's where the container sets nothing else."""
        own = {one.name: one.value for one in self.container.env}
        images = {} if self.scan is None else self.scan.environment
        return _union(own, {name: value for name, value in images.items() if name not in own})

    @cached_property
    def runs_as_root(self) -> bool | None:
        """Whether its user is root; when neither says who it is and the image was not scanned, unknown."""
        user = self.container.security.run_as_user
        if user is not None:
            return user == 0
        return self.per_scan(lambda scan: scan.report.run_as_root)

    @property
    def escalates(self) -> bool:
        """Whether it may gain privileges."""
        security = self.container.security
        return bool(
            security.allow_privilege_escalation
            or security.privileged
            or "SYS_ADMIN" in security.capabilities_added
        )


def _union(ours: Mapping[str, str], images: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    union: dict[str, list[str]] = {key: [value] for key, value in ours.items()}
    for key, value in images.items():
        values = union.setdefault(key, [])
        if value not in values:
            values.append(value)
    return union


def listing(texts: Iterable[str], most: int = 5) -> str:
    """Return a short list for people, with how many were left out."""
    items = sorted(texts)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more if items else "none"
