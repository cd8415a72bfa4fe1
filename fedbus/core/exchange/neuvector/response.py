"""Response rules: a list of their own, or the `response` list of a group's security rule."""

from fedbus.core.exchange.neuvector.names import federal
from fedbus.core.exchange.neuvector.places import by_name, numbered
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.model.policy import ResponseRule

_EXTERNAL = frozenset({"external"})


def read_rules(spec: Node, out: Conversion) -> None:
    """Read an NvResponseRuleSecurityRule. No public schema names its list; ours is `rules`."""
    if "rules" not in spec:
        out.refuse(spec.at("rules"), "is missing")
    for node in spec.nodes("rules"):
        read_rule(node, "", out)


def read_rule(node: Node, target: str, out: Conversion) -> None:
    """Read one rule; within a security rule it is for the target."""
    spec: dict[str, object] = {
        **by_name("response_rule", node.text("policy_name"), out),
        "event": node.needed("event"),
        "comment": node.text("comment"),
        "group": federal(node.text("group") or target, node.at("group"), out, kept=_EXTERNAL),
        "conditions": [_condition(one) for one in node.nodes("conditions")],
        "actions": node.texts("actions"),
        "webhooks": [
            federal(name, f"{node.at('webhooks')}[{index}]", out)
            for index, name in enumerate(node.texts("webhooks"))
        ],
        "disable": node.flag("disable"),
    }
    node.rest()
    out.add("response_rule", spec, node.path)


def _condition(node: Node) -> dict[str, object]:
    read: dict[str, object] = {"type": node.needed("type"), "value": node.text("value")}
    node.rest()
    return read


def write_rule(rule: ResponseRule) -> dict[str, object]:
    """Write one rule."""
    written: dict[str, object] = {
        "policy_name": numbered("fed-response", rule.id),
        "event": rule.event,
        "group": rule.group,
        "comment": rule.comment,
        "conditions": [{"type": c.type, "value": c.value} for c in rule.conditions],
        "actions": list(rule.actions),
        "webhooks": list(rule.webhooks),
        "disable": rule.disable,
    }
    return {
        key: value for key, value in written.items() if value or key in ("policy_name", "event", "actions")
    }
