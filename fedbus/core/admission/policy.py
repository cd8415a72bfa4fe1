"""The decision: which rule has the first say, and what it says.

Order: critical allow rules, federated allow, federated deny, then the cluster's own, those from custom
resources before the others, allow before deny. The first decisive match decides a container: any allow
rule, or a deny rule whose mode is `protect`. A deny rule that only monitors is noted, and a later rule may
still decide. One denied container denies the request; what no rule decides is allowed.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from fedbus.core.admission import messages
from fedbus.core.admission.accepted import Accepted, IsAccepted
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

COUNTED = 16
"""How many reports stay counted: as many as whoever looks them up keeps decoded."""

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
    order given. `state` is the one in force. `accepted` are the entries of the federation's vulnerability
    profile; those of the cluster's own, `accepted_locally`, count for its own rules alone, so that nothing
    local lifts a federated denial.
    Rules that cannot be asked are in `unusable`.
    """

    def __init__(
        self,
        federated: Iterable[AdmissionRule] = (),
        local: Iterable[AdmissionRule] = (),
        *,
        state: AdmissionState = OFF,
        accepted: Iterable[VulnerabilityEntry] = (),
        accepted_locally: Iterable[VulnerabilityEntry] = (),
    ) -> None:
        self.state = state
        self.mode: Mode = state.mode
        self.unusable: list[UnusableRule] = []
        everywhere = tuple(accepted)
        self._accepted: dict[RuleScope, Accepted] = {
            "fed": Accepted(everywhere),
            "local": Accepted((*everywhere, *accepted_locally)),
        }
        self._rules = [*self._compiled("fed", federated), *self._compiled("local", local)]
        self._rules.sort(key=lambda rule: (_stage(rule), rule.rule.rank))
        active = [rule for rule in self._rules if not rule.rule.disable]
        self._by_kind = {kind: [rule for rule in active if kind in rule.containers] for kind in _KINDS}
        self._denies = any(not rule.allows for rule in active)
        self._exempting = [rule for rule in active if rule.critical and rule.only_of_context]
        self._for_claims = [rule for rule in active if _is_for_claims(rule)]
        self._remembered: dict[tuple[ContainerType, str, str, tuple[str, ...]], list[CompiledRule]] = {}
        self._scans: OrderedDict[tuple[int, IsAccepted | None], ScanFacts] = OrderedDict()
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
        if is_too_big(workload) and self._denies and not self.is_exempt(workload):
            message = messages.too_big(workload)
            return Decision(
                allowed=self.mode != "protect", message=message, warnings=(message,), mode=self.mode
            )
        decided: list[ContainerDecision] = []
        if workload.kind == CLAIM:
            subject = Subject(workload, None, None)
            rules = [rule for rule in self._for_claims if rule.concerns(subject)]
            alone = [Subject(workload, None, None, now)]
            decided.append(self._decide(rules, {"fed": alone, "local": alone}, None))
        for container in _new_containers(workload):
            subjects = self._subjects(workload, container, reports, now)
            decided.append(self._decide(self._concerned(workload, container), subjects, container))
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

    def asking(self, name: str) -> list[RuleName]:
        """Return the rules in force that have a criterion of this name."""
        return [
            rule.name
            for rule in self._rules
            if not rule.rule.disable and any(identity(one) == name for one in rule.rule.criteria)
        ]

    def is_exempt(self, workload: Workload) -> bool:
        """Tell whether critical rules allow all of a workload, whatever is in it and no matter the scans."""
        subject = Subject(workload, None, None)
        return any(rule.concerns(subject) for rule in self._exempting)

    def assess(self, workload: Workload, reports: Reports, now: float) -> list[RuleResult]:
        """Return what every rule says of every container, in order of their say; disabled rules too."""
        if workload.kind == CLAIM:
            rules = [rule for rule in self._rules if _is_for_claims(rule)]
            return [rule.result(Subject(workload, None, None), "", "containers", "") for rule in rules]
        results: list[RuleResult] = []
        for container in workload.containers[:MAX_CONTAINERS]:
            subjects = self._subjects(workload, container, reports, now)
            for rule in self._rules:
                if container.kind in rule.containers:
                    _, subject = _ask(rule, subjects[rule.name.scope])
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

    def _subjects(
        self, workload: Workload, container: Container, reports: Reports, now: float
    ) -> dict[RuleScope, list[Subject]]:
        """Return what the rules of each scope look at: the same, but for what its profiles accept."""
        found = newest(reports.get(container.image.text, ()))
        if not found:
            alone = [Subject(workload, container, None, now)]
            return {"fed": alone, "local": alone}
        by_accepted: dict[IsAccepted | None, list[Subject]] = {}
        subjects: dict[RuleScope, list[Subject]] = {}
        for scope, entries in self._accepted.items():
            accepted = entries.of(workload.namespace, container.image)
            if accepted not in by_accepted:
                facts = [self._counted(report, accepted, now) for report in found]
                by_accepted[accepted] = [Subject(workload, container, scan, now) for scan in facts]
            subjects[scope] = by_accepted[accepted]
        return subjects

    def _counted(self, report: Report, accepted: IsAccepted | None, now: float) -> ScanFacts:
        """Return a report as it was counted for the request before, if what counts is still the same."""
        if accepted is not None and accepted.hangs_on_time:
            return ScanFacts(report, accepted, now)
        key = (id(report), accepted)
        facts = self._scans.get(key)
        if facts is None or facts.report is not report:
            facts = self._scans[key] = ScanFacts(report, accepted, now)
        self._scans.move_to_end(key)
        if len(self._scans) > COUNTED:
            self._scans.popitem(last=False)
        return facts

    def _decide(
        self,
        rules: Sequence[CompiledRule],
        subjects: Mapping[RuleScope, Sequence[Subject]],
        container: Container | None,
    ) -> ContainerDecision:
        fed, own = subjects["fed"], subjects["local"]
        only = own[0] if fed is own and len(own) == 1 else None
        violations: list[RuleResult] = []
        skipped: list[RuleName] = []
        allowed, decided_by = True, None
        for rule in rules:
            truth, subject = (rule.matches(only), only) if only else _ask(rule, subjects[rule.name.scope])
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
            scans=tuple(one.scan.used(one.now) for one in own if one.scan is not None),
        )


def _result(rule: CompiledRule, subject: Subject, container: Container | None) -> RuleResult:
    if container is None:
        return rule.result(subject, "", "containers", "")
    return rule.result(subject, container.name, container.kind, container.image.text)


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
    """Tell whether a rule is about volume claims: it denies by storage class, or is critical."""
    names = {one.source.name for one in rule.criteria}
    asks = rule.critical if rule.allows else _STORAGE in names
    return asks and names <= _CLAIM_CRITERIA


def _new_containers(workload: Workload) -> Sequence[Container]:
    """Return the containers that nobody decided upon yet.

    A running pod was decided upon when its controller was created; debug containers come later.
    """
    if workload.kind == "Pod" and workload.owner is not None and workload.phase == "Running":
        return [one for one in workload.containers if one.kind == "ephemeral_containers"]
    return workload.containers
