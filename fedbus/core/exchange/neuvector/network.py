"""Network rules: the `ingress` and `egress` lists of a security rule."""

from collections.abc import Mapping

from fedbus.core.exchange.neuvector.group import read_selector, write_selector
from fedbus.core.exchange.neuvector.places import by_name, numbered
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.core.policy_rules.network import SPECIAL_ENDS
from fedbus.model.policy import Group, NetworkRule

INGRESS, EGRESS = "ingress", "egress"


def read_rule(node: Node, direction: str, target: str, out: Conversion) -> None:
    """Read one entry: ingress is traffic to the target, egress traffic from it."""
    selector = node.node("selector")
    if selector is None:
        out.refuse(node.at("selector"), "is missing")
        return
    peer = read_selector(selector, out)
    source, destination = (peer, target) if direction == INGRESS else (target, peer)
    spec: dict[str, object] = {
        **by_name("network_rule", node.text("name"), out),
        "from": source,
        "to": destination,
        "ports": node.text("ports", "any"),
        "applications": node.texts("applications"),
        "action": node.needed("action"),
    }
    node.ignore("priority", "the order of federated rules is their order in the list")
    node.rest()
    out.add("network_rule", spec, node.path)


def target_of(rule: NetworkRule) -> tuple[str, str]:
    """Return the group under which a rule is written, and the list in which."""
    return (rule.from_, EGRESS) if rule.to in SPECIAL_ENDS else (rule.to, INGRESS)


def write_rule(rule: NetworkRule, groups: Mapping[str, Group]) -> dict[str, object]:
    """Write one entry of the list that `target_of` names."""
    target, direction = target_of(rule)
    peer = rule.from_ if direction == INGRESS else rule.to
    return {
        "name": numbered(f"{target}-{direction}", rule.id),
        "selector": write_selector(peer, groups),
        "action": rule.action,
        "applications": list(rule.applications),
        "ports": rule.ports,
    }


def can_be_written(rule: NetworkRule) -> bool:
    """Tell whether a rule has a form as custom resource: a disabled one would come back enabled."""
    return not rule.disable


def network_losses(rule: NetworkRule) -> list[str]:
    """Return what of a network rule a custom resource cannot say."""
    if not can_be_written(rule):
        return ["the rule itself: a custom resource cannot be disabled"]
    return ["comment"] if rule.comment else []
