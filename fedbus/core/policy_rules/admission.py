"""Rules for admission rules: the table of criteria applied."""

import re
from collections.abc import Iterator

from fedbus.core.admission.patterns import regex_fault
from fedbus.core.expressions import EXPRESSION_MAX
from fedbus.core.policy_rules import admission_criteria as table
from fedbus.core.policy_rules.checks import is_truth, items, number, repeated, wrong
from fedbus.errors import Fault
from fedbus.model.policy.admission import AdmissionCriterion, AdmissionRule, AdmissionSubCriterion
from fedbus.model.policy.scope import Scope

CATEGORY = "Kubernetes"
CUSTOM_ROOT = "item."
"""Where a custom path starts: the resource under review."""

_MODULE = re.compile(r"[^<>=]+((<=|>=|<|>|=)[^<>=]+)?")
_CUT = re.compile(r"(?<!\\)\{[0-9]+$")
"""The end of an expression that a comma cut off in the middle of a repetition."""
_NUMBER = "a number, 0 or above"


def admission_faults(rule: AdmissionRule, _scope: Scope) -> Iterator[Fault]:
    """Check an admission rule: its type and mode, its containers and every criterion."""
    if rule.category != CATEGORY:
        yield wrong("category", f"must be {CATEGORY!r}, not {rule.category!r}")
    if rule.critical:
        yield wrong("critical", "must be false: only the rules a cluster starts with are critical")
    if rule.rule_mode and rule.rule_type != "deny":
        yield wrong("rule_mode", f"must be empty: only deny rules have one, not {rule.rule_type!r}")
    for index, name in repeated(rule.containers):
        yield wrong(f"containers[{index}]", f"repeats {name!r}")
    names = {identity(criterion) for criterion in rule.criteria}
    for index, criterion in enumerate(rule.criteria):
        path = f"criteria[{index}]"
        yield from _criterion_faults(path, criterion, rule.rule_type)
        if "storageClassName" in names and identity(criterion) not in table.STORAGE_COMPANIONS:
            yield wrong(f"{path}.name", "must be namespace beside storageClassName: nothing else fits")


def identity(criterion: AdmissionCriterion) -> str:
    """Return the name of a criterion in the table."""
    return criterion.type if criterion.type in table.TYPED else criterion.name


def _criterion_faults(path: str, criterion: AdmissionCriterion, rule_type: str) -> Iterator[Fault]:
    name = identity(criterion)
    if name == table.CUSTOM_PATH:
        yield from _custom_faults(path, criterion, rule_type)
        return
    offer = table.CRITERIA.get(name)
    operators = None if offer is None else (offer.deny if rule_type == "deny" else offer.allow)
    if offer is None or operators is None:
        known = sorted(n for n, o in table.CRITERIA.items() if rule_type == "deny" or o.allow)
        yield wrong(
            f"{path}.name", f"{name!r} is no criterion of {rule_type} rules; those are {', '.join(known)}"
        )
        return
    if criterion.op not in operators:
        yield wrong(
            f"{path}.op",
            f"must be {_choice(operators)} for {name} in {rule_type} rules, not {criterion.op!r}",
        )
    elif wanted := _value_wanted(offer, criterion):
        yield wrong(f"{path}.value", f"must be {wanted} for {name}, not {criterion.value!r}")
    yield from _sub_faults(path, name, offer, criterion, rule_type)


def _choice(options: tuple[str, ...]) -> str:
    if len(options) > 1:
        return "one of " + ", ".join(options)
    return repr(options[0]) if options[0] else "empty"


def _value_wanted(offer: table.Offer, criterion: AdmissionCriterion) -> str:
    """Return what the value should have been, the empty text when it is right."""
    value, values = criterion.value, items(criterion.value)
    if offer.values:
        chosen = values if criterion.op in table.LISTED else [value]
        return "" if all(item in offer.values for item in chosen) else _choice(offer.values)
    if criterion.op in table.REGEX:
        errors = [error for error in map(_regex_error, values) if error]
        return f"regular expressions ({errors[0]})" if errors else ""
    fits = {
        "number": lambda: _is_count(value),
        "none": lambda: not value,
        "list": lambda: all(values),
        "labels": lambda: all(item.partition("=")[0] for item in values),
        "modules": lambda: all(_MODULE.fullmatch(item) for item in values),
        "verifiers": lambda: all(all(item.partition("/")) for item in values),
    }
    return "" if fits[offer.kind]() else _KINDS_WANTED[offer.kind]


def _regex_error(expression: str) -> str:
    """Return why admission cannot use an expression, the empty text when it can."""
    if len(expression) > EXPRESSION_MAX:
        return f"longer than {EXPRESSION_MAX} characters"
    if _CUT.search(expression):
        return "a comma ends an expression, so {m,n} cannot be written"
    return regex_fault(expression)


_KINDS_WANTED = {
    "number": _NUMBER,
    "none": "empty",
    "list": "a comma list without empty items",
    "labels": "a comma list of key or key=value",
    "modules": "a comma list of name or name=version (also > < >= <=)",
    "verifiers": "a comma list of root/verifier",
}


def _is_count(text: str) -> bool:
    value = number(text)
    return value is not None and value >= 0


def _sub_faults(
    path: str, name: str, offer: table.Offer, criterion: AdmissionCriterion, rule_type: str
) -> Iterator[Fault]:
    if offer.needs_sub and not criterion.sub_criteria:
        yield wrong(f"{path}.sub_criteria", f"must hold one of {', '.join(offer.subs)}")
    for index, sub in enumerate(criterion.sub_criteria):
        yield from _sub_fault(f"{path}.sub_criteria[{index}]", name, offer, sub, rule_type)
    for index, sub_name in repeated(sub.name for sub in criterion.sub_criteria):
        if not offer.needs_sub:
            yield wrong(f"{path}.sub_criteria[{index}].name", f"repeats {sub_name!r}")


def _sub_fault(
    path: str, name: str, offer: table.Offer, sub: AdmissionSubCriterion, rule_type: str
) -> Iterator[Fault]:
    subs = {n: s for n, s in offer.subs.items() if rule_type == "deny" or not s.deny_only}
    if sub.name not in subs:
        allowed = f"one of {', '.join(subs)}" if subs else "absent"
        yield wrong(f"{path}.name", f"must be {allowed} for {name} in {rule_type} rules, not {sub.name!r}")
        return
    operators = subs[sub.name].operators
    if sub.op not in operators:
        yield wrong(f"{path}.op", f"must be {_choice(operators)} for {sub.name}, not {sub.op!r}")
    if not _is_count(sub.value):
        yield wrong(f"{path}.value", f"must be {_NUMBER}, not {sub.value!r}")


def _custom_faults(path: str, criterion: AdmissionCriterion, rule_type: str) -> Iterator[Fault]:
    if rule_type != "deny":
        yield wrong(f"{path}.name", f"{table.CUSTOM_PATH} is a criterion of deny rules only")
    steps = criterion.path.removeprefix(CUSTOM_ROOT).split(".")
    if not criterion.path.startswith(CUSTOM_ROOT) or not all(steps):
        wanted = f"must start with '{CUSTOM_ROOT}' and name each step, such as item.spec.containers.0.image"
        yield wrong(f"{path}.path", wanted)
    operators = table.CUSTOM_OPERATORS.get(criterion.value_type)
    if operators is None:
        yield wrong(f"{path}.value_type", f"must be one of {', '.join(table.CUSTOM_OPERATORS)}")
    elif criterion.op not in operators:
        yield wrong(
            f"{path}.op",
            f"must be {_choice(operators)} for {criterion.value_type} values, not {criterion.op!r}",
        )
    elif criterion.op not in table.VALUELESS:
        yield from _custom_value_faults(path, criterion)


def _custom_value_faults(path: str, criterion: AdmissionCriterion) -> Iterator[Fault]:
    values = items(criterion.value)
    fits = {
        "string": lambda: all(values),
        "number": lambda: number(criterion.value) is not None,
        "boolean": lambda: is_truth(criterion.value),
    }
    if not fits[criterion.value_type]():
        wanted = {"string": "a comma list", "number": "a number", "boolean": "true or false"}
        yield wrong(f"{path}.value", f"must be {wanted[criterion.value_type]}, not {criterion.value!r}")
