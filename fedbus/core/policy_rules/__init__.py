"""What a policy object must fulfil by itself: NeuVector's rules for its scope, `fed` or `local`.

One module a kind. What an object needs around it is in `fedbus.core.references`.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

import msgspec

from fedbus.core.policy_rules.admission import admission_faults
from fedbus.core.policy_rules.checks import MAX_FAULTS, wrong
from fedbus.core.policy_rules.group import group_faults
from fedbus.core.policy_rules.network import network_faults
from fedbus.core.policy_rules.registry import registry_faults, webhook_faults
from fedbus.core.policy_rules.response import response_faults
from fedbus.core.policy_rules.sensor import sensor_faults, sensor_group_faults
from fedbus.core.policy_rules.settings import vulnerability_faults
from fedbus.core.policy_rules.workload import file_faults, process_faults
from fedbus.core.rank import is_rank
from fedbus.errors import Fault
from fedbus.model.policy import FED, Policy, Scope, kind_of

__all__ = ["faults"]

_RULES: Mapping[str, Callable[[Any, Scope], Iterator[Fault]]] = MappingProxyType(
    {
        "group": group_faults,
        "dlp_sensor": sensor_faults,
        "waf_sensor": sensor_faults,
        "webhook": webhook_faults,
        "network_rule": network_faults,
        "admission_rule": admission_faults,
        "response_rule": response_faults,
        "process_profile": process_faults,
        "file_profile": file_faults,
        "dlp_group": sensor_group_faults,
        "waf_group": sensor_group_faults,
        "registry": registry_faults,
        "admission_state": lambda *_: iter(()),
        "vulnerability_profile": vulnerability_faults,
    }
)


def faults(obj: Policy, scope: Scope = FED) -> list[Fault]:
    """Return what is wrong with `obj` in a scope, at most MAX_FAULTS; an empty list when it is valid."""
    found = chain(
        _place_faults(obj, scope), _RULES[kind_of(obj).name](obj, scope), _origin_faults("", obj, scope)
    )
    return list(islice(found, MAX_FAULTS))


def _place_faults(obj: Policy, scope: Scope) -> Iterator[Fault]:
    """Check id and rank of an ordered kind; both may be left to be assigned."""
    ids = scope.ids.get(kind_of(obj).name)
    if ids is None:
        return
    number: int = getattr(obj, "id")  # noqa: B009 - every ordered kind has it, the union does not
    rank: str = getattr(obj, "rank")  # noqa: B009
    if number and number not in ids:
        yield wrong("id", f"must be 0 (assigned) or from {ids.start} to {ids.stop - 1}, not {number}")
    if rank and not is_rank(rank):
        yield wrong("rank", "must be left out: it is assigned, and this is none that was")


def _origin_faults(path: str, part: object, scope: Scope) -> Iterator[Fault]:
    """Check that an object and all of its parts come from where its scope has them from."""
    if isinstance(part, tuple):
        for index, item in enumerate(part):
            yield from _origin_faults(f"{path}[{index}]", item, scope)
    elif isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            value, field = getattr(part, name), f"{path}.{name}" if path else name
            if name != "cfg_type":
                yield from _origin_faults(field, value, scope)
            elif value != scope.cfg_type:
                where = "a federation" if scope is FED else "a cluster's own policy"
                yield wrong(field, f"must be {scope.cfg_type!r} in {where}, not {value!r}")
