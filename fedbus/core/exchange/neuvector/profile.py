"""Process and file profiles, and the sensors of a group: what a security rule says of its target."""

from fedbus.core.exchange.neuvector.names import federal
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.model.policy import DlpGroup, FileProfile, ProcessProfile, WafGroup

_BASELINES = {"default": "basic", "shield": "zero-drift"}
"""What NeuVector called its baselines before it named them anew."""


def read_process(spec: Node, group: str, out: Conversion) -> None:
    """Read `process_profile` and `process`."""
    profile = spec.node("process_profile")
    baseline = ""
    if profile is not None:
        baseline = profile.text("baseline")
        profile.ignore("mode", "a federated group has no mode, each workload's own counts")
        profile.rest()
    entries = []
    for node in spec.nodes("process"):
        entries.append(
            {
                "name": node.text("name"),
                "path": node.text("path"),
                "action": node.needed("action"),
                "allow_update": node.flag("allow_update"),
            }
        )
        node.rest()
    if entries or baseline:
        read: dict[str, object] = {
            "group": group,
            "baseline": _BASELINES.get(baseline, baseline),
            "process_list": entries,
        }
        out.add("process_profile", read, spec.at("process"))


def read_file(spec: Node, group: str, out: Conversion) -> None:
    """Read `file`."""
    filters = []
    for node in spec.nodes("file"):
        filters.append(
            {
                "filter": node.needed("filter"),
                "recursive": node.flag("recursive"),
                "behavior": node.needed("behavior"),
                "applications": node.texts("app"),
            }
        )
        node.rest()
    if filters:
        out.add("file_profile", {"group": group, "filters": filters}, spec.at("file"))


def read_binding(spec: Node, key: str, group: str, out: Conversion) -> None:
    """Read `dlp` or `waf`. A missing `status` is false, as NeuVector reads it."""
    node = spec.node(key)
    if node is None:
        return
    sensors = []
    for one in node.nodes("settings"):
        name = federal(one.needed("name"), one.at("name"), out)
        sensors.append({"name": name, "action": one.text("action", "allow")})
        one.rest()
    out.add(f"{key}_group", {"name": group, "status": node.flag("status"), "sensors": sensors}, node.path)
    node.rest()


def write_process(profile: ProcessProfile) -> dict[str, object]:
    """Write `process_profile` and `process`."""
    entries = [
        {"name": e.name, "path": e.path, "action": e.action, "allow_update": e.allow_update}
        for e in profile.process_list
    ]
    baseline: dict[str, object] = (
        {"process_profile": {"baseline": profile.baseline}} if profile.baseline else {}
    )
    return baseline | {"process": entries}


def process_losses(profile: ProcessProfile) -> list[str]:
    """Return what of a process profile a custom resource cannot say."""
    lost = [field for field in ("alert_disabled", "hash_enabled") if getattr(profile, field)]
    for index, entry in enumerate(profile.process_list):
        lost += [f"process_list[{index}].{field}" for field in ("user", "uid") if getattr(entry, field)]
    if not profile.process_list and not profile.baseline:
        lost.append("the profile itself, which is empty")
    return lost


def file_losses(profile: FileProfile) -> list[str]:
    """Return what of a file profile a custom resource cannot say."""
    return [] if profile.filters else ["the profile itself, which is empty"]


def write_file(profile: FileProfile) -> list[dict[str, object]]:
    """Write `file`."""
    return [
        {"filter": f.filter, "recursive": f.recursive, "behavior": f.behavior, "app": list(f.applications)}
        for f in profile.filters
    ]


def write_binding(binding: DlpGroup | WafGroup) -> dict[str, object]:
    """Write `dlp` or `waf`."""
    settings = [{"name": one.name, "action": one.action} for one in binding.sensors]
    return {"status": binding.status, "settings": settings}
