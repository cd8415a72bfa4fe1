"""What an incoming event does to an object: the rule of versions (guarantees 2 and 3)."""

import enum

import msgspec


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """The version of an object: (epoch, revision) orders it, the digest names its content."""

    epoch: int
    revision: int
    digest: str
    deleted: bool


class Verdict(enum.Enum):
    """What to do with an event."""

    APPLY = "apply"
    DUPLICATE = "duplicate"
    STALE = "stale"
    CONFLICT = "conflict"
    """The same version with other content: an alarm, never an update."""


def judge(held: Stamp | None, incoming: Stamp) -> Verdict:
    """Compare an incoming version with the one held; no clock takes part."""
    if held is None:
        return Verdict.APPLY
    held_version, new_version = (held.epoch, held.revision), (incoming.epoch, incoming.revision)
    if new_version > held_version:
        return Verdict.APPLY
    if new_version < held_version:
        return Verdict.STALE
    same = (held.digest, held.deleted) == (incoming.digest, incoming.deleted)
    return Verdict.DUPLICATE if same else Verdict.CONFLICT
