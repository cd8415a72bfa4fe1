"""What a write is made of: the changes asked for, by whom, and what became of them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from fedbus.core.writes import Request
from fedbus.model import codec, subjects
from fedbus.model.events import Event
from fedbus.store.transaction import Transaction


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One object to write; `payload` None deletes it, `revision` is the one the caller expects.

    `shown` is the kind that the answer has it under; empty for what only follows from the rest. `large`
    says that the payload only names where the object is.
    `verbatim` is an event of a newer build to write again: its type and body, whatever they mean.
    """

    scope: str
    category: str
    kind: str
    name: str
    payload: bytes | None
    revision: int | None = None
    document: int | None = None
    shown: str | None = None
    large: bool = False
    verbatim: Event | None = None


def record(kind: str, name: str, value: msgspec.Struct | None) -> Change:
    """Return the change of one of the master's own records; None deletes it."""
    return Change(
        scope=subjects.SCOPE_MASTER,
        category=subjects.RECORD,
        kind=kind,
        name=name,
        payload=None if value is None else codec.encode(value),
    )


BY_MASTER = Request(actor="master")


Plan = Callable[[Transaction], Sequence[Change]]


class Derived(msgspec.Struct, frozen=True):
    """What follows from a changeset; `complete` unless there is more than fitted into it.

    `reach` is how many clusters each targeted object that changes is for, by kind and name.
    """

    changes: Sequence[Change] = ()
    complete: bool = True
    reach: Mapping[tuple[str, str], int] = MappingProxyType({})


Derive = Callable[[Transaction, Sequence[Change]], Derived]
"""Says what must be written with some changes, in the same changeset; may refuse them."""
