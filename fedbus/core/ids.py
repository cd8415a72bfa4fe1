"""The ids of ordered rules, handed out as NeuVector does."""

from collections.abc import Collection, Iterator

from fedbus.errors import Fault, InvalidInput


def allocate(ids: range, used: Collection[int]) -> int:
    """Return a free id: the highest used one plus 1, else the smallest hole.

    Ids in `used` outside of `ids` do not count. Raises InvalidInput when all are taken.
    """
    return next(free(ids, used))


def free(ids: range, used: Collection[int]) -> Iterator[int]:
    """Yield one free id after another, each as `allocate` would; raises as it does."""
    taken = {number for number in used if number in ids}
    following = max(taken, default=ids.start - 1) + 1
    yield from range(following, ids.stop)
    yield from (number for number in range(ids.start, following) if number not in taken)
    raise InvalidInput(
        f"all {len(ids)} ids from {ids.start} to {ids.stop - 1} are taken",
        (Fault("id", f"no id from {ids.start} to {ids.stop - 1} is free"),),
        remedy="delete rules that are no longer needed",
    )
