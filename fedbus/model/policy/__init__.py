"""All policy kinds: one struct each, with NeuVector's field names, and the table of them.

The name of a kind is the same string everywhere: in subjects, documents, tables and messages.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from fedbus.model.policy.admission import AdmissionRule, AdmissionState
from fedbus.model.policy.file import FileProfile
from fedbus.model.policy.group import Group
from fedbus.model.policy.network import NetworkRule
from fedbus.model.policy.process import ProcessProfile
from fedbus.model.policy.registry import Registry
from fedbus.model.policy.response import ResponseRule
from fedbus.model.policy.scope import FED, FED_RULE_IDS, LOCAL, Scope
from fedbus.model.policy.sensor import DlpGroup, DlpSensor, WafGroup, WafSensor
from fedbus.model.policy.vulnerability import VulnerabilityProfile
from fedbus.model.policy.webhook import Webhook

__all__ = [
    "FED",
    "FED_RULE_IDS",
    "KINDS",
    "LOCAL",
    "SINGLETON",
    "AdmissionRule",
    "AdmissionState",
    "DlpGroup",
    "DlpSensor",
    "FileProfile",
    "Group",
    "Kind",
    "NetworkRule",
    "OrderedPolicy",
    "Policy",
    "ProcessProfile",
    "Registry",
    "ResponseRule",
    "Scope",
    "VulnerabilityProfile",
    "WafGroup",
    "WafSensor",
    "Webhook",
    "kind_of",
]

Policy: TypeAlias = (
    Group
    | DlpSensor
    | WafSensor
    | Webhook
    | NetworkRule
    | AdmissionRule
    | ResponseRule
    | ProcessProfile
    | FileProfile
    | DlpGroup
    | WafGroup
    | Registry
    | AdmissionState
    | VulnerabilityProfile
)
OrderedPolicy: TypeAlias = NetworkRule | AdmissionRule | ResponseRule

SINGLETON = "default"
"""The name of an object of which there is one."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of policy: how it is called, what it looks like, what identifies an object of it.

    `identity` is the field that holds an object's name, empty for a kind of one object.
    `ordered` kinds form a list in which the first match wins or fires first.
    """

    name: str
    type: type[Policy]
    identity: str = "name"
    ordered: bool = False

    def key(self, obj: Policy) -> str:
        """Return the name of `obj` within its kind."""
        return str(getattr(obj, self.identity)) if self.identity else SINGLETON


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(name="group", type=Group),
            Kind(name="dlp_sensor", type=DlpSensor),
            Kind(name="waf_sensor", type=WafSensor),
            Kind(name="webhook", type=Webhook),
            Kind(name="network_rule", type=NetworkRule, identity="id", ordered=True),
            Kind(name="admission_rule", type=AdmissionRule, identity="id", ordered=True),
            Kind(name="response_rule", type=ResponseRule, identity="id", ordered=True),
            Kind(name="process_profile", type=ProcessProfile, identity="group"),
            Kind(name="file_profile", type=FileProfile, identity="group"),
            Kind(name="dlp_group", type=DlpGroup),
            Kind(name="waf_group", type=WafGroup),
            Kind(name="registry", type=Registry),
            Kind(name="admission_state", type=AdmissionState, identity=""),
            Kind(name="vulnerability_profile", type=VulnerabilityProfile),
        )
    }
)
"""Every kind by name, what is referred to before what refers to it."""

_KIND_OF_TYPE: Mapping[type[Policy], Kind] = {kind.type: kind for kind in KINDS.values()}


def kind_of(obj: Policy) -> Kind:
    """Return the kind of `obj`."""
    return _KIND_OF_TYPE[type(obj)]
