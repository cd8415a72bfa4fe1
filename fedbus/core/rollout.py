"""A staged rollout as pure data: what is observed or asked, and where it stands after that.

rolling --applied--> pausing | waiting --elapsed or continue--> rolling (next wave) | finished
rolling, pausing, waiting --failed--> halted --continue--> rolling (same wave, in spite of what failed)
every state but the last two --abort--> aborted
"""

import enum
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from fedbus.core import targets
from fedbus.errors import Conflict, Fault, InvalidInput
from fedbus.model.federation import Cluster
from fedbus.model.targets import Baseline, Requirement, Rollout, RolloutState, Wave

NOT_NOW = "ROLLOUT_STATE"
"""The code of the Conflict for a step that the state does not have."""
MAX_WAVES = 50
MAX_PAUSE = 30 * 86_400.0
"""Seconds between two waves at most."""


class Step(enum.Enum):
    """What can happen to a rollout."""

    APPLIED = "applied"
    """Every cluster that it reached and that counts holds the new versions."""
    FAILED = "failed"
    ELAPSED = "elapsed"
    """The pause after a wave is over."""
    CONTINUE = "continue"
    ABORT = "abort"


class Act(enum.Enum):
    """What a rollout does then."""

    REST = "rest"
    ADVANCE = "advance"
    HALT = "halt"
    RESUME = "resume"
    ABORT = "abort"


TRANSITIONS: Mapping[tuple[RolloutState, Step], Act] = {
    ("rolling", Step.APPLIED): Act.REST,
    ("rolling", Step.FAILED): Act.HALT,
    ("rolling", Step.ABORT): Act.ABORT,
    ("pausing", Step.ELAPSED): Act.ADVANCE,
    ("pausing", Step.CONTINUE): Act.ADVANCE,
    ("pausing", Step.FAILED): Act.HALT,
    ("pausing", Step.ABORT): Act.ABORT,
    ("waiting", Step.CONTINUE): Act.ADVANCE,
    ("waiting", Step.FAILED): Act.HALT,
    ("waiting", Step.ABORT): Act.ABORT,
    ("halted", Step.CONTINUE): Act.RESUME,
    ("halted", Step.ABORT): Act.ABORT,
}
"""Every transition there is; anything else is refused and changes nothing."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What the master knows of a cluster now; `holds` if it has applied all that it was sent."""

    offline: bool = False
    holds: bool = False
    quarantined: int = 0
    alarms: int = 0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The world that a step looks at: the clusters, what is known of them by id, and the Unix time."""

    clusters: Sequence[Cluster]
    health: Mapping[str, Health]
    now: float

    @property
    def members(self) -> dict[str, Cluster]:
        """The clusters that are joined, by id."""
        return {c.id: c for c in self.clusters if c.state == "joined"}


def parse_waves(value: Sequence[object]) -> list[Wave]:
    """Return the waves of a request. Raises InvalidInput."""
    if not 1 <= len(value) <= MAX_WAVES:
        raise _invalid("waves", f"a rollout has 1 to {MAX_WAVES} waves")
    waves, percent = [], 0
    for index, one in enumerate(value):
        wave = _wave(one, f"waves[{index}]")
        if wave.percent and wave.percent <= percent:
            raise _invalid(f"waves[{index}].percent", "each percentage is higher than the one before it")
        percent = wave.percent or percent
        waves.append(wave)
    return waves


def _wave(value: object, field: str) -> Wave:
    match value:
        case {"percent": int(percent), **rest} if not rest and not isinstance(percent, bool):
            if not 1 <= percent <= 100:
                raise _invalid(f"{field}.percent", "a percentage is 1 to 100")
            return Wave(percent=percent)
        case {"selector": selector, **rest} if not rest:
            return Wave(selector=targets.parse_selector(selector, f"{field}.selector"))
    raise _invalid(field, "a wave is {percent: NUMBER} or {selector: {KEY: VALUE}}")


def begin(rollout: Rollout, view: View) -> Rollout:
    """Return a new rollout with its first wave reached. Raises InvalidInput for a wave that reaches nobody.

    Later a wave may have become empty, because clusters left or were reached before: it is passed.
    """
    if not view.members:
        raise _invalid("waves", "no cluster has joined: there is nobody to roll out to")
    for index, wave in enumerate(rollout.waves):
        if wave.selector and not _selected(wave.selector, view):
            raise _invalid(f"waves[{index}].selector", "no cluster has these labels")
    return _reach(rollout, 0, view)


def step(rollout: Rollout, happened: Step, view: View, *, failed: Mapping[str, str] | None = None) -> Rollout:
    """Return the rollout after something happened; Conflict if that cannot happen now."""
    act = TRANSITIONS.get((rollout.state, happened))
    if act is None:
        raise Conflict(
            f"the rollout is {rollout.state}: there is nothing to {happened.value}",
            code=NOT_NOW,
            remedy="see `fedbus rollout show`",
        )
    match act:
        case Act.REST:
            return _enter(rollout, "waiting" if rollout.manual else "pausing", view)
        case Act.ADVANCE:
            return _reach(rollout, rollout.wave + 1, view)
        case Act.HALT:
            reason = "; ".join(sorted(set((failed or {}).values())))
            return _enter(rollout, "halted", view, failed=dict(failed or {}), reason=reason)
        case Act.RESUME:
            excused = sorted({*rollout.excused, *rollout.failed} & rollout.reached.keys())
            return _enter(rollout, "rolling", view, excused=excused, failed={}, reason="")
        case Act.ABORT:
            return _enter(rollout, "aborted", view)


def observe(rollout: Rollout, view: View) -> tuple[Step, dict[str, str]] | None:
    """Return what the state of the clusters means for a rollout, and which of them failed with what."""
    if rollout.state not in ("rolling", "pausing", "waiting"):
        return None
    members = view.members
    judged = [c for c in rollout.reached if c in members and c not in rollout.excused]
    health = {c: view.health.get(c, Health()) for c in judged}
    failed = {c: why for c in judged if (why := _failure(members[c].name, rollout.reached[c], health[c]))}
    if failed:
        return Step.FAILED, failed
    if rollout.state == "rolling" and all(one.holds for one in health.values()):
        return Step.APPLIED, {}
    if rollout.state == "pausing" and view.now - rollout.since >= rollout.pause_seconds:
        return Step.ELAPSED, {}
    return None


def due(rollout: Rollout, now: float) -> float | None:
    """Return in how many seconds time alone changes the state; None if it does not."""
    if rollout.state != "pausing":
        return None
    return max(0.0, rollout.since + rollout.pause_seconds - now)


def _failure(name: str, baseline: Baseline, health: Health) -> str:
    if health.offline:
        return f"{name} is offline"
    if health.quarantined > baseline.quarantined:
        return f"{name} refused {health.quarantined - baseline.quarantined} events"
    if health.alarms > baseline.alarms:
        return f"{name} raised an alarm"
    return ""


def _reach(rollout: Rollout, index: int, view: View) -> Rollout:
    """Enter the next wave that has somebody in it, or the end."""
    while index < len(rollout.waves):
        if new := _members_of(rollout, index, view):
            reached = rollout.reached | {c: _baseline(view.health.get(c, Health())) for c in new}
            return _enter(rollout, "rolling", view, wave=index, reached=reached)
        index += 1
    return _enter(rollout, "finished", view)


def _members_of(rollout: Rollout, index: int, view: View) -> list[str]:
    """Return the clusters that a wave adds.

    A percentage is of all members and counts those reached before; who comes first is drawn by the
    rollout's id, so that it is not the same clusters that try everything first.
    """
    wave, members = rollout.waves[index], view.members
    if wave.selector:
        return [c for c in _selected(wave.selector, view) if c not in rollout.reached]
    wanted = math.ceil(len(members) * wave.percent / 100) - sum(c in members for c in rollout.reached)
    others = sorted((c for c in members if c not in rollout.reached), key=lambda c: _lot(rollout.id, c))
    return others[: max(0, wanted)]


def _selected(selector: Sequence[Requirement], view: View) -> list[str]:
    return sorted(c.id for c in view.members.values() if targets.selects(selector, c.labels))


def _lot(rollout_id: str, cluster_id: str) -> bytes:
    return sha256(f"{rollout_id}/{cluster_id}".encode()).digest()


def _baseline(health: Health) -> Baseline:
    return Baseline(quarantined=health.quarantined, alarms=health.alarms)


def _enter(rollout: Rollout, state: RolloutState, view: View, **changes: object) -> Rollout:
    return msgspec.structs.replace(rollout, state=state, since=view.now, **changes)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, (Fault(field, message),))
