"""What policy objects need of each other, and what must go when one of them goes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from fedbus.core.policy_rules.checks import wrong
from fedbus.core.policy_rules.network import HOST, INGRESS, LOCAL_ENDS
from fedbus.errors import Fault
from fedbus.model.policy import (
    DlpGroup,
    FileProfile,
    Group,
    NetworkRule,
    Policy,
    ProcessProfile,
    ResponseRule,
    WafGroup,
    kind_of,
)
from fedbus.model.policy.scope import FED, scope_of
from fedbus.model.targets import ALL, Target

Key = tuple[str, str]
"""Kind and name of an object."""
Objects = Mapping[Key, Policy]

CARRIED = ("process_profile", "file_profile", "dlp_group", "waf_group")
"""Kinds that a group carries, named like it; they need workloads, which addresses do not have."""

NEEDED = frozenset({"webhook", "dlp_sensor", "waf_sensor"})
"""Kinds that others name and that cannot go before them; what uses a group goes with it."""


def references(obj: Policy) -> frozenset[Key]:
    """Return the objects of its own scope that `obj` needs.

    The reserved groups exist in every cluster and are never needed; nor are `external`, `nodes`,
    `containers`, hosts and the empty name, which are no groups that somebody made.
    """
    return frozenset(key for _, key in _links(obj))


def dangling(objects: Objects, changed: Iterable[Policy]) -> list[Fault]:
    """Return a fault for every link of the `changed` objects that leads nowhere among `objects`.

    `objects` is everything as it will be after the change. A profile or binding also needs a group
    of workloads, not one of addresses.
    """
    return [fault for obj in changed for fault in _dangling(objects, obj)]


def cascade(deleted_groups: Set[str], objects: Objects) -> set[Key]:
    """Return what goes when these groups go: rules, profiles and bindings that use one of them."""
    return {
        key
        for key, obj in objects.items()
        if any(kind == "group" and name in deleted_groups for kind, name in references(obj))
    }


def in_use(deleted: Set[Key], objects: Objects) -> list[Fault]:
    """Return a fault for every deleted object that one of the remaining `objects` still needs.

    `objects` is everything as it will be after the change, what cascades left out.
    """
    return [
        Fault(
            "name",
            f"{_called(*needed)} cannot be deleted: {_called(*key)} uses it; change or delete that first",
        )
        for key, obj in sorted(objects.items(), key=lambda item: item[0])
        for needed in sorted(references(obj) & deleted)
    ]


def out_of_reach(target_of: Callable[[Key], Target], target: Target, obj: Policy) -> list[Fault]:
    """Return a fault for every link that leads to what some clusters would not have.

    What an object needs is for all, or for exactly the clusters that the object is for.
    """
    return [
        wrong(
            field,
            f"names {_called(*key)}, which is for other clusters: {_called(kind_of(obj).name, _name(obj))} "
            "needs it for all, or with the same target",
        )
        for field, key in _links(obj)
        if target_of(key) not in (ALL, target)
    ]


def _name(obj: Policy) -> str:
    return kind_of(obj).key(obj)


def _links(obj: Policy) -> Iterator[tuple[str, Key]]:
    """Yield the field and the target of every link that leads to an object that somebody made."""
    scope = scope_of(obj.cfg_type)
    for field, kind, name in _mentions(obj):
        if scope.owns(name) and name not in scope.reserved and not _is_no_object(name):
            yield field, (kind, name)


def _is_no_object(name: str) -> bool:
    return name in ("", INGRESS) or name in LOCAL_ENDS or name.startswith(HOST)


def _mentions(obj: Policy) -> Iterator[tuple[str, str, str]]:
    match obj:
        case NetworkRule():
            yield "from", "group", obj.from_
            yield "to", "group", obj.to
        case ResponseRule():
            yield "group", "group", obj.group
            for index, name in enumerate(obj.webhooks):
                yield f"webhooks[{index}]", "webhook", name
        case ProcessProfile() | FileProfile():
            yield "group", "group", obj.group
        case DlpGroup() | WafGroup():
            yield "name", "group", obj.name
            sensor = "dlp_sensor" if isinstance(obj, DlpGroup) else "waf_sensor"
            for index, setting in enumerate(obj.sensors):
                yield f"sensors[{index}].name", sensor, setting.name


def _dangling(objects: Objects, obj: Policy) -> Iterator[Fault]:
    kind = kind_of(obj).name
    for field, key in _links(obj):
        target = objects.get(key)
        if target is None:
            where = "in the federation" if scope_of(obj.cfg_type) is FED else "here"
            yield wrong(field, f"names {_called(*key)}, which does not exist {where}")
        elif kind in CARRIED and isinstance(target, Group) and target.kind == "address":
            yield wrong(field, f"names {_called(*key)}, which holds addresses and no containers")
    if isinstance(obj, Group) and obj.kind == "address":
        for carried in CARRIED:
            if (carried, obj.name) in objects:
                yield wrong("criteria", f"must select workloads: {_called(carried, obj.name)} is for them")


def _called(kind: str, name: str) -> str:
    return f"the {kind.replace('_', ' ')} {name!r}"
