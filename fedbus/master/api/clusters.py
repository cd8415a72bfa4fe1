"""The clusters of the federation: one by one, and where all of them stand."""

import msgspec
from aiohttp import web

from fedbus.errors import FedbusError, InvalidInput
from fedbus.master.api.handlers import Handlers
from fedbus.model.federation import Summary
from fedbus.web import respond
from fedbus.web.asking import actor
from fedbus.web.openapi import described

_NOT_TOLD = 3
"""NeuVector's result of a command that could not be given (`req_error`)."""


class DeployBody(msgspec.Struct):
    """NeuVector's deploy request; without `ids` it is for every cluster."""

    ids: list[str] | None = None
    force: bool = False


class ClusterBody(msgspec.Struct, forbid_unknown_fields=True):
    """What of a cluster is changed: labels by key, null takes one away, the others stay."""

    labels: dict[str, str | None]


class ClusterHandlers(Handlers):
    """The routes of clusters."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/fed/cluster/{id}", self.cluster),
            web.patch("/v1/fed/cluster/{id}", self.change_cluster),
            web.delete("/v1/fed/cluster/{id}", self.remove_cluster),
            web.post("/v1/fed/deploy", self.deploy),
            web.get("/v1/fed/summary", self.summary),
            web.get("/v1/fed/parked", self.parked),
        ]

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

    @described(answer=Summary, tag="cluster")
    async def summary(self, _request: web.Request) -> web.Response:
        """Show the live summary."""
        return respond.json(self._fed.fleet.summary())

    @described(tag="cluster")
    async def parked(self, _request: web.Request) -> web.Response:
        """List what a newer build wrote and this one cannot read; it is kept for the next one that can."""
        found = await self._master.database.read(lambda tx: tx.parked.all())
        return respond.json({"events": found})
