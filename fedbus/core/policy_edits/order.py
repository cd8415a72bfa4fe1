"""Lists of rules as NeuVector's requests speak of them, and the fewest ranks that make a list so.

A request says where with `after`: nothing for the end, 0 for the start, an id for behind that rule,
its negative for in front of it. The result is a plain list; `reranked` finds what must change.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence

from fedbus.core import rank
from fedbus.errors import Fault, InvalidInput, NotFound


def inserted(order: Sequence[int], new: Sequence[int], after: int | None) -> list[int]:
    """Return the list with `new` put where `after` says. Raises NotFound when it names no rule of it."""
    at = _located(order, after)
    return [*order[:at], *new, *order[at:]]


def moved(order: Sequence[int], rule: int, after: int | None) -> list[int]:
    """Return the list with one rule put elsewhere; next to itself is where it is. Raises NotFound."""
    if rule not in order:
        raise NotFound(f"There is no rule {rule} to move")
    if after in (rule, -rule):
        return list(order)
    return inserted([other for other in order if other != rule], [rule], after)


def _located(order: Sequence[int], after: int | None) -> int:
    if after is None:
        return len(order)
    if after == 0:
        return 0
    try:
        return order.index(abs(after)) + (after > 0)
    except ValueError:
        raise NotFound(f"There is no rule {abs(after)} to stand next to") from None


def distinct(rules: Sequence[int], field: str) -> None:
    """Raise InvalidInput if an id stands in a list twice; 0 stands for ids to be assigned."""
    named = [rule for rule in rules if rule]
    if len(named) == len(set(named)):
        return
    seen: set[int] = set()
    for index, rule in enumerate(rules):
        if rule and rule in seen:
            message = f"the rule {rule} is in the list twice"
            raise InvalidInput(message, (Fault(f"{field}[{index}].id", message),))
        seen.add(rule)


def reranked(order: Sequence[int], ranks: Mapping[int, str], fresh: Collection[int] = ()) -> dict[int, str]:
    """Return the new rank of every rule whose rank must change for the list to be in this order.

    `ranks` are those of today. As few change as possible, of those in `fresh` all: a move changes
    the rule that is moved, and no other.
    """
    keep = _longest_rising([ranks.get(rule, "") if rule not in fresh else "" for rule in order])
    changed: dict[int, str] = {}
    below: str | None = None
    run: list[int] = []
    for index, rule in enumerate(order):
        if index not in keep:
            run.append(rule)
            continue
        changed.update(zip(run, rank.spread(below, ranks[rule], len(run)), strict=True))
        below, run = ranks[rule], []
    changed.update(zip(run, rank.spread(below, None, len(run)), strict=True))
    return changed


def _longest_rising(ranks: Sequence[str]) -> set[int]:
    """Return the places of a longest strictly rising run of ranks, not necessarily side by side."""
    tails: list[str] = []  # the smallest rank that a rising run of each length can end with
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for index, found in enumerate(ranks):
        if not rank.is_rank(found):
            continue
        length = bisect_left(tails, found)
        before[index] = ends[length - 1] if length else None
        tails[length : length + 1] = [found]
        ends[length : length + 1] = [index]
    keep: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        keep.add(last)
        last = before[last]
    return keep
