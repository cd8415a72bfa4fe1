"""What no document names: the deletions that make the federation equal to a directory."""

from collections.abc import Iterable, Sequence

import msgspec

from fedbus.core.exchange.items import Item
from fedbus.errors import InvalidInput
from fedbus.model.policy import KINDS


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A federated object that exists; `revision` makes a deletion fail when it changed meanwhile."""

    kind: str
    name: str
    revision: int | None = None


def unnamed(items: Sequence[Item], live: Iterable[Live], *, allow_empty: bool) -> list[Item]:
    """Return a deletion for every live object that no item names.

    What there is one of (the admission state) can be changed, not deleted, and stays. Raises
    InvalidInput when there is no item at all, unless that is allowed: an empty directory is more
    often a mistake than a wish to delete everything.
    """
    if not items and not allow_empty:
        raise InvalidInput(
            "There are no documents: everything would be deleted",
            code="NOTHING_LEFT",
            remedy="Give --allow-empty if that is meant",
        )
    named = {item.key for item in items}
    gone = (one for one in live if KINDS[one.kind].identity and (one.kind, one.name) not in named)
    return [_deletion(one) for one in gone]


def _deletion(one: Live) -> Item:
    kind = KINDS[one.kind]
    identity = {kind.identity: int(one.name) if kind.ordered else one.name}
    document: dict[str, object] = {"kind": one.kind, "op": "delete", "spec": identity}
    if one.revision is not None:
        document["revision"] = one.revision
    return Item(kind=one.kind, name=one.name, obj=None, document=document, source=-1)
