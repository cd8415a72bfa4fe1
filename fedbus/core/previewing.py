"""What a change of policy does to workloads that run: each decided upon before it and after it.

A workload that none of the changed rules matches is decided as before, so most are asked about those
alone. State and vulnerability profile concern every workload.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from fedbus.core.admission import messages
from fedbus.core.admission.policy import Policy, Reports
from fedbus.core.inventory_report import UNSEEN
from fedbus.core.policy_rules.admission import identity
from fedbus.model.assessment import Affected, ClusterPreview, NamespaceCount, Outcome
from fedbus.model.decision import Decision, RuleResult
from fedbus.model.policy.admission import AdmissionRule, AdmissionState
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.review import Workload

MAX_AFFECTED: Final = 200
"""Workloads of one cluster that are named; all are counted."""


class Change(msgspec.Struct, frozen=True):
    """The policy of a cluster before and after; `filter` has only the changed rules, None: ask all."""

    before: Policy
    after: Policy
    filter: Policy | None = None

    @property
    def asks_scans(self) -> bool:
        """Whether anything hangs on what only scans know."""
        return self.before.asks_scans or self.after.asks_scans


def changed(before: Sequence[AdmissionRule], after: Sequence[AdmissionRule]) -> list[AdmissionRule]:
    """Return the rules that are not the same before and after, as they were and as they will be."""
    old, new = {rule.id: rule for rule in before}, {rule.id: rule for rule in after}
    ids = [one for one in sorted(old.keys() | new.keys()) if old.get(one) != new.get(one)]
    return [held[one] for one in ids for held in (old, new) if one in held]


def only(rules: Sequence[AdmissionRule], accepted: Sequence[VulnerabilityEntry] = ()) -> Policy:
    """Return a policy that decides where one of these rules would have a say, under the same profile."""
    enforced = [
        msgspec.structs.replace(rule, rule_mode="protect") if rule.rule_type == "deny" else rule
        for rule in rules
    ]
    return Policy(enforced, state=AdmissionState(enable=True, mode="protect"), accepted=accepted)


def unseen(rules: Sequence[AdmissionRule]) -> list[str]:
    """Return what cannot be said of these rules, for people."""
    ids = sorted({rule.id for rule in rules if any(identity(one) in UNSEEN for one in rule.criteria)})
    if not ids:
        return []
    return [
        "the values of environment variables, which do not leave the clusters: what asks for them does not "
        f"match (rules {', '.join(map(str, ids))})"
    ]


class Tally:
    """Counts what changes in one cluster."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._namespaces: dict[str, NamespaceCount] = {}
        self._seen: dict[str, int] = defaultdict(int)
        self._affected: list[Affected] = []
        self._total = NamespaceCount(namespace="")

    def add(self, workload: Workload, reports: Reports, now: float) -> None:
        """Decide on a workload at a time (Unix seconds) and count it."""
        self._seen[workload.namespace] += 1
        change = self._change
        if change.filter is not None and not _had_a_say(change.filter.judge(workload, reports, now)):
            return
        before, after = (policy.judge(workload, reports, now) for policy in (change.before, change.after))
        was, becomes = outcome(before), outcome(after)
        if was == becomes:
            return
        counted = self._namespaces.get(workload.namespace, NamespaceCount(namespace=workload.namespace))
        self._namespaces[workload.namespace] = _counted(counted, was, becomes)
        self._total = _counted(self._total, was, becomes)
        if len(self._affected) < MAX_AFFECTED:
            self._affected.append(_affected(workload, before, after))

    def into(self, found: ClusterPreview) -> ClusterPreview:
        """Return the preview of the cluster with what was counted."""
        return msgspec.structs.replace(
            found,
            denied=self._total.denied,
            reported=self._total.reported,
            no_longer_denied=self._total.no_longer_denied,
            namespaces=[
                msgspec.structs.replace(one, workloads=self._seen[name])
                for name, one in sorted(self._namespaces.items())
            ],
            affected=self._affected,
        )


def outcome(decision: Decision) -> Outcome:
    """Return what becomes of a workload."""
    if not decision.allowed:
        return "denied"
    return "reported" if any(one.violations for one in decision.containers) else "allowed"


def _had_a_say(decision: Decision) -> bool:
    # Denied without a rule is what is too big to look at.
    containers = decision.containers
    return not decision.allowed or any(one.decided_by or one.violations or one.skipped for one in containers)


def _counted(held: NamespaceCount, was: Outcome, becomes: Outcome) -> NamespaceCount:
    return msgspec.structs.replace(
        held,
        denied=held.denied + (becomes == "denied"),
        reported=held.reported + (becomes == "reported"),
        no_longer_denied=held.no_longer_denied + (was == "denied"),
    )


def _affected(workload: Workload, before: Decision, after: Decision) -> Affected:
    becomes = outcome(after)
    by = _cause(after if becomes != "allowed" else before)
    return Affected(
        namespace=workload.namespace,
        kind=workload.kind,
        name=workload.name,
        before=outcome(before),
        after=becomes,
        rule=by.rule if by else 0,
        rule_scope=by.scope if by else "fed",
        message=messages.reason(by) if by else "",
    )


def _cause(decision: Decision) -> RuleResult | None:
    """Return the rule that denies, or the first that reports."""
    denied = [one.decided_by for one in decision.containers if one.decided_by and not one.allowed]
    noted = [result for one in decision.containers for result in one.violations]
    return next(iter([*denied, *noted]), None)
