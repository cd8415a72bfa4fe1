"""The one way an object is written: what NeuVector itself changes when it saves one.

Two inputs that mean the same become equal, so that applying the same policy twice changes nothing.
What is invalid stays as it is, for the rules to name.
"""

import posixpath
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from fedbus.core.policy_rules import admission_criteria as table
from fedbus.core.policy_rules.group import ADDRESS
from fedbus.core.policy_rules.network import ANY_APPLICATION, APPLICATIONS
from fedbus.core.policy_rules.ports import normal_ports
from fedbus.model.policy import (
    AdmissionRule,
    FileProfile,
    Group,
    NetworkRule,
    Policy,
    ProcessProfile,
    Registry,
    ResponseRule,
)
from fedbus.model.policy.admission import AdmissionCriterion, AdmissionSubCriterion

_ONE_HIT = AdmissionSubCriterion(name="count", op=">=", value="1")


def normalise(obj: Policy) -> Policy:
    """Return `obj` as it is stored."""
    rule = _RULES.get(type(obj))
    return rule(obj) if rule else obj


def _group(group: Group) -> Group:
    addresses = any(criterion.key == ADDRESS for criterion in group.criteria)
    return replace(group, kind="address" if addresses else "container")


def _network(rule: NetworkRule) -> NetworkRule:
    ports = normal_ports(rule.ports)
    names = [name.lower() for name in rule.applications]
    applications = sorted(APPLICATIONS.get(name.lower(), name) for name in rule.applications)
    if not names or ANY_APPLICATION in names:
        applications = [ANY_APPLICATION]
    return replace(rule, ports=ports or rule.ports, applications=tuple(applications))


def _admission(rule: AdmissionRule) -> AdmissionRule:
    return replace(
        rule,
        containers=rule.containers or ("containers",),
        criteria=_merged(tuple(_criterion(criterion) for criterion in rule.criteria)),
    )


def _criterion(criterion: AdmissionCriterion) -> AdmissionCriterion:
    if criterion.name == "cveNames":
        return replace(criterion, value=criterion.value.upper())
    if criterion.name == "cveScoreCount" and not criterion.sub_criteria:
        return replace(criterion, sub_criteria=(_ONE_HIT,))
    return criterion


def _merged(criteria: tuple[AdmissionCriterion, ...]) -> tuple[AdmissionCriterion, ...]:
    """Join what asks the same of the same name: one comma list for containsAny, one for notContainsAny."""
    merged: dict[object, AdmissionCriterion] = {}
    for index, criterion in enumerate(criteria):
        joins = criterion.op in table.ANY2 and criterion.type not in table.TYPED
        key = (criterion.name, criterion.op) if joins else index
        first = merged.get(key)
        merged[key] = replace(first, value=f"{first.value},{criterion.value}") if first else criterion
    return tuple(merged.values())


def _response(rule: ResponseRule) -> ResponseRule:
    return replace(
        rule,
        conditions=tuple(
            replace(condition, value=condition.value.upper()) if condition.type == "cve-name" else condition
            for condition in rule.conditions
        ),
    )


def _process(profile: ProcessProfile) -> ProcessProfile:
    return replace(
        profile,
        process_list=tuple(
            replace(entry, name=entry.name.strip(), path=_clean(entry.path.strip()))
            for entry in profile.process_list
        ),
    )


def _file(profile: FileProfile) -> FileProfile:
    return replace(
        profile, filters=tuple(replace(entry, filter=_clean(entry.filter)) for entry in profile.filters)
    )


def _clean(path: str) -> str:
    """Remove doubled slashes and single dots; what climbs up or ends in a slash keeps doing so."""
    if not path.startswith("/") or ".." in path:
        return path
    cleaned = "/" + posixpath.normpath(path).lstrip("/")
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def _registry(registry: Registry) -> Registry:
    return replace(registry, filters=tuple(sorted(registry.filters)))


_RULES: dict[type[Policy], Callable[[Any], Policy]] = {
    Group: _group,
    NetworkRule: _network,
    AdmissionRule: _admission,
    ResponseRule: _response,
    ProcessProfile: _process,
    FileProfile: _file,
    Registry: _registry,
}
