"""What differs between two objects, field by field: for previews, history and people."""

from collections.abc import Iterator

import msgspec


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field that differs; a side that has none is left out."""

    path: str
    before: object = msgspec.UNSET
    after: object = msgspec.UNSET


def difference(before: object, after: object) -> list[Difference]:
    """Return what differs between two values of plain data, in the order of the fields.

    Lists are compared as wholes: their items have no names, and order is part of their meaning.
    """
    return list(_differ("", before, after))


def _differ(path: str, before: object, after: object) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differ(
                f"{path}.{key}" if path else str(key),
                before.get(key, msgspec.UNSET),
                after.get(key, msgspec.UNSET),
            )
    elif before != after or type(before) is not type(after):
        yield Difference(path, before, after)
