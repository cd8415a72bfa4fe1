"""Where a changeset ends in a run of messages, so that it is applied whole."""

from collections.abc import Sequence
from typing import Protocol


class Member(Protocol):
    """What the rule looks at; a refused message has an empty changeset."""

    @property
    def changeset(self) -> str: ...  # noqa: D102

    @property
    def index(self) -> int: ...  # noqa: D102

    @property
    def count(self) -> int: ...  # noqa: D102


def complete(members: Sequence[Member], *, more: bool) -> int:
    """Return how many of the members, from the first, belong to complete changesets.

    A changeset's members stand side by side in the stream. It ends with its last member, or where
    another one begins (compaction took its end), or where nothing more is in the stream (`more`).
    """
    if not members:
        return 0
    last = members[-1]
    if not more or not last.changeset or last.index >= last.count - 1:
        return len(members)
    end = len(members)
    while end and members[end - 1].changeset == last.changeset:
        end -= 1
    return end
