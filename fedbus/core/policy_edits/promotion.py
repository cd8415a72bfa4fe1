"""Promotion: local rules of the master's cluster copied into the federation, with what they use.

As NeuVector's promote does: the local rules stay, the copies say which rule they are from, and groups are
copied under their name behind `fed.`, with their profiles and sensors. Rules of hosts and workloads mean
nothing elsewhere and are refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, cast

import msgspec
from msgspec.structs import replace

from fedbus.core.policy_edits import Decision, Edit, HeldRules, unlocked, valid
from fedbus.core.policy_edits.order import inserted
from fedbus.core.policy_edits.rules import arranged
from fedbus.core.references import CARRIED, references
from fedbus.errors import Fault, InvalidInput, NotFound
from fedbus.model.policy import FED, Group, NetworkRule, OrderedPolicy, Policy, kind_of
from fedbus.model.policy.file import FileProfile
from fedbus.model.policy.process import ProcessProfile
from fedbus.model.policy.scope import PREFIX
from fedbus.model.policy.sensor import DlpGroup, DlpSensor, WafGroup, WafSensor

P = TypeVar("P")


def promote(kind: str, ids: Sequence[int], local: HeldRules) -> Decision:
    """Return what copies local rules to the end of the federation's list, in the order they have here.

    `local` is read at once. Raises NotFound for an id that is no local rule, InvalidInput for a rule that
    cannot be federated.
    """
    if not ids:
        message = "request.ids must name the rules to promote"
        raise InvalidInput(message, (Fault("request.ids", message),))
    unlocked(local.scope, kind, *ids)
    known = local.ranked(kind)
    if missing := [rule for rule in ids if rule not in known]:
        raise NotFound(f"There is no local {kind} {missing[0]}")
    originals = {r: cast(OrderedPolicy, local.get((kind, str(r)))) for r in known if r in set(ids)}
    copies = {-number: _copy(rule) for number, rule in originals.items()}
    carried = [_federal(obj) for obj in _used(local, originals.values())]

    def decide(held: HeldRules) -> list[Edit]:
        edits = [_edit(obj) for obj in carried]
        order = inserted(list(held.ranked(kind)), list(copies), None)
        return edits + arranged(held, kind, order, {key: (rule, "request") for key, rule in copies.items()})

    return decide


def _copy(rule: OrderedPolicy) -> OrderedPolicy:
    said = f"promoted from rule {rule.id}"
    copy = replace(
        _stamped(rule), id=0, rank="", comment=f"{rule.comment} ({said})" if rule.comment else said
    )
    if isinstance(rule, NetworkRule) and isinstance(copy, NetworkRule):
        groups = {name for kind, name in references(rule) if kind == "group"}
        ends = {f: PREFIX + e if e in groups else e for f, e in (("from_", rule.from_), ("to", rule.to))}
        copy = replace(copy, **ends)
    return cast(OrderedPolicy, valid(copy, f"rule {rule.id}", FED))


def _used(local: HeldRules, rules: Iterable[OrderedPolicy]) -> Iterator[Policy]:
    """Yield what rules use, in an order in which nothing refers to what comes later."""
    groups = sorted({key for rule in rules for key in references(rule)})
    held = [obj for key in groups if (obj := local.get(key)) is not None]
    carried = [obj for _, name in groups for kind in CARRIED if (obj := local.get((kind, name))) is not None]
    sensors = sorted({key for obj in carried for key in references(obj) if key[0] != "group"})
    yield from (obj for key in sensors if (obj := local.get(key)) is not None)
    yield from held
    yield from carried


def _federal(obj: Policy) -> Policy:
    """Return an object as the federation calls it."""
    match _stamped(obj):
        case Group() | DlpSensor() | WafSensor() as named:
            federal: Policy = replace(named, name=PREFIX + named.name)
        case ProcessProfile() | FileProfile() as profile:
            federal = replace(profile, group=PREFIX + profile.group)
        case DlpGroup() | WafGroup() as binding:
            sensors = tuple(replace(one, name=PREFIX + one.name) for one in binding.sensors)
            federal = replace(binding, name=PREFIX + binding.name, sensors=sensors)
        case other:
            raise TypeError(f"a {type(other).__name__} is used by no rule that can be promoted")
    return valid(federal, f"{kind_of(obj).name} {kind_of(obj).key(obj)}", FED)


def _stamped(part: P) -> P:
    """Return a part that comes from the federation, and so do all of its parts."""
    if isinstance(part, tuple):
        return cast(P, tuple(_stamped(item) for item in part))
    if not isinstance(part, msgspec.Struct):
        return part
    fields = {name: _stamped(getattr(part, name)) for name in part.__struct_fields__}
    if "cfg_type" in fields:
        fields["cfg_type"] = FED.cfg_type
    return cast(P, replace(part, **fields))


def _edit(obj: Policy) -> Edit:
    kind = kind_of(obj)
    return Edit(kind=kind.name, name=kind.key(obj), obj=obj, at="request")
