"""The master's REST handlers: thin, one use case each."""

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from fedbus.bus import topology
from fedbus.cluster import assess_api, local_api, policy_api, registry_api, scan_reads, submission_api
from fedbus.cluster.assess_api import ManifestsBody
from fedbus.cluster.local_policies import HeldLocal
from fedbus.cluster.pipelines import LOCAL as LOCAL_RESULTS
from fedbus.cluster.pipelines import held_in
from fedbus.cluster.policy_described import DRY_RUN, DocumentsBody, DryRun, writes
from fedbus.cluster.policy_reader import PolicyReaders
from fedbus.cluster.submission import Submissions
from fedbus.core import connectivity
from fedbus.core.policy_edits.promotion import promote
from fedbus.core.writes import Committed
from fedbus.errors import Conflict, Fault, FedbusError, InvalidInput
from fedbus.master import configuration, metrics, policies
from fedbus.master.configuration import Clusters, Days, Minutes, Seconds
from fedbus.master.federation import ActiveFederation
from fedbus.master.lifecycle import Master, Place
from fedbus.master.policies import Rollback
from fedbus.master.readings import MasterPolicy
from fedbus.master.rollouts import Staging
from fedbus.master.scan_results import CI_PLACES
from fedbus.model.assessment import FederationAssessment, PolicyPreview
from fedbus.model.federation import RestInfo, Summary
from fedbus.model.policy import FED, LOCAL, Scope
from fedbus.web import health, openapi, policy_reads, respond
from fedbus.web import metrics as scraped
from fedbus.web.app import new_app
from fedbus.web.asking import IDEMPOTENCY_KEY, actor, asked, digest_of
from fedbus.web.auth import Authenticator
from fedbus.web.openapi import Parameter, described

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_HISTORY = 1000
MAX_CLUSTERS = 1000

_NO_SETTINGS = (
    "name",
    "master_rest_info",
    "rest_info",
    "revision",
    "ping_interval",
    "poll_interval",
    "use_proxy",
)
_NOT_TOLD = 3
"""NeuVector's result of a command that could not be given (`req_error`)."""

_DURATION = Parameter("token_duration", {"type": "integer", "minimum": 1}, "Minutes until it expires")
_CLUSTERS = Parameter(
    "cluster",
    {"type": "array", "items": {"type": "string"}, "maxItems": MAX_CLUSTERS},
    "A cluster by name or id, may be repeated; without it every member and the master's own",
)
_OF_ONE = (
    Parameter("kind", {"type": "string"}, "The kind of one object"),
    Parameter("name", {"type": "string"}, "Its name; neither for the changes of all"),
    Parameter("before", {"type": "integer", "minimum": 0}, "Below this version of the federation"),
    Parameter("limit", {"type": "integer", "minimum": 0}, "How many revisions"),
)


class PromoteBody(msgspec.Struct):
    """NeuVector's promote request, as far as it means something here."""

    name: str
    master_rest_info: RestInfo = RestInfo()
    rest_info: RestInfo = RestInfo()
    deploy_repo_scan_data: bool = False


class TokenBody(msgspec.Struct):
    """What a join token is made with."""

    duration_minutes: int | None = None
    uses: int = 1
    cluster_name: str = ""
    labels: dict[str, str] = {}


class DeployBody(msgspec.Struct):
    """NeuVector's deploy request; without `ids` it is for every cluster."""

    ids: list[str] | None = None
    force: bool = False


class RuleIds(msgspec.Struct):
    """Which rules."""

    ids: list[int]


class PromotedRules(msgspec.Struct):
    """NeuVector's request to promote rules."""

    request: RuleIds


class RollbackBody(Rollback, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to bring back, and why."""

    comment: str = ""


class ClusterBody(msgspec.Struct, forbid_unknown_fields=True):
    """What of a cluster is changed: labels by key, null takes one away, the others stay."""

    labels: dict[str, str | None]


class RolloutBody(Staging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to roll out, how, and why."""

    documents: list[dict[str, object]]
    comment: str = ""


class ConfigBody(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What of the federation's settings is to change; null takes a setting back to the daemon's own.

    NeuVector's console always sends its intervals and its proxy: nobody polls here, and no master dials out.
    """

    name: str = ""
    master_rest_info: RestInfo = RestInfo()
    rest_info: RestInfo = RestInfo()
    revision: int | None = None
    heartbeat_interval: Seconds | UnsetType | None = UNSET
    checkpoint_interval: Seconds | UnsetType | None = UNSET
    worker_jwt_days: Days | UnsetType | None = UNSET
    token_minutes: Minutes | UnsetType | None = UNSET
    max_clusters: Clusters | UnsetType | None = UNSET
    deploy_repo_scan_data: bool | UnsetType | None = UNSET
    ping_interval: int | UnsetType | None = UNSET
    poll_interval: int | UnsetType | None = UNSET
    use_proxy: str | UnsetType | None = UNSET


def make_app(master: Master, auth: Authenticator) -> web.Application:
    """Return the master's application."""
    app = new_app(auth)
    handlers = Handlers(master)
    checks = {"store": handlers.check_store, "bus": handlers.check_bus}
    app.add_routes(health.routes(checks, lambda: "master"))
    app.add_routes(handlers.routes())
    app.add_routes(scraped.routes("master", master.settings.data_dir, lambda: metrics.read(master)))
    beside = registry_api.beside(master.registries, master.scans)
    app.add_routes(policy_reads.routes(PolicyReaders(MasterPolicy(master.database), master.database), beside))
    app.add_routes(scan_reads.routes(master.scans, master.clock))
    app.add_routes(policy_api.routes(handlers.writer, registry_api.KeptApart(master.registries)))
    app.add_routes(registry_api.routes(master.registries, handlers.writer))
    held = held_in(master.scans, (*CI_PLACES, LOCAL_RESULTS))
    app.add_routes(submission_api.routes(Submissions(master.pipeline_results, held, master.clock)))
    app.add_routes(local_api.routes(master.local))
    app.add_routes(master.cluster.routes())
    master.hub.attach(app)
    app.add_routes([openapi.route(app, "fedbus master")])
    return app


class Handlers:
    """One method a route."""

    def __init__(self, master: Master) -> None:
        self._master = master

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the federation."""
        return [
            web.post("/v1/fed/promote", self.promote),
            web.post("/v1/fed/demote", self.demote),
            web.get("/v1/fed/config", self.config),
            web.patch("/v1/fed/config", self.change_config),
            web.get("/v1/fed/member", self.member),
            web.get("/v1/fed/join_token", self.quick_token),
            web.post("/v1/fed/join_token", self.create_token),
            web.get("/v1/fed/join_tokens", self.list_tokens),
            web.delete("/v1/fed/join_token/{id}", self.revoke_token),
            web.get("/v1/fed/cluster/{id}", self.cluster),
            web.patch("/v1/fed/cluster/{id}", self.change_cluster),
            web.delete("/v1/fed/cluster/{id}", self.remove_cluster),
            web.post("/v1/fed/rollout", self.start_rollout),
            web.get("/v1/fed/rollout", self.list_rollouts),
            web.get("/v1/fed/rollout/{id}", self.show_rollout),
            web.post("/v1/fed/rollout/{id}/continue", self.continue_rollout),
            web.post("/v1/fed/rollout/{id}/abort", self.abort_rollout),
            web.post("/v1/fed/deploy", self.deploy),
            web.post("/v1/fed/apply", self.apply),
            web.post("/v1/fed/assess/admission/rule", self.assess),
            web.post("/v1/fed/preview", self.preview),
            web.post("/v1/admission/rule/promote", self.promote_rules("admission_rule")),
            web.post("/v1/policy/rules/promote", self.promote_rules("network_rule")),
            web.get("/v1/fed/history", self.history),
            web.post("/v1/fed/rollback", self.roll_back),
            web.get("/v1/fed/summary", self.summary),
            web.get("/v1/fed/parked", self.parked),
        ]

    @property
    def _fed(self) -> ActiveFederation:
        return self._master.federation()

    def writer(self, scope: Scope) -> policy_api.PolicyWriter:
        """Return who writes the policy of a scope. Raises as `Master.federation`."""
        return self._master.local if scope is LOCAL else self._fed.policies

    async def check_store(self) -> None:
        """Commit something. Raises Unavailable."""
        stamp = self._master.clock.stamp()
        await self._master.database.write(lambda tx: tx.set_meta("probe", stamp))

    async def check_bus(self) -> None:
        """Have the bus store something, if this is a master. Raises FedbusError."""
        try:
            fed = self._fed
        except Conflict:
            return
        await topology.probe(fed.session.current())

    @described(body=PromoteBody, tag="federation")
    async def promote(self, request: web.Request) -> web.Response:
        """Make this cluster a master; the password is in the answer and nowhere else."""
        body = await respond.body(request, PromoteBody)
        fed, password = await self._master.promote(body.name, body.master_rest_info, body.rest_info)
        if body.deploy_repo_scan_data:
            await fed.configuration.change({"deploy_repo_scan_data": True}, asked(request, ""))
        bus = fed.federation.bus
        return respond.json(
            {
                "federation_id": fed.federation.id,
                "epoch": fed.ledger.epoch,
                "name": fed.federation.name,
                "server": bus.server,
                "port": bus.port,
                "admin": {"username": "admin", "password": password},
            }
        )

    @described(tag="federation")
    async def demote(self, request: web.Request) -> web.Response:
        """End the federation."""
        await self._master.demote(actor(request))
        return respond.json({})

    @described(tag="federation")
    async def config(self, _request: web.Request) -> web.Response:
        """Show the federation's settings: those in force, and those that were set here."""
        return self._config_now()

    @described(body=ConfigBody, headers=("If-Match", IDEMPOTENCY_KEY), tag="federation")
    async def change_config(self, request: web.Request) -> web.Response:
        """Change settings; `If-Match` or `revision` guards against another admin's change."""
        body = await respond.body(request, ConfigBody)
        changes = msgspec.to_builtins(body)
        for key in _NO_SETTINGS:
            changes.pop(key, None)
        guard = partial(
            configuration.require, revision=body.revision, if_match=request.headers.get("If-Match", "")
        )
        place = Place(body.name, body.master_rest_info, body.rest_info)
        who = asked(request, "", await digest_of(request))
        await self._master.reconfigure(place, changes, guard, who)
        return self._config_now()

    def _config_now(self) -> web.Response:
        now = self._fed.configuration
        body = {
            "federation": self._fed.federation,
            "heartbeat_interval": now.heartbeat_interval,
            "checkpoint_interval": now.checkpoint_interval,
            "worker_jwt_days": now.worker_jwt_days,
            "token_minutes": now.token_minutes,
            "max_clusters": now.max_clusters,
            "deploy_repo_scan_data": now.deploy_repo_scan_data,
            "set": now.set,
            "revision": now.revision,
        }
        return respond.json(body, headers={"ETag": configuration.tag(now.revision)})

    @described(tag="federation")
    async def member(self, _request: web.Request) -> web.Response:
        """List the members as NeuVector does."""
        wrong = self._master.bootstrap_error
        bootstrap = {"bootstrap": connectivity.facts(wrong) if wrong else None}
        try:
            fed = self._fed
        except Conflict:
            return respond.json({"fed_role": "", "local_rest_info": RestInfo()} | bootstrap)
        rows = fed.fleet.summary().clusters
        own = fed.federation
        return respond.json(
            {
                "fed_role": "master",
                "local_rest_info": own.rest,
                "master_cluster": {
                    "id": own.id, "name": own.name, "rest_info": own.bus, "status": "active",
                },
                "joint_clusters": [
                    {
                        "id": r.id, "name": r.name, "rest_info": r.rest_info, "status": r.status,
                        "labels": r.labels, "joined_at": r.joined_at, "membership": r.membership,
                        "rest_version": r.version.fedbus, "proxy_required": False,
                    }
                    for r in sorted(rows, key=lambda row: row.name)
                    if r.role == "joint" and r.membership == "joined"
                ],
                "use_proxy": "",
                "deploy_repo_scan_data": fed.configuration.deploy_repo_scan_data,
            }
            | bootstrap
        )  # fmt: skip

    @described(query=(_DURATION,), tag="token")
    async def quick_token(self, request: web.Request) -> web.Response:
        """Make one single-use token, as NeuVector's path does; `token_duration` is in minutes."""
        text = request.query.get("token_duration", str(self._fed.configuration.token_minutes))
        if not text.isdecimal() or len(text) > 6:
            raise InvalidInput(f"token_duration is a number of minutes, not {text!r}")
        made = await self._fed.tokens.create(minutes=int(text), created_by=actor(request))
        return respond.json({"join_token": made.join_token})

    @described(body=TokenBody, body_required=False, status=201, tag="token")
    async def create_token(self, request: web.Request) -> web.Response:
        """Make a join token."""
        body = await respond.body(request, TokenBody)
        made = await self._fed.tokens.create(
            minutes=body.duration_minutes or self._fed.configuration.token_minutes,
            uses=body.uses,
            cluster_name=body.cluster_name,
            labels=body.labels,
            created_by=actor(request),
        )
        return respond.json(made, status=201)

    @described(tag="token")
    async def list_tokens(self, _request: web.Request) -> web.Response:
        """List the tokens, never their text."""
        return respond.json({"tokens": await self._fed.tokens.list()})

    @described(tag="token")
    async def revoke_token(self, request: web.Request) -> web.Response:
        """Revoke a token."""
        await self._fed.tokens.revoke(request.match_info["id"])
        return respond.json({})

    @described(tag="cluster")
    async def cluster(self, request: web.Request) -> web.Response:
        """Show one cluster: its row and what it joined with."""
        found = await self._fed.members.cluster(request.match_info["id"])
        row = msgspec.to_builtins(self._fed.fleet.row(found.id))
        return respond.json(row | {"cluster_uid": found.cluster_uid, "ended_at": found.ended_at})

    @described(body=ClusterBody, tag="cluster")
    async def change_cluster(self, request: web.Request) -> web.Response:
        """Change the labels of a cluster, and with them what it has by selectors."""
        body = await respond.body(request, ClusterBody)
        changed = await self._fed.members.label(request.match_info["id"], body.labels, actor=actor(request))
        return respond.json(self._fed.fleet.row(changed.id))

    @described(body=RolloutBody, headers=(IDEMPOTENCY_KEY,), tag="rollout")
    async def start_rollout(self, request: web.Request) -> web.Response:
        """Begin a staged rollout: the first wave has it when this is answered."""
        body = await respond.body(request, RolloutBody)
        staging = Staging(waves=body.waves, pause_seconds=body.pause_seconds, manual=body.manual)
        documents = [(index, None, content) for index, content in enumerate(body.documents)]
        started = await self._fed.rollouts.start(documents, staging, asked(request, body.comment))
        return respond.json(started, status=201)

    @described(tag="rollout")
    async def list_rollouts(self, _request: web.Request) -> web.Response:
        """List the rollouts, the newest first."""
        return respond.json({"rollouts": await self._fed.rollouts.list()})

    @described(tag="rollout")
    async def show_rollout(self, request: web.Request) -> web.Response:
        """Show where a rollout stands."""
        return respond.json(await self._fed.rollouts.show(request.match_info["id"]))

    @described(tag="rollout")
    async def continue_rollout(self, request: web.Request) -> web.Response:
        """Begin the next wave, or go on in spite of what halted the rollout."""
        who = asked(request, "")
        return respond.json(await self._fed.rollouts.go_on(request.match_info["id"], who.actor))

    @described(tag="rollout")
    async def abort_rollout(self, request: web.Request) -> web.Response:
        """End a rollout and take back what it brought."""
        who = asked(request, "")
        return respond.json(await self._fed.rollouts.abort(request.match_info["id"], who.actor))

    @described(tag="cluster")
    async def remove_cluster(self, request: web.Request) -> web.Response:
        """Remove a cluster."""
        removed = await self._fed.members.remove(request.match_info["id"], actor=actor(request))
        return respond.json({"id": removed.id, "name": removed.name, "disconnected": True})

    @described(body=DeployBody, tag="cluster")
    async def deploy(self, request: web.Request) -> web.Response:
        """Have clusters compare themselves with the head; 0 means told, anything else not, `errors` why.

        If none could be told, it is the error of the first.
        """
        body = await respond.body(request, DeployBody)
        members = self._fed.members
        ids = (
            [c.id for c in await members.clusters() if c.state == "joined"] if body.ids is None else body.ids
        )
        if body.ids == []:
            raise InvalidInput("ids names no cluster", remedy="leave ids out to mean every cluster")
        failed: dict[str, FedbusError] = {}
        for cluster_id in dict.fromkeys(ids):
            try:
                await members.resync(cluster_id, force=body.force, actor=actor(request))
            except FedbusError as error:
                failed[cluster_id] = error
        if failed and len(failed) == len(set(ids)):
            raise failed[ids[0]]
        answer: dict[str, object] = {"results": {one: _NOT_TOLD if one in failed else 0 for one in ids}}
        if failed:
            answer["errors"] = {one: {"code": e.code, "message": e.message} for one, e in failed.items()}
        return respond.json(answer)

    @described(
        body=DocumentsBody,
        body_media=("application/json", "application/yaml"),
        answer=(Committed, DryRun),
        query=(DRY_RUN,),
        headers=(IDEMPOTENCY_KEY,),
        tag="policy",
    )
    async def apply(self, request: web.Request) -> web.Response:
        """Apply documents as one changeset; with `dry_run=true` say what would change."""
        found = await respond.documents(request)
        documents = [(d.index, d.line, d.value) for d in found.documents]
        if request.query.get("dry_run") == "true":
            return respond.json({"dry_run": True, "changes": await self._fed.policies.preview(documents)})
        return respond.json(await self._fed.policies.apply(documents, asked(request, found.comment)))

    @described(
        body=DocumentsBody,
        body_media=("application/json", "application/yaml"),
        answer=PolicyPreview,
        tag="policy",
    )
    async def preview(self, request: web.Request) -> web.Response:
        """Say which workloads that run, cluster by cluster, documents would deny, and deny no more."""
        found = await respond.documents(request)
        documents = [(d.index, d.line, d.value) for d in found.documents]
        return respond.json(await self._fed.previews.preview(documents))

    @described(
        body=ManifestsBody,
        body_media=assess_api.MEDIA,
        answer=FederationAssessment,
        query=(_CLUSTERS,),
        tag="admission",
    )
    async def assess(self, request: web.Request) -> web.Response:
        """Say where manifests would be denied: each cluster's own assessment, rule by rule."""
        manifests, rejected = await assess_api.read(request)
        names = request.query.getall("cluster", [])
        if len(names) > MAX_CLUSTERS:
            raise InvalidInput(f"cluster can be given {MAX_CLUSTERS} times")
        found = await self._fed.assessing.assess(names, manifests)
        together = sorted([*rejected, *found.rejected], key=lambda one: one.index)
        return respond.json(msgspec.structs.replace(found, rejected=together))

    def promote_rules(self, kind: str) -> Handler:
        """Return what copies rules of this cluster's own into the federation."""

        @writes(
            f"Promote local {kind}s to federated ones, with the groups they use", kind, body=PromotedRules
        )
        async def handle(request: web.Request) -> web.Response:
            ids = (await respond.body(request, PromotedRules)).request.ids
            policies = self._fed.policies
            decision = await self._master.database.read(lambda tx: promote(kind, ids, HeldLocal(tx)))
            return await policy_api.Writing(request, kind, FED, policies).answer(decision)

        return handle

    @described(query=_OF_ONE, tag="policy")
    async def history(self, request: web.Request) -> web.Response:
        """Show the revisions of one object (`kind`, `name`), or the newest of all (`before`, `limit`)."""
        query = request.query
        if "kind" in query or "name" in query:
            found = await self._fed.policies.history(query.get("kind", ""), query.get("name", ""))
        else:
            before = _number(query.get("before"), "before", default=2**53)
            limit = _number(query.get("limit"), "limit", default=100)
            found = await self._fed.policies.changesets(before, min(limit, MAX_HISTORY))
        return respond.json({"revisions": policies.described(found)})

    @described(body=RollbackBody, answer=Committed, headers=(IDEMPOTENCY_KEY,), tag="policy")
    async def roll_back(self, request: web.Request) -> web.Response:
        """Bring back an earlier state as a new revision."""
        body = await respond.body(request, RollbackBody)
        target = msgspec.convert(msgspec.to_builtins(body), Rollback, strict=True)
        if bool(target.changeset) == bool(target.kind and target.name):
            raise InvalidInput("name a changeset, or a kind, a name and a revision")
        return respond.json(await self._fed.policies.roll_back(target, asked(request, body.comment)))

    @described(tag="cluster")
    async def parked(self, _request: web.Request) -> web.Response:
        """List what a newer build wrote and this one cannot read; it is kept for the next one that can."""
        found = await self._master.database.read(lambda tx: tx.parked.all())
        return respond.json({"events": found})

    @described(answer=Summary, tag="cluster")
    async def summary(self, _request: web.Request) -> web.Response:
        """Show the live summary."""
        return respond.json(self._fed.fleet.summary())


def _number(text: str | None, name: str, *, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise InvalidInput(f"{name} is a number, not {text!r}", (Fault(name, "must be a number"),))
    return int(text)
