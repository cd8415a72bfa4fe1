"""Protocol versions: which ones this build speaks, and which one two daemons agree on.

Every daemon says its range, at join and in heartbeats and checkpoints; the newest version that both speak
is the one they use. New fields and new kinds need no new version: what is unknown is ignored or parked.
A version counts up when an older daemon could not go on.
"""

from typing import Literal

from fedbus.model.federation import Versions

OLDEST = 1
NEWEST = 1
"""The range this build speaks."""

Older = Literal["ours", "theirs"]


def ours(fedbus: str) -> Versions:
    """Return what this daemon says of itself, `fedbus` being its version."""
    return Versions(fedbus=fedbus, protocol_min=OLDEST, protocol_max=NEWEST)


def agreed(one: Versions, other: Versions) -> int | None:
    """Return the newest protocol version that both speak; None if there is none."""
    newest = min(one.protocol_max, other.protocol_max)
    return newest if newest >= max(one.protocol_min, other.protocol_min) else None


def older(mine: Versions, theirs: Versions) -> Older | None:
    """Return which of two daemons has to be upgraded; None if they can talk."""
    if agreed(mine, theirs) is not None:
        return None
    return "theirs" if theirs.protocol_max < mine.protocol_min else "ours"


def spoken(versions: Versions) -> str:
    """Return a range in words: `1`, or `1 to 3`."""
    low, high = versions.protocol_min, versions.protocol_max
    return str(low) if low == high else f"{low} to {high}"
