"""Groups: the `selector` that stands in security rules and group definitions."""

from collections.abc import Mapping

from fedbus.core.exchange.neuvector.names import federal
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.core.policy_rules.network import LOCAL_ENDS
from fedbus.model.policy import Group
from fedbus.model.policy.scope import PREFIX

_METRICS = {
    "grp_sess_cur": "group_sess_cur",
    "grp_sess_rate": "group_sess_rate",
    "grp_band_width": "group_band_width",
}
_EVERYWHERE = LOCAL_ENDS | {PREFIX + name for name in LOCAL_ENDS}


def read_definition(spec: Node, out: Conversion) -> None:
    """Read an NvGroupDefinition: a selector and nothing else."""
    selector = spec.node("selector")
    if selector is None:
        out.refuse(spec.at("selector"), "is missing")
        return
    read_selector(selector, out)


def read_selector(selector: Node, out: Conversion) -> str:
    """Read a selector: add the group that it defines, if it does, and return the group's name."""
    name = federal(selector.needed("name"), selector.at("name"), out, kept=LOCAL_ENDS)
    referred = selector.flag("name_referral")
    for key, why in (
        ("criteria", "name_referral takes them from the group's own definition"),
        ("comment", "name_referral takes it from the group's own definition"),
    ):
        if referred:
            selector.ignore(key, why)
        elif name in _EVERYWHERE:
            selector.ignore(key, f"{name!r} exists in every cluster already")
    selector.ignore("original_name", "the group goes by its name")
    spec: dict[str, object] = {
        "name": name,
        "comment": selector.text("comment"),
        "criteria": [_criterion(one) for one in selector.nodes("criteria")],
        "monitor_metric": selector.flag("mon_metric"),
        **{ours: selector.number(theirs) for theirs, ours in _METRICS.items()},
    }
    selector.rest()
    if spec["criteria"]:
        out.add("group", spec, selector.path)
    return name


def _criterion(node: Node) -> dict[str, object]:
    read: dict[str, object] = {
        "key": node.needed("key"),
        "op": node.text("op", "="),
        "value": node.text("value"),
    }
    node.rest()
    return read


def group_losses(group: Group) -> list[str]:
    """Return what of a group a custom resource cannot say."""
    lost = ["domain"] if group.domain else []
    if not group.monitor_metric:
        lost += [field for field in _METRICS.values() if getattr(group, field)]
    return lost


def write_selector(name: str, groups: Mapping[str, Group]) -> dict[str, object]:
    """Write the selector of a group; one that every cluster has is named only."""
    group = groups.get(name)
    if group is None:
        return {"name": name}
    written: dict[str, object] = {"name": name}
    if group.comment:
        written["comment"] = group.comment
    written["criteria"] = [{"key": c.key, "op": c.op, "value": c.value} for c in group.criteria]
    if group.monitor_metric:
        written["mon_metric"] = True
    written |= {theirs: getattr(group, ours) for theirs, ours in _METRICS.items() if getattr(group, ours)}
    return written
