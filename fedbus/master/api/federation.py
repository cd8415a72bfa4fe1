"""The federation itself: promote, demote, settings, members."""

from functools import partial

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from fedbus.core import connectivity
from fedbus.errors import Conflict
from fedbus.master import configuration
from fedbus.master.api.handlers import Handlers
from fedbus.master.configuration import Clusters, Days, Minutes, Seconds
from fedbus.master.lifecycle import Place
from fedbus.model.federation import RestInfo
from fedbus.web import respond
from fedbus.web.asking import IDEMPOTENCY_KEY, actor, asked, digest_of
from fedbus.web.openapi import described

_NO_SETTINGS = (
    "name",
    "master_rest_info",
    "rest_info",
    "revision",
    "ping_interval",
    "poll_interval",
    "use_proxy",
)


class PromoteBody(msgspec.Struct):
    """NeuVector's promote request, as far as it means something here."""

    name: str
    master_rest_info: RestInfo = RestInfo()
    rest_info: RestInfo = RestInfo()
    deploy_repo_scan_data: bool = False


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


class FederationHandlers(Handlers):
    """The routes of the federation as a whole."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/fed/promote", self.promote),
            web.post("/v1/fed/demote", self.demote),
            web.get("/v1/fed/config", self.config),
            web.patch("/v1/fed/config", self.change_config),
            web.get("/v1/fed/member", self.member),
        ]

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
