"""Order: in our own documents rules stand in the order in which they are to match.

Ranks are the master's way to keep an order; a file has none. As few rules as possible get a new rank:
those of the longest run that stands in order already keep theirs, so that a move is one change.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

import msgspec

from fedbus.core import rank
from fedbus.core.exchange.items import Item
from fedbus.model.policy import KINDS


def place(items: Sequence[Item], held: Mapping[tuple[str, str], str]) -> list[Item]:
    """Give the rules of our own documents the ranks that their order asks for.

    `held` has the rank of every rule that exists, by kind and id. A kind of which a document gives a
    rank is left as it is.
    """
    placed = list(items)
    for kind in (name for name, kind in KINDS.items() if kind.ordered):
        numbers = [i for i, item in enumerate(items) if _is_placed(item, kind)]
        if any(getattr(items[i].obj, "rank", "") for i in numbers):
            continue
        current = {name: value for (of, name), value in held.items() if of == kind}
        ranks = order([current.get(items[i].name, "") for i in numbers], list(current.values()))
        for i, new in zip(numbers, ranks, strict=True):
            obj = items[i].obj
            assert obj is not None  # noqa: S101 - deletions have no place
            placed[i] = items[i].having(msgspec.structs.replace(obj, rank=new))
    return placed


def _is_placed(item: Item, kind: str) -> bool:
    return item.kind == kind and item.obj is not None and not item.foreign


def order(current: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return increasing ranks, as many as possible as they are.

    `current` has the rank of each rule in the wanted order, empty for a new one; `taken` all ranks
    there are. What is new or moved comes right behind the rule before it.
    """
    kept = _longest_increasing(current)
    others = sorted(set(taken))
    result = list(current)
    index = 0
    while index < len(current):
        if index in kept:
            index += 1
            continue
        end = index
        while end < len(current) and end not in kept:
            end += 1
        before = result[index - 1] if index else None
        after = current[end] if end < len(current) else None
        lower, upper = _gap(before, after, others)
        for offset, new in enumerate(_spread(lower, upper, end - index)):
            result[index + offset] = new
            insort(others, new)
        index = end
    return result


def _gap(before: str | None, after: str | None, taken: list[str]) -> tuple[str | None, str | None]:
    """Return two ranks next to each other between which a run of rules goes; None is an end."""
    if before is not None:
        at = bisect_right(taken, before)
        return before, taken[at] if at < len(taken) else None
    if after is not None:
        at = bisect_left(taken, after)
        return taken[at - 1] if at else None, after
    return (taken[-1] if taken else None), None


def _spread(lower: str | None, upper: str | None, count: int) -> list[str]:
    """Return `count` increasing ranks between two; halving keeps them short."""
    if count <= 0:
        return []
    if upper is None or lower is None:
        found: list[str] = []
        for _ in range(count):
            lower, upper = (
                (found[-1] if found else lower, None)
                if upper is None
                else (None, found[-1] if found else upper)
            )
            found.append(rank.between(lower, upper))
        return sorted(found)
    middle = rank.between(lower, upper)
    half = (count - 1) // 2
    return [*_spread(lower, middle, half), middle, *_spread(middle, upper, count - 1 - half)]


def _longest_increasing(values: Sequence[str]) -> set[int]:
    """Return the indexes of a longest strictly increasing run of the values that are not empty."""
    tails: list[int] = []
    previous: dict[int, int] = {}
    for index, value in enumerate(values):
        if not value:
            continue
        at = bisect_left(tails, value, key=lambda i: values[i])
        if at:
            previous[index] = tails[at - 1]
        tails[at : at + 1] = [index]
    found: set[int] = set()
    last = tails[-1] if tails else None
    while last is not None:
        found.add(last)
        last = previous.get(last)
    return found
