"""What admission has done: counts, as NeuVector names them, and an event log."""

from typing import Literal

import msgspec

from fedbus.model.decision import Mode, RuleScope
from fedbus.model.policy.admission import RuleType

EventName = Literal["Admission.Control.Allowed", "Admission.Control.Violation", "Admission.Control.Denied"]
Result = Literal["allowed", "denied", "violation", "error", "ignored"]
"""What became of a request, or what one rule said of it; `ignored`: nothing to judge."""

ALLOWED: EventName = "Admission.Control.Allowed"
VIOLATION: EventName = "Admission.Control.Violation"
DENIED: EventName = "Admission.Control.Denied"


class AdmissionStats(msgspec.Struct, frozen=True, kw_only=True):
    """NeuVector's counts of requests; `violations` are those that a monitoring rule matched."""

    k8s_allowed_requests: int = 0
    k8s_denied_requests: int = 0
    k8s_erroneous_requests: int = 0
    k8s_ignored_requests: int = 0
    k8s_processing_requests: int = 0
    violations: int = 0


class RuleCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one rule decided, or matched while it only monitored."""

    scope: RuleScope
    rule: int
    result: Result
    count: int


class AdmissionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of decision on one workload, `count` times between `first_at` and `last_at` (Unix seconds).

    `workload` is the owner's name where there is one: the pods of one replica set are one event.
    """

    name: EventName
    first_at: float
    last_at: float
    count: int = 1
    namespace: str = ""
    kind: str = ""
    workload: str = ""
    image: str = ""
    user: str = ""
    rule: int = 0
    rule_scope: RuleScope = "fed"
    rule_type: RuleType = "deny"
    mode: Mode = "monitor"
    message: str = ""
    id: int = 0

    @property
    def key(self) -> str:
        """What is the same in events that are counted together."""
        same = (self.name, self.namespace, self.kind, self.workload, self.image, self.rule_scope, self.rule)
        return "\x1f".join(map(str, same))
