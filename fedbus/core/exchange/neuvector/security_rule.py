"""NvSecurityRule and NvClusterSecurityRule: a target group and everything that is said about it."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from fedbus.core.exchange.neuvector import network, profile, response
from fedbus.core.exchange.neuvector.group import read_selector, write_selector
from fedbus.core.exchange.neuvector.places import annotations
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.core.policy_rules.network import LOCAL_ENDS
from fedbus.model.policy import (
    DlpGroup,
    FileProfile,
    Group,
    NetworkRule,
    OrderedPolicy,
    Policy,
    ProcessProfile,
    ResponseRule,
    WafGroup,
)
from fedbus.model.policy.scope import PREFIX

_NO_MODE = frozenset({"", "N/A"})


def read_security_rule(spec: Node, out: Conversion) -> None:
    """Read the spec of either kind."""
    target = spec.node("target")
    selector = target.node("selector") if target is not None else None
    if target is None or selector is None:
        out.refuse(spec.at("target.selector"), "is missing")
        return
    name = read_selector(selector, out)
    mode = target.text("policymode")
    if mode not in _NO_MODE:
        out.remark(target.at("policymode"), f"ignored: {mode}; a federated group has no mode of its own")
    target.rest()
    for direction in (network.INGRESS, network.EGRESS):
        for node in spec.nodes(direction):
            network.read_rule(node, direction, name, out)
    carrier = carrier_name(name)
    profile.read_process(spec, carrier, out)
    profile.read_file(spec, carrier, out)
    profile.read_binding(spec, "dlp", carrier, out)
    profile.read_binding(spec, "waf", carrier, out)
    for node in spec.nodes("response"):
        response.read_rule(node, name, out)


def carrier_name(target: str) -> str:
    """Return the group that carries the profiles of a target: of `nodes` it is `fed.nodes`."""
    return PREFIX + target if target in LOCAL_ENDS else target


class Target(msgspec.Struct):
    """What is written under one group."""

    rules: list[NetworkRule] = []
    responses: list[ResponseRule] = []
    carried: list[ProcessProfile | FileProfile | DlpGroup | WafGroup] = []


def targets(objects: Sequence[Policy]) -> dict[str, Target]:
    """Sort out under which group every object is written; response rules without a group are left out."""
    found: dict[str, Target] = {}
    for obj in objects:
        match obj:
            case Group():
                found.setdefault(obj.name, Target())
            case NetworkRule():
                found.setdefault(network.target_of(obj)[0], Target()).rules.append(obj)
            case ResponseRule() if obj.group.startswith(PREFIX):
                found.setdefault(obj.group, Target()).responses.append(obj)
            case ProcessProfile() | FileProfile():
                found.setdefault(obj.group, Target()).carried.append(obj)
            case DlpGroup() | WafGroup():
                found.setdefault(obj.name, Target()).carried.append(obj)
    return found


def write_security_rule(
    name: str, target: Target, groups: Mapping[str, Group]
) -> tuple[dict[str, object], dict[str, str]]:
    """Write the spec of an NvClusterSecurityRule, and its annotations."""
    spec: dict[str, object] = {
        "target": {"policymode": "N/A", "selector": write_selector(name, groups)},
        "ingress": [],
        "egress": [],
        "process": [],
        "file": [],
    }
    for rule in target.rules:
        entries = spec[network.target_of(rule)[1]]
        assert isinstance(entries, list)  # noqa: S101 - made six lines above
        entries.append(network.write_rule(rule, groups))
    spec |= dict(_carried(target))
    if target.responses:
        spec["response"] = [response.write_rule(rule) for rule in target.responses]
    rules: list[OrderedPolicy] = [*target.rules, *target.responses]
    return spec, annotations(rules)


def _carried(target: Target) -> Iterator[tuple[str, object]]:
    for obj in target.carried:
        match obj:
            case ProcessProfile():
                yield from profile.write_process(obj).items()
            case FileProfile():
                yield "file", profile.write_file(obj)
            case DlpGroup():
                yield "dlp", profile.write_binding(obj)
            case WafGroup():
                yield "waf", profile.write_binding(obj)
