"""One request of many documents: what several of them say of one object is said once, or is a fault."""

from collections.abc import Iterable, Sequence

import msgspec

from fedbus.core.exchange.items import Item
from fedbus.core.exchange.reading import Remark
from fedbus.core.policy_rules.normal import normalise
from fedbus.model.policy import Group, Policy, kind_of


class Merged(msgspec.Struct, frozen=True):
    """Items of which no two name one object; faults and remarks with the number of their document."""

    items: list[Item]
    remarks: list[tuple[int, Remark]]
    faults: list[tuple[int, Remark]]


def merge(items: Iterable[Item]) -> Merged:
    """Bring items together.

    NeuVector repeats a group wherever a rule uses it, and may repeat a rule: equal repetitions are
    one object, and a group's comment may stand at one of them alone. Our own documents name an object
    once.
    """
    kept: dict[object, Item] = {}
    remarks: list[tuple[int, Remark]] = []
    faults: list[tuple[int, Remark]] = []
    for item in items:
        key = _identity(item)
        first = kept.get(key)
        if first is None:
            kept[key] = item
            continue
        both = _together(first, item)
        if both is None:
            message = f"{item.kind} {item.name} is described differently, or twice, in these documents"
            faults.append((item.source, Remark(item.path, message)))
            faults.append((first.source, Remark(first.path, message)))
        elif item.name == "0":
            remarks.append((item.source, Remark(item.path, f"ignored: the same {item.kind} stands above")))
        else:
            kept[key] = first.having(both)
    unique = list(dict.fromkeys(faults))
    return Merged(list(kept.values()), remarks, unique)


def _identity(item: Item) -> object:
    if item.name != "0" or item.obj is None:
        return item.key
    # A rule without an id: our own are as many as are written, NeuVector's repetitions are one.
    return (item.kind, content(item.obj)) if item.foreign else (item.kind, item.source, item.path)


def content(obj: Policy) -> bytes:
    """Return what a rule says, whatever its id and place."""
    changes = {"id": 0, "rank": ""} if kind_of(obj).ordered else {}
    return msgspec.json.encode(msgspec.structs.replace(obj, **changes))


def _together(first: Item, second: Item) -> Policy | None:
    if first.obj is None or second.obj is None or not (first.foreign or second.foreign):
        return None
    if isinstance(first.obj, Group) and isinstance(second.obj, Group):
        return _groups(first.obj, second.obj)
    return first.obj if first.obj == second.obj else None


_OPTIONAL = ("comment", "monitor_metric", "group_sess_cur", "group_sess_rate", "group_band_width")


def _groups(first: Group, second: Group) -> Group | None:
    """Return what two selectors of one group say together, None where they contradict each other."""
    if set(first.criteria) != set(second.criteria):
        return None
    merged: dict[str, object] = {}
    for field in _OPTIONAL:
        said: Sequence[object] = [v for v in (getattr(first, field), getattr(second, field)) if v]
        if len(set(said)) > 1:
            return None
        merged[field] = said[0] if said else getattr(first, field)
    together = normalise(msgspec.structs.replace(first, **merged))
    assert isinstance(together, Group)  # noqa: S101 - it normalises to its own type
    return together
