"""The live summary: what is known of a cluster, as separate facts, and NeuVector's word for them.

A status is never inferred from silence or from a request for nothing new: `synced` needs the worker's
own digest at the head (guarantee 7), and a stale row says since when it is stale.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from fedbus.core import digest, protocol
from fedbus.model import subjects
from fedbus.model.federation import (
    Cluster,
    ClusterReport,
    Heartbeat,
    Link,
    ScansHead,
    ScanSync,
    ScanTotal,
    ScopeState,
    SummaryRow,
    Sync,
    Versions,
    VersionState,
)

V = TypeVar("V")
LinkState = Literal["online", "stale", "offline", "never"]

SyncState = Literal["synced", "syncing", "out_of_sync", "unknown"]
_WORSE: tuple[SyncState, ...] = ("synced", "syncing", "out_of_sync", "unknown")
_UNKNOWN = (Sync(state="unknown"), ScanSync())

NO_SCANS = ScansHead(epoch=1, state=ScopeState())

STALE_AFTER = 3
"""Heartbeats missed until a link is stale; twice as many until it is offline."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The last heartbeat of a cluster, when it was received (monotonic and Unix), and its skew."""

    heartbeat: Heartbeat
    monotonic: float
    at: float
    skew: float


class Head(msgspec.Struct, frozen=True):
    """A version of a scope, the digest at it, when it was written (Unix seconds) and its events there.

    `events` is 1 for a version written before this master started: then only the version is remembered.
    """

    version: int
    digest: str
    at: float
    events: int = 1


def link_state(age: float | None, interval: float, *, stopping: bool) -> LinkState:
    """Return online, stale, offline or never from the age of the last heartbeat in seconds."""
    if age is None:
        return "never"
    if stopping or age > 2 * STALE_AFTER * interval:
        return "offline"
    return "stale" if age > STALE_AFTER * interval else "online"


def next_change(age: float, interval: float) -> float | None:
    """Return in how many seconds silence alone changes the link; None when it will not any more."""
    for limit in (STALE_AFTER * interval, 2 * STALE_AFTER * interval):
        if age <= limit:
            return limit - age
    return None


def sync_of(held: dict[str, ScopeState], heads: Mapping[str, Sequence[Head]], now: float) -> Sync:
    """Compare what a worker holds with the master's heads, scope by scope; the worst one counts.

    `heads` has the remembered versions of each scope that the cluster should hold, oldest first.
    """
    lag_versions, oldest, equal, ahead = 0, now, True, False
    for scope, known in heads.items():
        state = held.get(scope, ScopeState())
        behind = bisect_right(known, state.version, key=lambda head: head.version)
        if behind < len(known):
            lag_versions += len(known) - behind
            oldest = min(oldest, known[behind].at)
        at = known[behind - 1] if behind else Head(0, digest.EMPTY, 0.0)
        if at.version == state.version:
            equal = equal and at.digest == state.digest
        else:
            ahead = True  # a version we have not folded yet, or lost: not known to be synced
    word: Literal["synced", "syncing", "out_of_sync"] = "syncing" if lag_versions or ahead else "synced"
    return Sync(
        state=word if equal else "out_of_sync",
        applied_version=max((s.version for s in held.values()), default=0),
        head_version=max((h[-1].version for h in heads.values() if h), default=0),
        lag_versions=lag_versions,
        lag_seconds=round(max(0.0, now - oldest), 3),
        digests_equal=equal,
    )


def scans_of(held: ScopeState, have: ScanTotal, head: ScansHead | None) -> ScanSync:
    """Return how far a cluster is with the scan results.

    Only at the head do digests say something: of the versions before it the stream has lost what was
    written over since, and whoever catches up never holds just that.
    """
    if head is None:
        return ScanSync(have=held.objects, reports=have.reports, bytes=have.bytes)
    at = head.state
    equal = (held.version, held.digest) == (at.version, at.digest)
    return ScanSync(
        state="synced" if equal else ("out_of_sync" if held.version == at.version else "syncing"),
        have=held.objects,
        total=at.objects,
        reports=have.reports,
        bytes=have.bytes,
        total_bytes=head.total.bytes,
        applied_version=held.version,
        head_version=at.version,
    )


def _synced(
    heartbeat: Heartbeat, heads: Mapping[str, Sequence[Head]], head: ScansHead | None, now: float
) -> tuple[Sync, ScanSync]:
    """Return what is known of both, policy and scan results: together they are what the worse one is."""
    held = heartbeat.scopes.get(subjects.SCOPE_SCANS, ScopeState())
    policy, scans = (
        sync_of(_policy(heartbeat.scopes), _policy(heads), now),
        scans_of(held, heartbeat.scans, head),
    )
    both = msgspec.structs.replace(
        policy,
        state=max(policy.state, scans.state if head else "syncing", key=_WORSE.index),
        digests_equal=policy.digests_equal and scans.state != "out_of_sync",
    )
    return both, scans


def _policy(scopes: Mapping[str, V]) -> dict[str, V]:
    return {scope: value for scope, value in scopes.items() if scope != subjects.SCOPE_SCANS}


def lag_events(held: Mapping[str, ScopeState], heads: Mapping[str, Sequence[Head]]) -> int:
    """Return how many events of these scopes a worker has not reported as folded, at least."""
    lag = 0
    for scope, known in heads.items():
        behind = bisect_right(known, held.get(scope, ScopeState()).version, key=lambda head: head.version)
        lag += sum(head.events for head in known[behind:])
    return lag


def version_state(mine: Versions, theirs: Versions) -> VersionState:
    """Return what a daemon runs, and how it fits to ours."""
    protocol_version = protocol.agreed(mine, theirs)
    return VersionState(
        fedbus=theirs.fedbus,
        protocol_min=theirs.protocol_min,
        protocol_max=theirs.protocol_max,
        compatible=protocol_version is not None,
        protocol=protocol_version,
    )


def status_word(link: str, sync: str, membership: str, older: protocol.Older | None) -> str:
    """Return NeuVector's status of a member (its table of statuses is the vocabulary).

    `older` is which of the two has to be upgraded, seen from the master.
    """
    if membership != "joined":
        return "left" if membership == "left" else "kicked"
    if link == "never":
        return "joined"
    if link == "offline":
        return "disconnected"
    if older is not None:
        return "joint_upgrade_required" if older == "theirs" else "joint_version_too_new"
    return "connected" if sync == "unknown" else sync


def _own(heard: Heard | None, cluster_id: str) -> ScopeState:
    held = heard.heartbeat.scopes if heard else {}
    return held.get(subjects.own_scope(cluster_id), ScopeState())


def row(
    cluster: Cluster,
    heard: Heard | None,
    heads: Mapping[str, Sequence[Head]],
    *,
    now: float,
    monotonic: float,
    interval: float,
    since: str,
    mine: Versions,
    scans_head: ScansHead | None = NO_SCANS,
) -> SummaryRow:
    """Return the summary row of one cluster; `since` is when its link state last changed.

    `mine` is what the master runs.
    """
    age = None if heard is None else max(0.0, monotonic - heard.monotonic)
    link = link_state(age, interval, stopping=heard is not None and heard.heartbeat.stopping)
    versions = heard.heartbeat.versions if heard else cluster.versions
    joined = cluster.state == "joined"  # nobody owes us anything after that
    sync, scans = _synced(heard.heartbeat, heads, scans_head, now) if heard and joined else _UNKNOWN
    return SummaryRow(
        id=cluster.id,
        name=cluster.name,
        role="joint",
        link=Link(state=link, since=since),
        sync=sync,
        version=version_state(mine, versions),
        membership=cluster.state,
        status=status_word(link, sync.state, cluster.state, protocol.older(mine, versions)),
        labels=cluster.labels,
        last_heartbeat_age_seconds=None if age is None else round(age, 3),
        counts=heard.heartbeat.counts if heard else {},
        own_objects=_own(heard, cluster.id).objects,
        scans=scans,
        skew_seconds=round(heard.skew, 3) if heard else None,
        quarantined=heard.heartbeat.quarantined if heard else 0,
        parked=heard.heartbeat.parked if heard else 0,
        joined_at=cluster.joined_at,
        rest_info=cluster.rest,
        cluster=heard.heartbeat.cluster if heard else ClusterReport(),
    )
