"""Targets of policy, and rollouts: records of the master from which what a cluster has of its own follows.

An object is for all clusters (its event is in the scope `all`), or targeted: then its source is a record
of the master that holds the object and its target, and each cluster that matches has a copy in its scope.
"""

from typing import Literal

import msgspec

from fedbus.model import subjects

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]

TARGETED = "targeted-"
"""What the kind of a source begins with; the kind of the object follows, the name is the object's."""
ROLLOUT = "rollout"
ROLLOUT_CONTENT = "rollout-content"
"""Kinds of records: where a rollout stands, and what it brings (only until it is over)."""


class Requirement(msgspec.Struct, frozen=True, omit_defaults=True):
    """One demand on the labels of a cluster, with the words of Kubernetes."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which clusters an object is for: one by name or id, those with these labels, or all."""

    cluster: str = ""
    selector: tuple[Requirement, ...] = ()


ALL = Target()


class Targeted(msgspec.Struct, frozen=True, kw_only=True):
    """The source of a targeted object; `object` is the object's JSON, byte for byte as clusters get it."""

    target: Target
    object: msgspec.Raw


class Wave(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The clusters that a rollout reaches together: so many percent of all, or those with these labels."""

    percent: int = 0
    selector: tuple[Requirement, ...] = ()


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """An object that a rollout brings, and the revision for all clusters that it replaces (0: none)."""

    kind: str
    name: str
    replaces: int
    object: msgspec.Raw


class RolloutContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout brings; the record goes when the rollout is over."""

    objects: list[Brought]


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster had refused when its wave began."""

    quarantined: int = 0
    alarms: int = 0


RolloutState = Literal["rolling", "pausing", "waiting", "halted", "finished", "aborted"]
"""`rolling`: until the wave has applied; `pausing`: until its pause is over; `waiting`: until somebody
continues; `halted`: a cluster failed; the last two are the end."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """Where a staged rollout stands.

    `wave` is the index of the wave that was reached last, `reached` every cluster (by id) that has the
    new versions, with its baseline; `since` (Unix seconds) is when the state was entered; `failed` says
    for each cluster why it halted the rollout, `excused` names those that somebody continued in spite of.
    """

    id: str
    state: RolloutState
    waves: list[Wave]
    objects: list[tuple[str, str]]
    created_at: str
    created_by: str = ""
    comment: str = ""
    pause_seconds: float = 0.0
    manual: bool = False
    wave: int = 0
    reached: dict[str, Baseline] = {}
    since: float = 0.0
    failed: dict[str, str] = {}
    excused: list[str] = []
    reason: str = ""

    @property
    def over(self) -> bool:
        """Tell whether nothing more will happen."""
        return self.state in ("finished", "aborted")


def source_kind(kind: str) -> str:
    """Return the kind of the record that holds targeted objects of a kind."""
    return TARGETED + kind


def has_history(address: subjects.Address) -> bool:
    """Tell whether revisions of it are what people change: sources, not the copies that follow from them."""
    if address.scope == subjects.SCOPE_ALL:
        return address.category == subjects.POLICY
    return address.scope == subjects.SCOPE_MASTER and address.kind.startswith(TARGETED)
