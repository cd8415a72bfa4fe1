"""Admission control: its state in `config`, its rules, whose action `allow` is our `exception`."""

from collections.abc import Sequence

from fedbus.core.exchange.neuvector.places import by_id
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.model.policy import AdmissionRule, AdmissionState
from fedbus.model.policy.admission import AdmissionCriterion

_TYPES = {"allow": "exception", "deny": "deny"}
_ACTIONS = {ours: theirs for theirs, ours in _TYPES.items()}
_EXTRA = ("type", "template_kind", "path", "value_type")


def read_admission(spec: Node, out: Conversion) -> None:
    """Read an NvAdmissionControlSecurityRule."""
    config = spec.node("config")
    if config is not None:
        state = {"enable": config.flag("enable"), "mode": config.text("mode", "monitor")}
        config.ignore("client_mode", "how the API server reaches the webhook is each cluster's own")
        config.rest()
        out.add("admission_state", state, config.path)
    for node in spec.nodes("rules"):
        _read_rule(node, out)


def _read_rule(node: Node, out: Conversion) -> None:
    action, number = node.needed("action"), node.number("id")
    placed = by_id("admission_rule", number, out)
    if number and not placed:
        out.remark(node.at("id"), "ignored: a rule is known again by its content")
    spec: dict[str, object] = {
        **placed,
        "rule_type": _TYPES.get(action, action),
        "rule_mode": node.text("rule_mode"),
        "comment": node.text("comment"),
        "disable": node.flag("disabled"),
        "containers": node.texts("containers"),
        "criteria": [_criterion(one) for one in node.nodes("criteria")],
    }
    if action and action not in _TYPES:
        out.refuse(node.at("action"), f"must be allow or deny, not {action!r}")
    node.rest()
    out.add("admission_rule", spec, node.path)


def _criterion(node: Node) -> dict[str, object]:
    read: dict[str, object] = {
        "name": node.needed("name"),
        "op": node.text("op"),
        "value": node.text("value"),
        "sub_criteria": [_sub(one) for one in node.nodes("sub_criteria")],
        **{key: node.text(key) for key in _EXTRA},
    }
    node.rest()
    return read


def _sub(node: Node) -> dict[str, object]:
    read: dict[str, object] = {
        "name": node.needed("name"),
        "op": node.text("op"),
        "value": node.text("value"),
    }
    node.rest()
    return read


def write_admission(state: AdmissionState | None, rules: Sequence[AdmissionRule]) -> dict[str, object]:
    """Write the spec of an NvAdmissionControlSecurityRule."""
    spec: dict[str, object] = {}
    if state is not None:
        spec["config"] = {"enable": state.enable, "mode": state.mode, "client_mode": "service"}
    spec["rules"] = [_write_rule(rule) for rule in rules]
    return spec


def state_losses(state: AdmissionState) -> list[str]:
    """Return what of the admission state a custom resource cannot say."""
    return ["default_action"] if state.default_action != "allow" else []


def rule_losses(rule: AdmissionRule) -> list[str]:
    """Return what of a rule a custom resource cannot say; our own annotation is nothing to NeuVector."""
    return ["on_unscanned, but for an annotation of ours"] if rule.on_unscanned != "skip" else []


def _write_rule(rule: AdmissionRule) -> dict[str, object]:
    written: dict[str, object] = {
        "id": rule.id,
        "action": _ACTIONS[rule.rule_type],
        "comment": rule.comment,
        "rule_mode": rule.rule_mode,
        "disabled": rule.disable,
        "containers": list(rule.containers),
        "criteria": [_write_criterion(one) for one in rule.criteria],
    }
    return {key: value for key, value in written.items() if value or key == "criteria"}


def _write_criterion(criterion: AdmissionCriterion) -> dict[str, object]:
    written: dict[str, object] = {"name": criterion.name, "op": criterion.op, "value": criterion.value}
    if criterion.sub_criteria:
        written["sub_criteria"] = [
            {"name": s.name, "op": s.op, "value": s.value} for s in criterion.sub_criteria
        ]
    return written | {key: getattr(criterion, key) for key in _EXTRA if getattr(criterion, key)}
