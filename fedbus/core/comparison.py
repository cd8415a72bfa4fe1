"""Stream against store: which of the two durable copies is poorer, and in what (guarantee 1)."""

from collections.abc import Iterable, Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from fedbus.model import subjects

SETTLE_SECONDS = 10.0
"""How long a bus of several servers must show the same loss before it is believed: one that has just come
back, or that leads since a moment, may not have read everything it has."""


class Versioned(Protocol):
    """What is compared: an event, or where its body is left out, its version."""

    @property
    def address(self) -> subjects.Address: ...  # noqa: D102
    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def revision(self) -> int: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


T = TypeVar("T", bound=Versioned)


class OnStream(msgspec.Struct, Generic[T], frozen=True):
    """The last message of a subject; `event` is None if the federation did not sign it."""

    seq: int
    event: T | None


class Comparison(msgspec.Struct, Generic[T], kw_only=True):
    """What has to be done to make both copies equal."""

    fold: list[tuple[T, int]] = []
    """The stream has these and the store has not: a crash between publish and fold, or a lost store."""
    moved: list[tuple[T, int]] = []
    """Both have these; the stream has them at this sequence."""
    covered: list[tuple[T, int]] = []
    """The store has these, on the stream something foreign or old stands above them, at this sequence."""
    lost: list[T] = []
    """The store has these and the stream lost them."""
    foreign: dict[str, int] = {}
    """Every subject whose last message is not ours, with its sequence."""


def loss_is_certain(*, replicas: int, behind: int, seconds: float) -> bool:
    """Tell whether a stream that shows less than it had has lost it, `seconds` after it was first seen.

    `behind` is how many of its servers are catching up. One server has nobody to catch up with.
    """
    return replicas == 1 or (behind == 0 and seconds >= SETTLE_SECONDS)


def compare(held: Iterable[tuple[T, int]], stream: Mapping[str, OnStream[T]]) -> Comparison[T]:
    """Compare every object's newest version in the store with the last message of its subject."""
    result: Comparison[T] = Comparison()
    for subject, found in stream.items():
        if found.event is None:
            result.foreign[subject] = found.seq
    seen = set()
    for event, seq in held:
        seen.add(event.subject)
        _compare_one(result, event, seq, stream.get(event.subject))
    for subject, found in stream.items():
        if subject not in seen and found.event is not None:
            result.fold.append((found.event, found.seq))
    result.fold.sort(key=lambda pair: (pair[0].version, pair[1]))
    return result


def _compare_one(result: Comparison[T], event: T, seq: int, found: OnStream[T] | None) -> None:
    if event.address.category == subjects.CONTROL:
        return  # an instruction is over once it was read: nobody misses it
    if found is None:
        result.lost.append(event)
        return
    if found.event is None:
        result.covered.append((event, found.seq))
        return
    there, here = (found.event.epoch, found.event.revision), (event.epoch, event.revision)
    if there > here:
        result.fold.append((found.event, found.seq))
    elif there < here and found.seq > seq:
        result.covered.append((event, found.seq))  # an old event was played again on top
    elif there < here or found.event.digest != event.digest:
        result.lost.append(event)
    elif found.seq != seq:
        result.moved.append((event, found.seq))
