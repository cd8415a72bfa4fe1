"""DLP and WAF sensors: the same shape twice."""

from fedbus.core.exchange.neuvector.names import federal
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.model.policy import DlpSensor, WafSensor


def read_sensor(spec: Node, kind: str, out: Conversion) -> None:
    """Read an NvDlpSecurityRule or NvWafSecurityRule as a sensor of `kind`."""
    node = spec.node("sensor")
    if node is None:
        out.refuse(spec.at("sensor"), "is missing")
        return
    read: dict[str, object] = {
        "name": federal(node.needed("name"), node.at("name"), out),
        "comment": node.text("comment"),
        "rules": [_rule(one) for one in node.nodes("rules")],
    }
    node.ignore("predefine", "a sensor that is imported is an own one")
    node.rest()
    out.add(kind, read, node.path)


def _rule(node: Node) -> dict[str, object]:
    read: dict[str, object] = {
        "name": node.needed("name"),
        "patterns": [_pattern(one) for one in node.nodes("patterns")],
    }
    node.ignore("id", "the number of a sensor's rule is given anew")
    node.rest()
    return read


def _pattern(node: Node) -> dict[str, object]:
    read: dict[str, object] = {
        "key": node.text("key", "pattern"),
        "op": node.text("op", "regex"),
        "value": node.needed("value"),
        "context": node.text("context", "packet"),
    }
    node.rest()
    return read


def write_sensor(sensor: DlpSensor | WafSensor) -> dict[str, object]:
    """Write the spec of a sensor's custom resource."""
    rules = [
        {
            "name": rule.name,
            "patterns": [
                {"key": p.key, "op": p.op, "value": p.value, "context": p.context} for p in rule.patterns
            ],
        }
        for rule in sensor.rules
    ]
    return {"sensor": {"name": sensor.name, "comment": sensor.comment, "rules": rules}}


def sensor_losses(sensor: DlpSensor | WafSensor) -> list[str]:
    """Return what of a sensor a custom resource cannot say."""
    lost = ["predefine"] if sensor.predefine else []
    return lost + [f"rules[{index}].id" for index, rule in enumerate(sensor.rules) if rule.id]
