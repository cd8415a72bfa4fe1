"""Rules for response rules."""

import re
from collections.abc import Iterator
from types import MappingProxyType

from fedbus.core.policy_rules.checks import own_name_faults, repeated, wrong
from fedbus.errors import Fault
from fedbus.model.policy.response import ResponseCondition, ResponseRule
from fedbus.model.policy.scope import Scope

LEVELS = ("Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Info", "Debug")

_COUNTS = ("cve-critical", "cve-high-only", "cve-high", "cve-medium")
_WITH_FIX = ("cve-critical-with-fix", "cve-high-only-with-fix", "cve-high-with-fix")

CONDITION_TYPES = MappingProxyType(
    {
        "security-event": ("name", "level", "process"),
        "event": ("name", "level"),
        "cve-report": ("name", "level", "cve-name", *_COUNTS, *_WITH_FIX),
        "compliance": ("name", "level"),
        "admission-control": ("name", "level"),
        "serverless": ("name", "level"),
    }
)
"""The condition types of each event."""

LEVELS_OF = MappingProxyType({"compliance": ("Warning",)})
"""Where an event knows fewer levels than LEVELS."""

NO_QUARANTINE_EVENTS = frozenset({"admission-control", "event"})
_POSITIVE = r"0*[1-9][0-9]*"


def response_faults(rule: ResponseRule, scope: Scope) -> Iterator[Fault]:
    """Check a response rule: its group, conditions, actions and webhooks."""
    if rule.group not in ("", "external"):
        if scope.owns(rule.group):
            yield from own_name_faults("group", rule.group, scope)
        else:
            yield wrong("group", f"must be empty, 'external' or a {scope.word} group, not {rule.group!r}")
    for index, condition in enumerate(rule.conditions):
        yield from _condition_faults(f"conditions[{index}]", rule.event, condition)
    for index, name in repeated(condition.type for condition in rule.conditions):
        yield wrong(f"conditions[{index}].type", f"repeats {name!r}: one of each type")
    yield from _action_faults(rule, scope)
    for index, name in enumerate(rule.webhooks):
        yield from own_name_faults(f"webhooks[{index}]", name, scope)


def _action_faults(rule: ResponseRule, scope: Scope) -> Iterator[Fault]:
    if not rule.actions:
        yield wrong("actions", "must hold at least one of quarantine, webhook, suppress-log")
    for index, name in repeated(rule.actions):
        yield wrong(f"actions[{index}]", f"repeats {name!r}")
    if "quarantine" in rule.actions:
        field = f"actions[{rule.actions.index('quarantine')}]"
        if rule.event in NO_QUARANTINE_EVENTS:
            yield wrong(field, f"must not be quarantine: the event {rule.event!r} has no workload")
        if rule.group == scope.group("nodes"):
            yield wrong(field, "must not be quarantine: a host cannot be quarantined")


def _condition_faults(path: str, event: str, condition: ResponseCondition) -> Iterator[Fault]:
    types = CONDITION_TYPES[event]
    if condition.type not in types:
        allowed = ", ".join(types)
        yield wrong(f"{path}.type", f"must be one of {allowed} for {event!r}, not {condition.type!r}")
    elif wanted := _value_wanted(event, condition):
        yield wrong(f"{path}.value", f"must be {wanted}, not {condition.value!r}")


def _value_wanted(event: str, condition: ResponseCondition) -> str:
    """Return what the value should have been, the empty text when it is right."""
    if condition.type == "level":
        levels = LEVELS_OF.get(event, LEVELS)
        return "" if condition.value in levels else f"one of {', '.join(levels)}"
    if condition.type in _COUNTS:
        return "" if re.fullmatch(_POSITIVE, condition.value) else "a whole number above 0"
    if condition.type in _WITH_FIX:
        fits = re.fullmatch(rf"{_POSITIVE}(/{_POSITIVE})?", condition.value)
        return "" if fits else "N or N/days, whole numbers above 0"
    return "" if condition.value else "given"
