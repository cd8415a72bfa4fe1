"""A rule, compiled once: its criteria put together, cheap ones first."""

from collections.abc import Iterable, Sequence

from fedbus.core.admission.criteria import criterion
from fedbus.core.admission.criterion import Criterion, Holds
from fedbus.core.admission.facts import Subject
from fedbus.core.admission.messages import cut
from fedbus.model.decision import CriterionResult, Mode, RuleName, RuleResult, RuleScope, Truth
from fedbus.model.policy.admission import AdmissionRule, ContainerType

OBSERVED_LENGTH = 512
"""How much of what a criterion saw is kept, in characters: an annotation may be long."""

REGULAR: tuple[ContainerType, ...] = ("containers",)

CONTEXT = frozenset({"namespace", "user", "userGroups"})
"""Criteria on where and by whom, the same for all that one controller creates in a namespace."""

_TRUTHS: dict[bool | None, Truth] = {True: "met", False: "unmet", None: "unknown"}


class CompiledRule:
    """One rule of one scope on a cluster of one mode, ready to be asked.

    A rule without criteria matches nothing. Raises ValueError when this build cannot ask one of them.
    """

    def __init__(self, rule: AdmissionRule, scope: RuleScope, mode: Mode) -> None:
        self.rule = rule
        self.name = RuleName(rule=rule.id, scope=scope)
        self.allows = rule.rule_type == "exception"
        self.critical = rule.critical and self.allows and scope == "local"
        self.mode: Mode = rule.rule_mode or mode
        self.containers = frozenset(rule.containers or REGULAR)
        self.criteria = tuple(criterion(source) for source in rule.criteria)
        self.only_of_context = bool(self.criteria) and all(one.key in CONTEXT for one in self.criteria)
        self._of_context = _grouped(one for one in self.criteria if one.key in CONTEXT)
        self.matches = (
            _all_of(_grouped(one for one in self.criteria if one.key not in CONTEXT))
            if self.criteria
            else lambda _: False
        )
        """Whether a rule that `concerns` a subject matches it; None when that hangs on a scan."""

    def concerns(self, subject: Subject) -> bool:
        """Tell whether namespace and user are those that the rule is about; they are always known."""
        return all(holds(subject) for holds in self._of_context)

    def result(self, subject: Subject, container: str, kind: ContainerType, image: str) -> RuleResult:
        """Return what the rule says and what each criterion saw."""
        rule = self.rule
        return RuleResult(
            rule=rule.id,
            scope=self.name.scope,
            rule_type=rule.rule_type,
            mode=self.mode,
            critical=self.critical,
            disabled=rule.disable,
            comment=rule.comment,
            on_unscanned=rule.on_unscanned,
            container=container,
            container_type=kind,
            image=image,
            truth=_TRUTHS[self.concerns(subject) and self.matches(subject)],
            criteria=tuple(_result(one, subject) for one in self.criteria),
            scan=None if subject.scan is None else subject.scan.used(subject.now),
        )


def _result(asked: Criterion, subject: Subject) -> CriterionResult:
    source = asked.source
    subs = "".join(f" ({sub.name} {sub.op} {sub.value})" for sub in source.sub_criteria)
    return CriterionResult(
        name=source.path or source.name or source.type,
        op=source.op,
        value=source.value + subs,
        truth=_TRUTHS[asked.holds(subject)],
        observed=cut(asked.observed(subject), OBSERVED_LENGTH),
    )


def _grouped(criteria: Iterable[Criterion]) -> list[Holds]:
    """Return one question for each name, cheap ones first: all of them have to hold."""
    groups: dict[str, list[Criterion]] = {}
    for one in criteria:
        groups.setdefault(one.key, []).append(one)
    ordered = sorted(groups.values(), key=lambda group: max(one.cost for one in group))
    return [group[0].holds if len(group) == 1 else _folded(group) for group in ordered]


def _all_of(questions: Sequence[Holds]) -> Holds:
    """Return the question whether all hold; one that does not decides, even if others are unknown."""
    if len(questions) == 1:
        return questions[0]

    def holds(subject: Subject) -> bool | None:
        unknown = False
        for question in questions:
            truth = question(subject)
            if truth is None:
                unknown = True
            elif not truth:
                return False
        return None if unknown else True

    return holds


def _folded(group: Sequence[Criterion]) -> Holds:
    """Return criteria of one name as one: alternatives, but as long as all are negative all must hold."""

    def holds(subject: Subject) -> bool | None:
        truth, positive = group[0].holds(subject), group[0].positive
        for one in group[1:]:
            found = one.holds(subject)
            positive = positive or one.positive
            truth = _either(truth, found) if positive else _both(truth, found)
        return truth

    return holds


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None or other is None else False


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True
