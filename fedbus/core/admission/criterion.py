"""One criterion of a rule, ready to be asked."""

from collections.abc import Callable, Sequence

import msgspec

from fedbus.core.admission.facts import Subject
from fedbus.core.admission.patterns import (
    NEGATIVE,
    PAIR_OPERATORS,
    SET_OPERATORS,
    Held,
    Patterns,
    Wanted,
    regex,
    wanted,
)
from fedbus.core.policy_rules.checks import items, number
from fedbus.model.policy.admission import AdmissionCriterion

Holds = Callable[[Subject], bool | None]
"""Whether a criterion holds; None is unknown."""
Observed = Callable[[Subject], str]

CHEAP, FAIR, DEAR = range(3)
"""What asking costs: a look at the workload, a walk through it, the counts of a scan."""


class Criterion(msgspec.Struct, frozen=True):
    """One criterion: what it says, whether it holds, what it saw.

    Several of one `key` are alternatives, unless all of them are negative. A `positive` one holds when
    something is there, a negative one when it is not.
    """

    source: AdmissionCriterion
    key: str
    holds: Holds
    observed: Observed
    cost: int = CHEAP
    positive: bool = True


class Unusable(ValueError):
    """A criterion that this build cannot ask: it was written by a newer one, or before a check existed."""


def on_set(
    source: AdmissionCriterion,
    texts: Callable[[Subject], Sequence[str] | frozenset[str]],
    *,
    known: Callable[[Subject], bool] = lambda _: True,
    cost: int = CHEAP,
) -> Criterion:
    """Return a criterion on a set of texts; where it is not `known` what they are, it is not met."""
    if source.op in ("regex", "!regex"):
        matches = [regex(item) for item in items(source.value)]

        def hit(subject: Subject) -> bool:
            return any(match(text) for text in texts(subject) for match in matches)

        if source.op == "regex":
            return _simple(source, lambda s: known(s) and hit(s), texts, cost)
        return _simple(source, lambda s: known(s) and not hit(s), texts, cost)
    operator = SET_OPERATORS.get(source.op)
    if operator is None:
        raise Unusable(f"{source.name} has no operator {source.op!r}")
    patterns = Patterns(items(source.value))
    return _simple(source, lambda s: known(s) and operator(patterns, texts(s)), texts, cost)


def on_text(
    source: AdmissionCriterion, text: Callable[[Subject], str], known: Callable[[Subject], bool] | None = None
) -> Criterion:
    """Return a criterion on one text; where it is not `known` it is not met."""
    if source.op not in ("containsAny", "notContainsAny") or known is not None:
        return on_set(source, lambda s: (text(s),), known=known or (lambda _: True))
    has = Patterns(items(source.value)).has
    if source.op == "containsAny":
        return Criterion(source, source.name, lambda s: has(text(s)), text)
    return Criterion(source, source.name, lambda s: not has(text(s)), text, positive=False)


def _simple(
    source: AdmissionCriterion,
    holds: Holds,
    texts: Callable[[Subject], Sequence[str] | frozenset[str]],
    cost: int,
) -> Criterion:
    def observed(subject: Subject) -> str:
        return listed(source, texts(subject))

    return Criterion(source, source.name, holds, observed, cost, source.op not in NEGATIVE)


def listed(source: AdmissionCriterion, texts: Sequence[str] | frozenset[str], most: int = 5) -> str:
    """Return what was seen, what the rule asks for first, and how many were left out."""
    if not texts:
        return "none"
    patterns = Patterns(items(source.value)) if source.op in SET_OPERATORS else None
    other = source.op == "containsOtherThan"
    ordered = sorted(texts, key=lambda text: (patterns is not None and patterns.has(text) == other, text))
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def on_pairs(
    source: AdmissionCriterion,
    held: Callable[[Subject], Held],
    read: Callable[[str], Wanted] = wanted,
    cost: int = CHEAP,
    show_value: bool = True,
) -> Criterion:
    """Return a criterion on keys and values; values that may be secret are not shown."""
    operator = PAIR_OPERATORS.get(source.op)
    if operator is None:
        raise Unusable(f"{source.name} has no operator {source.op!r}")
    wants = [read(item) for item in items(source.value)]
    keys = {key for key, _ in wants}

    def observed(subject: Subject) -> str:
        pairs = held(subject)
        named = [key for key in pairs if (key in keys) != (source.op == "containsOtherThan")]
        texts = [f"{key}={'|'.join(pairs[key])}" if show_value else key for key in sorted(named)[:5]]
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        return ", ".join(texts) + more if texts else "none of them"

    return Criterion(
        source, source.name, lambda s: operator(wants, held(s)), observed, cost, source.op not in NEGATIVE
    )


def on_truth(
    source: AdmissionCriterion,
    truth: Callable[[Subject], bool | None],
    why: Observed | None = None,
    cost: int = CHEAP,
) -> Criterion:
    """Return a criterion that asks for true or false."""
    if source.op != "=" or source.value not in ("true", "false"):
        raise Unusable(f"{source.name} must be = true or false, not {source.op} {source.value}")
    asked = source.value == "true"

    def holds(subject: Subject) -> bool | None:
        found = truth(subject)
        return None if found is None else found == asked

    def observed(subject: Subject) -> str:
        found = truth(subject)
        text = "unknown" if found is None else str(found).lower()
        return f"{text} ({why(subject)})" if found and why is not None else text

    return Criterion(source, source.name, holds, observed, cost)


NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    ">=": lambda one, other: one >= other,
    ">": lambda one, other: one > other,
    "<=": lambda one, other: one <= other,
}


def number_of(name: str, text: str) -> float:
    """Return the number in a rule. Raises Unusable."""
    value = number(text)
    if value is None:
        raise Unusable(f"{name} must be compared with a number, not {text!r}")
    return value


def comparison(name: str, op: str) -> Callable[[float, float], bool]:
    """Return the comparison that an operator stands for. Raises Unusable."""
    compare = NUMBERS.get(op)
    if compare is None:
        raise Unusable(f"{name} has no operator {op!r}")
    return compare
