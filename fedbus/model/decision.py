"""What admission decided, and why: every rule that had a say, with what it saw."""

from typing import Literal

import msgspec

from fedbus.model.policy.admission import ContainerType, OnUnscanned, RuleType
from fedbus.model.scan import Source

RuleScope = Literal["fed", "local"]
Mode = Literal["monitor", "protect"]
Truth = Literal["met", "unmet", "unknown"]
"""Whether a criterion or rule holds; unknown: it needs a scan that nobody has."""


class ScanUsed(msgspec.Struct, frozen=True, kw_only=True):
    """The scan that a rule looked at; `age` is in seconds, at the time of the decision."""

    digest: str
    registry: str = ""
    source: Source = "registry"
    scanner: str = ""
    cvedb_version: str = ""
    scanned_at: float = 0.0
    age: float = 0.0


class CriterionResult(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion as the rule has it, and what was observed."""

    name: str
    op: str
    value: str
    truth: Truth
    observed: str = ""


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule says of one container; `container` is empty for a volume claim.

    `mode` is the one in force, the rule's own or the cluster's. `truth` is before `on_unscanned`
    decides what an unknown counts as. `scan` None: the image has no scan, or none was asked for.
    """

    rule: int
    scope: RuleScope
    rule_type: RuleType
    mode: Mode
    critical: bool = False
    disabled: bool = False
    comment: str = ""
    on_unscanned: OnUnscanned = "skip"
    container: str = ""
    container_type: ContainerType = "containers"
    image: str = ""
    truth: Truth
    criteria: tuple[CriterionResult, ...] = ()
    scan: ScanUsed | None = None


class RuleName(msgspec.Struct, frozen=True, kw_only=True):
    """Which rule."""

    rule: int
    scope: RuleScope


class ContainerDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one container (or of the volume claim: no name, no image).

    `decided_by` None: no rule decided, so it is allowed. `violations` are deny rules that matched and
    only monitor, `skipped` rules that would have needed a scan (they say so in `on_unscanned`).
    """

    name: str = ""
    container_type: ContainerType = "containers"
    image: str = ""
    allowed: bool
    decided_by: RuleResult | None = None
    violations: tuple[RuleResult, ...] = ()
    skipped: tuple[RuleName, ...] = ()
    scans: tuple[ScanUsed, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request: `message` is for whoever asked, empty when there is nothing to say.

    After a container that is denied the following ones are not looked at.
    """

    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()
    mode: Mode = "monitor"
    containers: tuple[ContainerDecision, ...] = ()
