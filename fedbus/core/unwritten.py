"""What is there before anybody wrote it: every group has its profiles and bindings, though empty ones."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fedbus.model.policy import (
    SINGLETON,
    DlpGroup,
    FileProfile,
    Policy,
    ProcessProfile,
    Scope,
    VulnerabilityProfile,
    WafGroup,
)
from fedbus.model.policy.common import CfgType

OF_A_GROUP: Mapping[str, Callable[[str, CfgType], Policy]] = MappingProxyType(
    {
        "process_profile": lambda group, origin: ProcessProfile(group=group, cfg_type=origin),
        "file_profile": lambda group, origin: FileProfile(group=group, cfg_type=origin),
        "dlp_group": lambda group, origin: DlpGroup(name=group, cfg_type=origin),
        "waf_group": lambda group, origin: WafGroup(name=group, cfg_type=origin),
    }
)
"""The kinds that every group has one of, and how it is while nobody wrote it."""


def unwritten(kind: str, name: str, scope: Scope, *, group: bool) -> Policy | None:
    """Return an object that nobody wrote yet, None if there is none; `group` says if a group has its name."""
    if kind == "vulnerability_profile" and name == SINGLETON:
        return VulnerabilityProfile(name=name, cfg_type=scope.cfg_type)
    return OF_A_GROUP[kind](name, scope.cfg_type) if group and kind in OF_A_GROUP else None
