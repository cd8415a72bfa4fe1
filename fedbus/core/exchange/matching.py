"""Ids of rules that come without one: a rule that says the same as one that exists is that rule.

So a second import of a file changes nothing. A rule that was edited in the file matches nothing: it
is a new rule, and the old one stays until a deletion or a prune takes it.
"""

from collections.abc import Iterable, Sequence

import msgspec

from fedbus.core.exchange.items import Item
from fedbus.core.exchange.merge import content
from fedbus.model.policy import Policy, kind_of


def match(items: Sequence[Item], existing: Iterable[Policy]) -> list[Item]:
    """Give every rule without an id the id of an equal one, each at most once.

    `existing` has the rules in their order: of several equal ones the first is taken first. What an
    item names by its id is taken already. A rule of NeuVector's keeps the place it has.
    """
    named = {item.key for item in items}
    free: dict[bytes, list[Policy]] = {}
    for obj in existing:
        kind = kind_of(obj)
        if kind.ordered and (kind.name, kind.key(obj)) not in named:
            free.setdefault(_key(kind.name, obj), []).append(obj)
    return [_matched(item, free) for item in items]


def _matched(item: Item, free: dict[bytes, list[Policy]]) -> Item:
    if item.obj is None or item.name != "0":
        return item
    equal = free.get(_key(item.kind, item.obj))
    if not equal:
        return item
    return item.having(msgspec.structs.replace(item.obj, id=int(kind_of(equal[0]).key(equal.pop(0)))))


def _key(kind: str, obj: Policy) -> bytes:
    return kind.encode() + b"\0" + content(obj)
