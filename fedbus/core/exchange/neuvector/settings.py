"""What there is one of: the vulnerability profile, and the configuration that holds the webhooks."""

from collections.abc import Sequence

from fedbus.core.exchange.neuvector.names import federal
from fedbus.core.exchange.reading import Conversion, Node
from fedbus.model.policy import VulnerabilityProfile, Webhook


def read_vulnerabilities(spec: Node, out: Conversion) -> None:
    """Read an NvVulnerabilityProfile."""
    profile = spec.node("profile")
    if profile is None:
        out.refuse(spec.at("profile"), "is missing")
        return
    entries = [_entry(node) for node in profile.nodes("entries")]
    profile.rest()
    out.add("vulnerability_profile", {"name": "default", "entries": entries}, profile.path)


def _entry(node: Node) -> dict[str, object]:
    read: dict[str, object] = {
        "name": node.needed("name"),
        "comment": node.text("comment"),
        "days": node.number("days"),
        "domains": node.texts("domains"),
        "images": node.texts("images"),
    }
    node.ignore("id", "entries are kept in their order")
    node.rest()
    return read


def read_config(spec: Node, out: Conversion) -> None:
    """Read an NvConfigSecurityRule: of a configuration only webhooks are federated.

    No public schema says where its webhooks stand: below `config`, below `fed_config` as in the REST
    answer, and directly in the spec are all understood.
    """
    below = [node for key in ("config", "fed_config") if (node := spec.node(key)) is not None]
    for holder in (*below, spec):
        for node in holder.nodes("webhooks"):
            _webhook(node, out)
    for node in below:
        for key in list(node.items()):
            out.remark(node.at(key), "ignored: of a configuration only webhooks are federated")


def _webhook(node: Node, out: Conversion) -> None:
    spec: dict[str, object] = {
        "name": federal(node.needed("name"), node.at("name"), out),
        "url": node.needed("url"),
        "enable": node.flag("enable", default=True),
        "use_proxy": node.flag("use_proxy"),
        "type": node.text("type"),
    }
    node.ignore("cfg_type", "in the federation everything is federal")
    node.rest()
    out.add("webhook", spec, node.path)


def write_vulnerabilities(profile: VulnerabilityProfile) -> dict[str, object]:
    """Write the spec of an NvVulnerabilityProfile."""
    entries: list[dict[str, object]] = []
    for entry in profile.entries:
        written: dict[str, object] = {
            "name": entry.name,
            "comment": entry.comment,
            "days": entry.days,
            "domains": list(entry.domains),
            "images": list(entry.images),
        }
        entries.append({key: value for key, value in written.items() if value})
    return {"profile": {"entries": entries}}


def vulnerability_losses(profile: VulnerabilityProfile) -> list[str]:
    """Return what of a vulnerability profile a custom resource cannot say."""
    return [f"entries[{index}].id" for index, entry in enumerate(profile.entries) if entry.id]


def write_config(webhooks: Sequence[Webhook]) -> dict[str, object]:
    """Write the spec of an NvConfigSecurityRule."""
    written = [
        {"name": w.name, "url": w.url, "enable": w.enable, "use_proxy": w.use_proxy, "type": w.type}
        for w in webhooks
    ]
    return {"config": {"webhooks": written}}
