"""NeuVector's custom resources: the table of kinds, reading one, writing all.

The fields are those of its custom resource definitions and Go types (5.4 and 5.5). What a resource
says and the federation has no place for is remarked, and so is, the other way, what a policy object
says and a resource has no place for.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from fedbus.core.exchange.neuvector import admission, group, network, profile, response, sensor, settings
from fedbus.core.exchange.neuvector.places import annotations, read_places
from fedbus.core.exchange.neuvector.security_rule import read_security_rule, targets, write_security_rule
from fedbus.core.exchange.reading import Conversion, Node, Remark
from fedbus.model.policy import (
    AdmissionRule,
    AdmissionState,
    DlpSensor,
    FileProfile,
    Group,
    NetworkRule,
    Policy,
    ProcessProfile,
    Registry,
    ResponseRule,
    VulnerabilityProfile,
    WafSensor,
    Webhook,
    kind_of,
)
from fedbus.model.policy.scope import PREFIX

API_VERSION = "neuvector.com/v1"

_READERS: Mapping[str, Callable[[Node, Conversion], None]] = MappingProxyType(
    {
        "NvSecurityRule": read_security_rule,
        "NvClusterSecurityRule": read_security_rule,
        "NvGroupDefinition": group.read_definition,
        "NvAdmissionControlSecurityRule": admission.read_admission,
        "NvResponseRuleSecurityRule": response.read_rules,
        "NvDlpSecurityRule": lambda spec, out: sensor.read_sensor(spec, "dlp_sensor", out),
        "NvWafSecurityRule": lambda spec, out: sensor.read_sensor(spec, "waf_sensor", out),
        "NvVulnerabilityProfile": settings.read_vulnerabilities,
        "NvConfigSecurityRule": settings.read_config,
    }
)
_LOCAL_KINDS = MappingProxyType({"NvComplianceProfile": "each cluster keeps its own compliance profile"})

RESOURCE_KINDS = tuple(_READERS)
"""The kinds that can be read; all are written too, but NvSecurityRule and NvGroupDefinition."""


def is_resource(value: Mapping[str, object]) -> bool:
    """Tell whether a document is one of NeuVector's."""
    kind, version = value.get("kind"), value.get("apiVersion")
    return (isinstance(kind, str) and kind.startswith("Nv")) or (
        isinstance(version, str) and version.startswith("neuvector.com/")
    )


def read(value: Mapping[str, object], path: str = "") -> Conversion:
    """Read one custom resource; `path` is where it stands in its document."""
    out = Conversion()
    document = Node(value, path, out)
    kind, version = document.needed("kind"), document.text("apiVersion", API_VERSION)
    if version != API_VERSION:
        out.refuse(document.at("apiVersion"), f"must be {API_VERSION}, not {version!r}")
    metadata, spec = document.node("metadata"), document.node("spec")
    if metadata is not None:
        _read_metadata(metadata, out)
    document.ignore("status", "what a cluster made of it")
    document.rest()
    if kind not in _READERS:
        known = ", ".join(_READERS)
        out.refuse(document.at("kind"), _LOCAL_KINDS.get(kind) or f"{kind!r} is none of {known}")
    elif spec is None:
        out.refuse(document.at("spec"), "is missing")
    else:
        _READERS[kind](spec, out)
        spec.rest()
    return out


def _read_metadata(metadata: Node, out: Conversion) -> None:
    metadata.text("name")  # of the resource; what it describes has names of its own
    metadata.ignore("namespace", "groups of the federation select by their criteria alone")
    read_places(metadata, out)
    for key in list(metadata.items()):
        out.remark(metadata.at(key), "ignored: it is the cluster's own bookkeeping")


class Written(msgspec.Struct, frozen=True):
    """Custom resources, and what they do not say: the path of a remark is kind and name of an object."""

    documents: list[dict[str, object]]
    remarks: list[Remark]


def write(objects: Sequence[Policy], groups: Mapping[str, Group]) -> Written:
    """Write objects, ordered kinds in their order; `groups` by name are what selectors describe."""
    documents = []
    writable = [obj for obj in objects if not isinstance(obj, NetworkRule) or network.can_be_written(obj)]
    for name, target in sorted(targets(writable).items()):
        spec, places = write_security_rule(name, target, groups)
        documents.append(_document("NvClusterSecurityRule", name, spec, places))
    documents += _settings(objects)
    remarks = [
        Remark(f"{kind_of(obj).name} {kind_of(obj).key(obj)}", f"not in a custom resource: {lost}")
        for obj in objects
        for lost in (_LOSSES[type(obj)](obj) if type(obj) in _LOSSES else ())
    ]
    return Written(documents, remarks)


def _settings(objects: Sequence[Policy]) -> list[dict[str, object]]:
    """Write everything that hangs on no group."""
    state = next((obj for obj in objects if isinstance(obj, AdmissionState)), None)
    admissions = [obj for obj in objects if isinstance(obj, AdmissionRule)]
    responses = [obj for obj in objects if isinstance(obj, ResponseRule) and not obj.group.startswith(PREFIX)]
    webhooks = [obj for obj in objects if isinstance(obj, Webhook)]
    documents = []
    if state or admissions:
        spec = admission.write_admission(state, admissions)
        documents.append(_document("NvAdmissionControlSecurityRule", "fed", spec, annotations(admissions)))
    if responses:
        rules = {"rules": [response.write_rule(rule) for rule in responses]}
        documents.append(_document("NvResponseRuleSecurityRule", "fed", rules, annotations(responses)))
    for obj in objects:
        match obj:
            case DlpSensor():
                documents.append(_document("NvDlpSecurityRule", obj.name, sensor.write_sensor(obj)))
            case WafSensor():
                documents.append(_document("NvWafSecurityRule", obj.name, sensor.write_sensor(obj)))
            case VulnerabilityProfile():
                written = settings.write_vulnerabilities(obj)
                documents.append(_document("NvVulnerabilityProfile", obj.name, written))
    if webhooks:
        documents.append(_document("NvConfigSecurityRule", "fed", settings.write_config(webhooks)))
    return documents


def _document(
    kind: str, name: str, spec: Mapping[str, object], places: Mapping[str, str] | None = None
) -> dict[str, object]:
    metadata: dict[str, object] = {"name": name}
    if places:
        metadata["annotations"] = dict(places)
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": dict(spec)}


_LOSSES: Mapping[type[Policy], Callable[[Any], list[str]]] = MappingProxyType(
    {
        Group: group.group_losses,
        NetworkRule: network.network_losses,
        ProcessProfile: profile.process_losses,
        FileProfile: profile.file_losses,
        DlpSensor: sensor.sensor_losses,
        WafSensor: sensor.sensor_losses,
        AdmissionRule: admission.rule_losses,
        AdmissionState: admission.state_losses,
        VulnerabilityProfile: settings.vulnerability_losses,
        Registry: lambda _: ["the registry itself: NeuVector has no resource for registries"],
    }
)
"""What of an object a custom resource cannot say, by its kind; of the others it says everything."""
