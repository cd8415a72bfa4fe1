"""The decision: which rule has the first say, and what it says.

Order: critical allow rules, federated allow, federated deny, then the cluster's own, those from custom
resources before the others, allow before deny. The first decisive match decides a container: any allow
rule, or a deny rule whose mode is `protect`. A deny rule that only monitors is noted, and a later rule may
still decide. One denied container denies the request; what no rule decides is allowed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from fedbus.core.admission import messages
from fedbus.core.admission.accepted import Accepted
from fedbus.core.admission.criteria import SCANNED
from fedbus.core.admission.facts import ScanFacts, Subject
from fedbus.core.admission.rule import CompiledRule
from fedbus.core.admission.scans import newest
from fedbus.core.policy_rules.admission import identity
from fedbus.core.workload import CLAIM, MAX_CONTAINERS, is_too_big
from fedbus.model.decision import ContainerDecision, Decision, Mode, RuleName, RuleResult, RuleScope
from fedbus.model.policy.admission import AdmissionRule, AdmissionState, ContainerType
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.review import Container, Workload
from fedbus.model.scan import Report

Reports = Mapping[str, Sequence[Report]]
"""What is known of the images of a request, by the text that names the image."""

OFF: Final = AdmissionState(enable=False, cfg_type="user_created")
"""Admission control of a cluster that nobody switched on."""

REMEMBERED = 1024
"""For how many pairs of namespace and user a policy remembers which rules are about them."""

_STORAGE = "storageClassName"
_CLAIM_CRITERIA = frozenset({_STORAGE, "namespace"})
_KINDS: tuple[ContainerType, ...] = ("init_containers", "containers", "ephemeral_containers")


class UnusableRule(msgspec.Struct, frozen=True):
    """A rule that this build cannot ask, and why; it never matches."""

    name: RuleName
    reason: str


class Policy:
    """All rules of a cluster, compiled once, and the decision by them.

    `federated` and `local` are in no particular order: their ranks say it, and where those are equal the
    order given. `state` is the one in force. `accepted` are the entries of every vulnerability profile.
    Rules that cannot be asked are in `unusable`.
    """

    def __init__(
        self,
        federated: Iterable[AdmissionRule] = (),
        local: Iterable[AdmissionRule] = (),
        *,
        state: AdmissionState = OFF,
        accepted: Iterable[VulnerabilityEntry] = (),
    ) -> None:
        self.state = state
        self.mode: Mode = state.mode
        self.unusable: list[UnusableRule] = []
        self._accepted = Accepted(accepted)
        self._rules = [*self._compiled("fed", federated), *self._compiled("local", local)]
        self._rules.sort(key=lambda rule: (_stage(rule), rule.rule.rank))
        active = [rule for rule in self._rules if not rule.rule.disable]
        self._by_kind = {kind: [rule for rule in active if kind in rule.containers] for kind in _KINDS}
        self._for_claims = [rule for rule in active if _is_for_claims(rule)]
        self._remembered: dict[tuple[ContainerType, str, str, tuple[str, ...]], list[CompiledRule]] = {}
        self.asks_scans = any(identity(one) in SCANNED for rule in active for one in rule.rule.criteria)

    def _compiled(self, scope: RuleScope, rules: Iterable[AdmissionRule]) -> Iterable[CompiledRule]:
        for rule in rules:
            try:
                yield CompiledRule(rule, scope, self.mode)
            except ValueError as error:
                self.unusable.append(UnusableRule(RuleName(rule=rule.id, scope=scope), str(error)))

    def __len__(self) -> int:
        """Return how many rules there are, disabled ones too."""
        return len(self._rules)

    def decide(self, workload: Workload, reports: Reports, now: float) -> Decision:
        """Decide a request at a time (Unix seconds), by the reports of its images.

        What has more containers or volumes than anyone looks at is denied unless the cluster only
        monitors: it must not pass unseen.
        """
        if not self.state.enable:
            return Decision(allowed=True, mode=self.mode)
        return self.judge(workload, reports, now)

    def judge(self, workload: Workload, reports: Reports, now: float) -> Decision:
        """Decide as `decide` does where admission control is on, also where it is off."""
        if is_too_big(workload) and any(self._by_kind.values()):
            message = messages.too_big(workload)
            return Decision(
                allowed=self.mode != "protect", message=message, warnings=(message,), mode=self.mode
            )
        decided: list[ContainerDecision] = []
        if workload.kind == CLAIM:
            subject = Subject(workload, None, None)
            rules = [rule for rule in self._for_claims if rule.concerns(subject)]
            decided.append(self._decide(rules, workload, None, ()))
        for container in _new_containers(workload):
            facts = self._facts(workload, container, reports, now)
            decided.append(self._decide(self._concerned(workload, container), workload, container, facts))
            if not decided[-1].allowed:
                break
        denied_by = decided[-1].decided_by if decided and not decided[-1].allowed else None
        return Decision(
            allowed=denied_by is None,
            message="" if denied_by is None else messages.denial(workload, denied_by),
            warnings=messages.warnings(workload, decided, self.asks_scans),
            mode=self.mode,
            containers=tuple(decided),
        )

    def assess(self, workload: Workload, reports: Reports, now: float) -> list[RuleResult]:
        """Return what every rule says of every container, in order of their say; disabled rules too."""
        if workload.kind == CLAIM:
            rules = [rule for rule in self._rules if _is_for_claims(rule)]
            return [rule.result(Subject(workload, None, None), "", "containers", "") for rule in rules]
        results: list[RuleResult] = []
        for container in workload.containers[:MAX_CONTAINERS]:
            subjects = _subjects(workload, container, self._facts(workload, container, reports, now))
            for rule in self._rules:
                if container.kind in rule.containers:
                    _, subject = _ask(rule, subjects)
                    results.append(_result(rule, subject, container))
        return results

    def _concerned(self, workload: Workload, container: Container) -> Sequence[CompiledRule]:
        """Return the rules that are about this namespace and user, remembered for the next request."""
        key = (container.kind, workload.namespace, workload.user, workload.groups)
        rules = self._remembered.get(key)
        if rules is None:
            subject = Subject(workload, container, None)
            rules = [rule for rule in self._by_kind[container.kind] if rule.concerns(subject)]
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = rules
        return rules

    def _facts(
        self, workload: Workload, container: Container, reports: Reports, now: float
    ) -> list[ScanFacts]:
        found = newest(reports.get(container.image.text, ()))
        accepted = self._accepted.of(workload.namespace, container.image) if found else None
        return [ScanFacts(report, accepted, now) for report in found]

    def _decide(
        self,
        rules: Sequence[CompiledRule],
        workload: Workload,
        container: Container | None,
        facts: Sequence[ScanFacts],
    ) -> ContainerDecision:
        subjects = _subjects(workload, container, facts)
        only = subjects[0] if len(subjects) == 1 else None
        violations: list[RuleResult] = []
        skipped: list[RuleName] = []
        allowed, decided_by = True, None
        for rule in rules:
            truth, subject = (rule.matches(only), only) if only else _ask(rule, subjects)
            if truth is False:
                continue
            allows = rule.allows
            if truth is None:
                if rule.rule.on_unscanned == "skip":
                    skipped.append(rule.name)
                    continue
                allows = allows and rule.rule.on_unscanned == "match"
            result = _result(rule, subject, container)
            if allows or rule.mode == "protect":
                allowed, decided_by = allows, result
                break
            violations.append(result)
        return ContainerDecision(
            name="" if container is None else container.name,
            container_type="containers" if container is None else container.kind,
            image="" if container is None else container.image.text,
            allowed=allowed,
            decided_by=decided_by,
            violations=tuple(violations),
            skipped=tuple(skipped),
            scans=tuple(one.used for one in facts),
        )


def _result(rule: CompiledRule, subject: Subject, container: Container | None) -> RuleResult:
    if container is None:
        return rule.result(subject, "", "containers", "")
    return rule.result(subject, container.name, container.kind, container.image.text)


def _subjects(workload: Workload, container: Container | None, facts: Sequence[ScanFacts]) -> list[Subject]:
    return [Subject(workload, container, scan) for scan in facts] or [Subject(workload, container, None)]


def _ask(rule: CompiledRule, subjects: Sequence[Subject]) -> tuple[bool | None, Subject]:
    """Ask a rule of each scan: one that hits is enough; the subject is the one that decided."""
    answer: bool | None = False
    by = subjects[0]
    for subject in subjects:
        truth = rule.matches(subject)
        if truth:
            return True, subject
        if truth is None and answer is False:
            answer, by = None, subject
    return answer, by


def _stage(rule: CompiledRule) -> int:
    if rule.critical:
        return 0
    first = 1 if rule.name.scope == "fed" else 3 if rule.rule.cfg_type == "ground" else 5
    return first if rule.allows else first + 1


def _is_for_claims(rule: CompiledRule) -> bool:
    """Tell whether a rule is about volume claims: it denies, by storage class and namespace alone."""
    names = {one.source.name for one in rule.criteria}
    return not rule.allows and _STORAGE in names and names <= _CLAIM_CRITERIA


def _new_containers(workload: Workload) -> Sequence[Container]:
    """Return the containers that nobody decided upon yet.

    A running pod was decided upon when its controller was created; debug containers come later.
    """
    if workload.kind == "Pod" and workload.owner is not None and workload.phase == "Running":
        return [one for one in workload.containers if one.kind == "ephemeral_containers"]
    return workload.containers
