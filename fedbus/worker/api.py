"""The worker's REST handlers: thin, one use case each."""

import msgspec
from aiohttp import web

from fedbus import __version__
from fedbus.cluster.policy import api as policy_api
from fedbus.cluster.policy import local_api
from fedbus.cluster.policy.reader import PolicyReaders
from fedbus.cluster.registries import api as registry_api
from fedbus.cluster.registries import submission as registry_submission
from fedbus.cluster.scans import reads as scan_reads
from fedbus.cluster.scans import submission_api
from fedbus.cluster.scans.pipelines import LOCAL as LOCAL_RESULTS
from fedbus.cluster.scans.pipelines import held_in
from fedbus.cluster.scans.submission import Submissions
from fedbus.core import connectivity, protocol, summary
from fedbus.core.summary import LinkState, version_state
from fedbus.errors import Forbidden
from fedbus.model import subjects
from fedbus.model.federation import (
    CHECKPOINT_SECONDS,
    Link,
    RestInfo,
    ScanSync,
    ScanTotal,
    ScopeState,
    SummaryRow,
    Sync,
    Versions,
)
from fedbus.model.policy import LOCAL, Scope
from fedbus.store.federated import FederatedPolicy
from fedbus.store.transaction import Transaction
from fedbus.web import health, openapi, policy_reads, respond
from fedbus.web import metrics as scraped
from fedbus.web.app import new_app
from fedbus.web.auth import Authenticator
from fedbus.web.openapi import described, hidden
from fedbus.worker import metrics
from fedbus.worker.dialogue import Joining
from fedbus.worker.lifecycle import Worker

STALE_AFTER = 6
"""Checkpoints missed until the master, or the bus between, is thought to stand still."""


class JoinBody(msgspec.Struct):
    """NeuVector's join request."""

    name: str
    join_token: str
    server: str = ""
    port: int = 0
    joint_rest_info: RestInfo = RestInfo()
    labels: dict[str, str] = {}
    cluster_uid: str = ""


class LeaveBody(msgspec.Struct):
    """NeuVector's leave request."""

    force: bool = False


def make_app(worker: Worker, auth: Authenticator) -> web.Application:
    """Return the worker's application."""
    app = new_app(auth)
    handlers = Handlers(worker)
    # Not the bus: a worker serves what it holds with the bus and the master away (guarantee 6).
    app.add_routes(health.routes({"store": handlers.check_store}, handlers.role))
    app.add_routes(handlers.routes())
    app.add_routes(scraped.routes("worker", worker.settings.data_dir, lambda: metrics.read(worker)))
    policy = FederatedPolicy(worker.database, lambda tx: reversed(tx.scopes()))  # its own above those for all
    beside = registry_api.beside(worker.registries, worker.scans)
    readers = PolicyReaders(policy, worker.database, worker.cluster.built_in)
    app.add_routes(policy_reads.routes(readers, beside))
    app.add_routes(scan_reads.routes(worker.scans, worker.clock))
    app.add_routes(policy_api.routes(handlers.writer, registry_api.KeptApart(worker.registries)))
    app.add_routes(registry_api.routes(worker.registries, handlers.writer))
    held = held_in(worker.scans, (LOCAL_RESULTS,))
    into = registry_submission.into(worker.registries, worker.scans)
    submissions = Submissions(lambda: worker.local_results, held, worker.clock, into)
    app.add_routes(submission_api.routes(submissions))
    app.add_routes(local_api.routes(worker.local))
    app.add_routes(worker.cluster.routes())
    worker.hub.attach(app)
    app.add_routes([openapi.route(app, "fedbus worker")])
    return app


class Handlers:
    """One method a route."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the membership."""
        return [
            web.post("/v1/fed/join", self.join),
            web.post("/v1/fed/leave", self.leave),
            web.get("/v1/fed/member", self.member),
            web.get("/v1/fed/config", self.config),
            web.get("/v1/fed/summary", self.summary),
            web.get("/v1/fed/quarantine", self.quarantine),
            web.get("/v1/fed/parked", self.parked),
            web.post("/v1/fed/apply", self.refuse_apply),
        ]

    def role(self) -> str:
        """Return NeuVector's word for what this cluster is."""
        membership = self._worker.membership
        return "joint" if membership is not None and membership.joined else ""

    def writer(self, scope: Scope) -> policy_api.PolicyWriter:
        """Return who writes the policy of a scope. Raises Forbidden for the federation's."""
        if scope is not LOCAL:
            raise _read_only()
        return self._worker.local

    async def check_store(self) -> None:
        """Commit something. Raises Unavailable."""
        stamp = self._worker.clock.stamp()
        await self._worker.database.write(lambda tx: tx.set_meta("probe", stamp))

    @described(body=JoinBody, tag="membership")
    async def join(self, request: web.Request) -> web.Response:
        """Join a federation; the password is in the answer and nowhere else."""
        body = await respond.body(request, JoinBody)
        who = Joining(
            name=body.name, labels=body.labels, cluster_uid=body.cluster_uid, rest=body.joint_rest_info
        )
        server = RestInfo(server=body.server, port=body.port)
        joined, password = await self._worker.join(body.join_token, who, server)
        return respond.json(
            {
                "id": joined.cluster_id,
                "name": joined.name,
                "federation_id": joined.federation_id,
                "master": {"name": joined.federation_name, "rest_info": joined.bus},
            }
            | ({"admin": {"username": "admin", "password": password}} if password else {})
        )

    @described(body=LeaveBody, body_required=False, tag="membership")
    async def leave(self, request: web.Request) -> web.Response:
        """Leave the federation."""
        body = await respond.body(request, LeaveBody)
        left = await self._worker.leave(force=body.force)
        return respond.json({"id": left.cluster_id, "name": left.name})

    @described(tag="membership")
    async def member(self, _request: web.Request) -> web.Response:
        """Show the membership as NeuVector does: the master and this cluster."""
        m = self._worker.membership
        wrong = self._worker.bootstrap_error
        bootstrap = {"bootstrap": connectivity.facts(wrong) if wrong else None}
        if m is None:
            return respond.json({"fed_role": "", "local_rest_info": RestInfo()} | bootstrap)
        connected = self._worker.active is not None and self._worker.active.session.up.is_set()
        refusal = self._worker.active.refusal if self._worker.active else None
        error = self._worker.active.session.error if self._worker.active and not connected else None
        parked = await self._worker.database.read(lambda tx: tx.parked.count())
        own = {"id": m.cluster_id, "name": m.name, "status": m.state, "labels": m.labels}
        return respond.json(
            {
                "fed_role": self.role(),
                "membership": m.state,
                "ended_at": m.ended_at,
                "local_rest_info": RestInfo(),
                "master_cluster": {
                    "id": m.federation_id,
                    "name": m.federation_name,
                    "rest_info": m.bus,
                    "status": _master_status(self._worker, connected=connected),
                    "version": masters_versions(self._worker),
                },
                "joint_clusters": [own | {"joined_at": m.joined_at}],
                "parked": parked,
                "refusal": connectivity.facts(refusal) if refusal else None,
                "connection_error": connectivity.facts(error) if error else None,
            }
            | bootstrap
        )

    @described(tag="membership")
    async def config(self, _request: web.Request) -> web.Response:
        """Show the settings of the membership."""
        active = self._worker.active
        return respond.json({"heartbeat_interval": active.reporter.interval if active else None})

    @described(tag="membership")
    async def summary(self, _request: web.Request) -> web.Response:
        """Show where this cluster stands, by its own knowledge."""
        if self._worker.membership is None:
            return respond.json({"clusters": []})
        row = await own_row(self._worker)
        states = await self._worker.database.read(lambda tx: tx.scopes())
        states |= await self._worker.scans.read(lambda tx: tx.scopes())
        return respond.json({"clusters": [row], "scopes": states})

    @described(tag="membership")
    async def quarantine(self, _request: web.Request) -> web.Response:
        """List the events that were refused."""
        found = await self._worker.database.read(lambda tx: tx.quarantine.newest())
        found += await self._worker.scans.read(lambda tx: tx.quarantine.newest())
        return respond.json({"events": found})

    @described(tag="membership")
    async def parked(self, _request: web.Request) -> web.Response:
        """List the events that are held and only a newer build can read: it applies them at its start."""
        found = await self._worker.database.read(lambda tx: tx.parked.all())
        found += await self._worker.scans.read(lambda tx: tx.parked.all())
        return respond.json({"events": found})

    @hidden
    async def refuse_apply(self, _request: web.Request) -> web.Response:
        """Refuse: federated policy is written on the master."""
        raise _read_only()


def _read_only() -> Forbidden:
    return Forbidden(
        "federated policy is read-only in a managed cluster",
        code="FEDERATED_READ_ONLY",
        remedy="change it on the master",
    )


async def own_row(worker: Worker) -> SummaryRow:
    """Return the summary row of this cluster; `head` is the one of the last signed checkpoint."""
    m = worker.membership
    assert m is not None  # noqa: S101 - the caller looked
    active = worker.active
    states = await worker.database.read(lambda tx: tx.scopes())
    counts = await worker.database.read(lambda tx: tx.counts(subjects.SCOPE_ALL))
    quarantined, parked = await worker.database.read(lambda tx: (tx.quarantine.count(), tx.parked.count()))
    quarantined += await worker.scans.read(lambda tx: tx.quarantine.count())
    scans = await _scans(worker)
    held = states.get(subjects.SCOPE_ALL, ScopeState())
    link = _link(worker)
    mine = protocol.ours(__version__)
    head = active.checkpoint.scopes[subjects.SCOPE_ALL] if active and active.checkpoint else None
    return SummaryRow(
        id=m.cluster_id,
        name=m.name,
        role="joint",
        link=Link(state=link),
        sync=_both(_sync(held, head), scans),
        version=version_state(masters_versions(worker) or mine, mine),
        membership="joined" if m.joined else ("left" if m.state == "left" else "removed"),
        status=_status(worker, link) if m.joined else m.state,
        labels=m.labels,
        counts=counts,
        scans=scans,
        own_objects=states.get(subjects.own_scope(m.cluster_id), ScopeState()).objects,
        quarantined=quarantined,
        parked=parked,
        joined_at=m.joined_at,
        cluster=worker.cluster.report(),
    )


async def _scans(worker: Worker) -> ScanSync:
    def read(tx: Transaction) -> tuple[ScopeState, ScanTotal]:
        reports, size = tx.scans.total(subjects.SCOPE_SCANS)
        return tx.scope(subjects.SCOPE_SCANS), ScanTotal(reports=reports, bytes=size)

    active = worker.active
    head = active.checkpoint.scans if active and active.checkpoint else None
    return summary.scans_of(*await worker.scans.read(read), head)


def _both(policy: Sync, scans: ScanSync) -> Sync:
    """Return what is known of policy and scan results together."""
    if policy.state != "synced" or scans.state == "synced":
        return policy
    return msgspec.structs.replace(
        policy, state=scans.state, digests_equal=False if scans.state == "out_of_sync" else None
    )


def masters_versions(worker: Worker) -> Versions | None:
    """Return what the master runs, by its last signed checkpoint, before that by its answer to the join."""
    active = worker.active
    said = active.checkpoint.versions if active is not None and active.checkpoint is not None else None
    return said or (worker.membership.master_versions if worker.membership is not None else None)


def _master_status(worker: Worker, *, connected: bool) -> str:
    if connected and (word := _status(worker, "online")) != "joined":
        return word
    return "connected" if connected else "disconnected"


def _status(worker: Worker, link: LinkState) -> str:
    """Return NeuVector's word for a member, as it sees itself."""
    theirs = masters_versions(worker)
    older = protocol.older(protocol.ours(__version__), theirs) if theirs is not None else None
    if older is not None:
        return "master_upgrade_required" if older == "theirs" else "joint_upgrade_required"
    return "joined" if link == "online" else "disconnected"


def _link(worker: Worker) -> LinkState:
    active = worker.active
    if active is None or not active.session.up.is_set():
        return "offline"
    last = active.checkpoint
    interval = last.checkpoint_interval if last is not None else CHECKPOINT_SECONDS
    age = worker.clock.monotonic() - active.checkpoint_at
    return "stale" if age > STALE_AFTER * interval else "online"


def _sync(held: ScopeState, head: ScopeState | None) -> Sync:
    if head is None:
        return Sync(state="unknown", applied_version=held.version)
    # Ahead of the last head that was signed, nothing says that what is held is right: not known as synced.
    equal = held.digest == head.digest if held.version == head.version else None
    behind = max(0, head.version - held.version)
    return Sync(
        state="syncing" if equal is None else ("synced" if equal else "out_of_sync"),
        applied_version=held.version,
        head_version=max(head.version, held.version),
        lag_versions=behind,
        digests_equal=equal,
    )
