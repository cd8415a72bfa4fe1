"""Whose policy an object is: the federation's, or one cluster's own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from fedbus.model.policy.common import CfgType

PREFIX: Final = "fed."
"""What the names of all federated objects start with, and of no others."""

FED_RULE_IDS = range(100_001, 110_000)
"""The ids of federated rules; custom resources have those from 110000, local rules lower ones."""
BUILT_IN_RULE_IDS = range(1, 1_000)
"""The ids of the admission rules that every cluster starts with."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What NeuVector's `scope=fed` and `scope=local` mean for names, ids and origins.

    `reserved` are the groups that every cluster has; nobody creates, changes or deletes them.
    """

    name: Literal["fed", "local"]
    cfg_type: CfgType
    ids: Mapping[str, range]
    reserved: frozenset[str]

    @property
    def word(self) -> str:
        """How messages call what is of this scope."""
        return "federated" if self.name == "fed" else "local"

    def group(self, name: str) -> str:
        """Return the name of a reserved group in this scope."""
        return f"{PREFIX}{name}" if self.name == "fed" else name

    def is_built_in(self, kind: str, name: str) -> bool:
        """Tell whether this is a rule that every cluster starts with, and nobody changes."""
        known = self.name == "local" and kind == "admission_rule" and name.isdecimal() and len(name) < 10
        return known and int(name) in BUILT_IN_RULE_IDS

    def owns(self, name: str) -> bool:
        """Tell whether an object of this name is of this scope."""
        return name.startswith(PREFIX) == (self.name == "fed")


FED: Final = Scope(
    name="fed",
    cfg_type="federal",
    ids=MappingProxyType(dict.fromkeys(("network_rule", "admission_rule", "response_rule"), FED_RULE_IDS)),
    reserved=frozenset({"fed.nodes", "fed.containers", "fed.external"}),
)
LOCAL: Final = Scope(
    name="local",
    cfg_type="user_created",
    ids=MappingProxyType(
        {
            "network_rule": range(1, 10_000),
            "admission_rule": range(1_000, 100_000),
            "response_rule": range(8, 100_000),
        }
    ),
    reserved=frozenset({"nodes", "containers", "external"}),
)


def scope_named(name: str) -> Scope:
    """Return a scope by NeuVector's word. Raises KeyError."""
    return {"fed": FED, "local": LOCAL}[name]


def scope_of(cfg_type: str) -> Scope:
    """Return the scope of an object by where it comes from."""
    return FED if cfg_type == FED.cfg_type else LOCAL
