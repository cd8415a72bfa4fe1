"""What a person reads: why something was denied, what a rule that only monitors saw, what was not scanned.

The API server hands a denial on whole, and cuts a warning at 256 characters.
"""

from collections.abc import Iterator, Sequence

from fedbus.core.workload import MAX_CONTAINERS, MAX_VOLUMES
from fedbus.model.decision import ContainerDecision, RuleName, RuleResult
from fedbus.model.review import Workload

WARNING_LENGTH = 256
WARNINGS = 16
"""How many warnings one answer carries; the last one says how many more there were."""
MESSAGE_LENGTH = 2048

_SCOPES = {"fed": "federated", "local": "local"}
_OPERATIONS = {"CREATE": "Creation", "UPDATE": "Update"}
_DAY = 86_400.0


def denial(workload: Workload, result: RuleResult) -> str:
    """Return why a workload is denied: the rule, its criteria, what they saw, the image and its scan."""
    prefix = "<Server Dry Run> " if workload.dry_run else ""
    what = f"{prefix}{_OPERATIONS[workload.operation]} of {_what(workload)}"
    return cut(f"{what} is denied by {_because(result)}", MESSAGE_LENGTH)


def too_big(workload: Workload) -> str:
    """Return that a workload is more than admission looks at."""
    most = f"{MAX_CONTAINERS} containers and {MAX_VOLUMES} volumes"
    return f"{_what(workload)} has more than the {most} that admission looks at"


def warnings(workload: Workload, decided: Sequence[ContainerDecision], asks_scans: bool) -> tuple[str, ...]:
    """Return what is worth saying beside the answer."""
    found = [cut(text, WARNING_LENGTH) for text in _warnings(decided, asks_scans)]
    if len(found) > WARNINGS:
        found[WARNINGS - 1 :] = [f"and {len(found) - WARNINGS + 1} more warnings about {workload.name}"]
    return tuple(found)


def _what(workload: Workload) -> str:
    return f"{workload.kind} {workload.namespace}/{workload.name}"


def _warnings(decided: Sequence[ContainerDecision], asks_scans: bool) -> Iterator[str]:
    for container in decided:
        for result in container.violations:
            yield f"monitored, not denied: {_because(result)}"
        exempt = container.decided_by is not None and container.decided_by.critical
        if asks_scans and container.image and not container.scans and not exempt:
            yield f"image {container.image} has no scan result{_skipped(container.skipped)}"


def _skipped(rules: Sequence[RuleName]) -> str:
    if not rules:
        return ""
    ids = ", ".join(str(one.rule) for one in rules[:5]) + (", ..." if len(rules) > 5 else "")
    return f"; not applied for want of one: {len(rules)} rules ({ids})"


def reason(result: RuleResult) -> str:
    """Return what the criteria of a rule ask, what they saw, and the scan: without the rule's name."""
    return cut(_criteria(result) + _scan(result), MESSAGE_LENGTH)


def _because(result: RuleResult) -> str:
    kind = "allow" if result.rule_type == "exception" else "deny"
    comment = f' "{result.comment}"' if result.comment else ""
    where = f", container {result.container}, image {result.image}" if result.image else ""
    named = f"{_SCOPES[result.scope]} {kind} rule {result.rule}{comment}{where}"
    return f"{named}: {_criteria(result)}{_scan(result)}"


def _criteria(result: RuleResult) -> str:
    return "; ".join(
        f"{one.name} {one.op} {one.value}".strip() + f" (observed: {one.observed})" for one in result.criteria
    )


def _scan(result: RuleResult) -> str:
    if result.truth == "unknown":
        return f". The image has no scan result, and the rule has on_unscanned: {result.on_unscanned}"
    scan = result.scan
    if scan is None:
        return ""
    age = f"{scan.age / _DAY:.1f} days old" if scan.scanned_at else "of unknown age"
    return f". Scan: {scan.source} {scan.registry}, {age}".replace(" ,", ",")


def cut(text: str, length: int) -> str:
    """Return a text that is not endless."""
    return text if len(text) <= length else text[: length - 3] + "..."
