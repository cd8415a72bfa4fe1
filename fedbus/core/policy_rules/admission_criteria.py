"""The admission criteria NeuVector offers: which operators for which rule type, and what values.

One line a criterion, as in its admission options; `None` means not offered for that rule type.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

Operators = tuple[str, ...]
ValueKind = Literal[
    "list",  # a comma list, not empty
    "labels",  # a comma list of key or key=value
    "modules",  # a comma list of name, name=version, name>version, ...
    "verifiers",  # a comma list of root/verifier
    "number",  # a number, not negative
    "none",  # no value at all
]

SET4: Final = ("containsAll", "containsAny", "notContainsAny", "containsOtherThan")
ANY2: Final = ("containsAny", "notContainsAny")
REGEX: Final = ("regex", "!regex")
IS: Final = ("=",)
OVER: Final = (">=",)
COUNT: Final = ("<=", ">=")
TRUTH: Final = ("true", "false")
YES: Final = ("true",)

CUSTOM_PATH: Final = "customPath"
RISKY_ROLE: Final = "saBindRiskyRole"
TYPED: Final = frozenset({CUSTOM_PATH, RISKY_ROLE})
"""Criteria that are known by their `type`; their `name` is free."""


class Sub(msgspec.Struct, frozen=True):
    """A sub-criterion: its operators; its value is always a number that is not negative."""

    operators: Operators
    deny_only: bool = False


class Offer(msgspec.Struct, frozen=True):
    """What NeuVector offers for one criterion; `values` lists the only ones, else `kind` tells."""

    deny: Operators | None
    allow: Operators | None
    kind: ValueKind = "list"
    values: tuple[str, ...] = ()
    subs: Mapping[str, Sub] = {}
    needs_sub: bool = False


_AGE = MappingProxyType({"publishDays": Sub(OVER, deny_only=True)})
_HITS = MappingProxyType({"count": Sub(OVER)})
_RESOURCES = MappingProxyType(
    {name: Sub((">", "<=")) for name in ("cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit")}
)
_RISKS = (
    "risky_role_view_secret",
    "risky_role_any_action_workload",
    "risky_role_any_action_rbac",
    "risky_role_create_pod",
    "risky_role_exec_into_container",
)
_COUNTED = (
    "cveCriticalCount",
    "cveHighCountNoCritical",
    "cveHighCount",
    "cveMediumCount",
    "cveCriticalWithFixCount",
    "cveHighWithFixCountNoCritical",
    "cveHighWithFixCount",
)

CRITERIA: Final[Mapping[str, Offer]] = MappingProxyType(
    {
        "image": Offer(ANY2, ANY2),
        "imageRegistry": Offer(ANY2, ANY2),
        "namespace": Offer(ANY2, ANY2),
        "user": Offer(ANY2 + REGEX, ANY2 + REGEX),
        "userGroups": Offer(SET4 + REGEX, SET4 + REGEX),
        "labels": Offer(SET4, SET4, "labels"),
        "annotations": Offer(SET4, SET4, "labels"),
        "mountVolumes": Offer(SET4, SET4),
        "envVars": Offer(SET4, SET4, "labels"),
        "cveNames": Offer(SET4, SET4),
        **{name: Offer(OVER, COUNT, "number", subs=_AGE) for name in _COUNTED},
        "cveScoreCount": Offer(OVER, None, "number", subs=_HITS),
        "imageScanned": Offer(IS, IS, values=TRUTH),
        "imageSigned": Offer(IS, IS, values=TRUTH),
        "imageVerifiers": Offer(SET4[:3], SET4[:3], "verifiers"),
        "imageCompliance": Offer(IS, IS, values=TRUTH),
        "imageNoOS": Offer(IS, None, values=TRUTH),
        "modules": Offer(SET4, SET4, "modules"),
        "envVarSecrets": Offer(IS, IS, values=TRUTH),
        "runAsPrivileged": Offer(IS, IS, values=TRUTH),
        "runAsRoot": Offer(IS, IS, values=TRUTH),
        "allowPrivEscalation": Offer(IS, None, values=YES),
        "sharePidWithHost": Offer(IS, None, values=TRUTH),
        "shareIpcWithHost": Offer(IS, None, values=TRUTH),
        "shareNetWithHost": Offer(IS, None, values=TRUTH),
        "pspCompliance": Offer(IS, None, values=YES),
        "violatePssPolicy": Offer(IS, None, values=("baseline", "restricted")),
        "resourceLimit": Offer(("",), None, "none", subs=_RESOURCES, needs_sub=True),
        "storageClassName": Offer(ANY2, None),
        RISKY_ROLE: Offer(("containsTagAny",), None, values=_RISKS),
    }
)
"""Every criterion except the custom path, whose operators depend on its value type."""

LISTED: Final = frozenset({*SET4, "containsTagAny"})
"""Operators whose value is a comma list."""

_PRESENT = ("exist", "notExist")
CUSTOM_OPERATORS: Final[Mapping[str, Operators]] = MappingProxyType(
    {
        "key": _PRESENT,
        "string": _PRESENT + SET4,
        "number": (*_PRESENT, "=", "!=", ">=", ">", "<="),
        "boolean": (*_PRESENT, "="),
    }
)
"""The operators of a custom path by its value type."""
VALUELESS: Final = frozenset(_PRESENT)
"""Operators that ask whether a path is there, whatever its value."""

STORAGE_COMPANIONS: Final = frozenset({"storageClassName", "namespace"})
"""The only criteria that may stand beside a storage class: a volume claim has nothing else."""
