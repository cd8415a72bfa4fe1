"""The federation itself: its records, what clusters and master say to each other, and the summary.

Times are RFC 3339 in UTC as text where people read them and Unix seconds where they are compared;
every expiry is judged by the master's clock.
"""

from typing import Literal

import msgspec

from fedbus.model.admission_events import AdmissionStats
from fedbus.model.inventory import InventoryCounts

FEDERATION = "federation"
CLUSTER = "cluster"
TOKEN = "token"  # noqa: S105 - the name of a kind of record
"""Kinds of the master's own records."""

DISMISSED = "dismissed"
RESYNC = "resync"
"""Instructions to one cluster."""

PROOF = "Fb-Proof"
RENEW_PROOF = "Fb-Renew-Proof"
"""Headers of a join request: its signatures by the bus key and by the renewal key, base64."""
SIGNATURE = "Fb-Signature"
"""The header of a checkpoint: the federation's signature over the body, base64."""


class RestInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a daemon is reached (NeuVector's `rest_info`)."""

    server: str = ""
    port: int = 0


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon runs and the protocol range it speaks (`core/protocol.py`)."""

    fedbus: str
    protocol_min: int = 1
    protocol_max: int = 1


class Federation(msgspec.Struct, frozen=True, kw_only=True):
    """The federation's own record, name `self`."""

    id: str
    name: str
    created_at: str
    bus: RestInfo
    rest: RestInfo = RestInfo()
    servers: tuple[RestInfo, ...] = ()
    """Every server of an external bus, `bus` among them; empty when that is the only one."""


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A member: what it joined with and what became of it.

    `nkey` is the bus identity, `renew_nkey` the renewal identity; both private keys never left the
    worker. `revoked_at` (Unix seconds) is set with the state `left` or `removed`.
    """

    id: str
    name: str
    nkey: str
    renew_nkey: str
    versions: Versions
    joined_at: str
    state: Literal["joined", "left", "removed"] = "joined"
    labels: dict[str, str] = {}
    cluster_uid: str = ""
    rest: RestInfo = RestInfo()
    token_id: str = ""
    ended_at: str = ""
    revoked_at: int = 0
    former_keys: dict[str, int] = {}
    """Keys from before it came back with others, and when they were revoked (Unix seconds)."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A join token's record; the token itself is kept by nobody, `hash` is its SHA-256."""

    id: str
    hash: str
    created_at: str
    created_by: str
    expires_at: int
    max_uses: int = 1
    uses: int = 0
    cluster_name: str = ""
    labels: dict[str, str] = {}
    revoked_at: str = ""


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker sends to join; `nkey` and `renew_nkey` are proven by signatures in headers."""

    name: str
    nkey: str
    renew_nkey: str
    versions: Versions
    labels: dict[str, str] = {}
    cluster_uid: str = ""
    rest: RestInfo = RestInfo()
    check: bool = False
    """Ask only whether the join would be let in; the token is not used. The name may be empty then."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a check: nothing is wrong; the master's time (Unix seconds) and versions."""

    time: float
    versions: Versions


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the master answers to a join: who the cluster is now, and its credentials."""

    cluster_id: str
    name: str
    federation_id: str
    federation_name: str
    epoch: int
    jwt: str
    renew_jwt: str
    ca_pem: str
    federation_key: str
    bus: RestInfo
    labels: dict[str, str] = {}
    heartbeat_interval: float = 10.0
    versions: Versions | None = None
    """The master's; None from one that did not say it yet."""
    servers: tuple[RestInfo, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The other answer to a join, a renewal or a leave."""

    code: str
    message: str
    remedy: str = ""


class Dismissal(msgspec.Struct, frozen=True, kw_only=True):
    """Signed proof that a cluster is no longer a member: its worker purges federated data on it."""

    cluster_id: str
    federation_id: str
    reason: Literal["removed", "left", "demoted"]
    at: str


class SignedDismissal(msgspec.Struct, frozen=True, kw_only=True):
    """A dismissal as JSON text and the federation key's signature over it (base64)."""

    dismissal: str
    signature: str


class BusReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to join, renew, leave and report: exactly one field is set."""

    checked: Checked | None = None
    joined: JoinAnswer | None = None
    renewed: "Renewal | None" = None
    dismissed: SignedDismissal | None = None
    refused: Refusal | None = None


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """Fresh credentials for the same keys."""

    jwt: str
    renew_jwt: str


class ScopeState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a holder stands in one scope: the last version folded, its position and its digest."""

    epoch: int = 0
    version: int = 0
    seq: int = 0
    digest: str = "0" * 64
    objects: int = 0


class AdmissionReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a cluster's admission control stands; counts are of all time, `fail_open` is its setting."""

    enable: bool = False
    mode: Literal["monitor", "protect"] = "monitor"
    fail_open: bool = True
    stats: AdmissionStats = AdmissionStats()


class ClusterReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster says of itself, beside its policy; no inventory where none is configured."""

    admission: AdmissionReport | None = None
    inventory: InventoryCounts | None = None
    inventory_digest: str = ""
    """SHA-256 of the report of the inventory that the master took last: what runs is still what it says."""


class ScanTotal(msgspec.Struct, frozen=True, kw_only=True):
    """How many scan reports there are, and the bytes that they take."""

    reports: int = 0
    bytes: int = 0


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reports; `sent_at` is Unix seconds by its own clock, for skew only."""

    sent_at: float
    versions: Versions
    scopes: dict[str, ScopeState]
    counts: dict[str, int] = {}
    scans: ScanTotal = ScanTotal()
    quarantined: int = 0
    parked: int = 0
    alarms: int = 0
    stopping: bool = False
    cluster: ClusterReport = ClusterReport()


CHECKPOINT_SECONDS = 5.0
"""How often a master signs its head, unless it is set otherwise."""


class ScansHead(msgspec.Struct, frozen=True, kw_only=True):
    """The head of the scan results, whose stream has an epoch of its own."""

    epoch: int
    state: ScopeState
    total: ScanTotal = ScanTotal()


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The master's signed head: proof of what is current, and the only licence to sweep.

    `scopes` maps a scope to its head; the broadcast carries `all`, a resync also the cluster's own. `scans`
    is None while the master compares its scan results with their stream.
    `heartbeat_interval` (seconds) is what the federation's settings ask of every worker now,
    `checkpoint_interval` (seconds) when the next broadcast is due; `servers` are
    those of an external bus of several.
    """

    federation_id: str
    epoch: int
    time: float
    scopes: dict[str, ScopeState]
    scans: ScansHead | None = None
    heartbeat_interval: float = 10.0
    checkpoint_interval: float = CHECKPOINT_SECONDS
    versions: Versions | None = None
    """The master's; None from one that did not say it yet."""
    servers: tuple[RestInfo, ...] = ()


class Resync(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction to read everything again; `force` from nothing rather than from the position."""

    checkpoint: Checkpoint
    force: bool = False


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when, to what, with which result."""

    at: str
    category: str
    action: str
    actor: str
    object: str = ""
    result: str = "ok"
    detail: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a cluster is heard of; judged by the master's receipt times."""

    state: Literal["online", "stale", "offline", "never"]
    since: str = ""


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a cluster holds what it should; `synced` only when the digests at the head are equal.

    State and digests are of policy and scan results both, versions of policy.
    """

    state: Literal["synced", "syncing", "out_of_sync", "unknown"]
    applied_version: int = 0
    head_version: int = 0
    lag_versions: int = 0
    lag_seconds: float = 0.0
    digests_equal: bool | None = None


class ScanSync(msgspec.Struct, frozen=True, kw_only=True):
    """How far a cluster is with the scan results: objects and bytes of reports, held and in all."""

    state: Literal["synced", "syncing", "out_of_sync", "unknown"] = "unknown"
    have: int = 0
    total: int = 0
    reports: int = 0
    bytes: int = 0
    total_bytes: int = 0
    applied_version: int = 0
    head_version: int = 0


class VersionState(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster runs and whether the protocol ranges overlap; `protocol` is what was agreed on."""

    fedbus: str = ""
    protocol_min: int = 0
    protocol_max: int = 0
    compatible: bool = True
    protocol: int | None = None


class SummaryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster in the live summary; `status` is NeuVector's word, derived from the other fields.

    `counts` is of the objects for all clusters by kind, `own_objects` of those for this cluster; `parked`
    is how many events the cluster holds and cannot read until it is upgraded.
    """

    id: str
    name: str
    role: Literal["master", "joint"]
    link: Link
    sync: Sync
    version: VersionState
    membership: Literal["joined", "left", "removed"]
    status: str
    labels: dict[str, str] = {}
    last_heartbeat_age_seconds: float | None = None
    counts: dict[str, int] = {}
    own_objects: int = 0
    scans: ScanSync = ScanSync()
    skew_seconds: float | None = None
    quarantined: int = 0
    parked: int = 0
    joined_at: str = ""
    rest_info: RestInfo = RestInfo()
    cluster: ClusterReport = ClusterReport()


class FederationHead(msgspec.Struct, frozen=True, kw_only=True):
    """The federation in one line above the summary."""

    id: str
    name: str
    epoch: int
    head_version: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The live summary: the federation's head and a row a cluster, sorted by name."""

    federation: FederationHead
    clusters: list[SummaryRow]
