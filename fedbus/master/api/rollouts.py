"""Staged rollouts."""

from aiohttp import web

from fedbus.master.api.handlers import Handlers
from fedbus.master.rollouts import Staging
from fedbus.web import respond
from fedbus.web.asking import IDEMPOTENCY_KEY, asked
from fedbus.web.openapi import described


class RolloutBody(Staging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to roll out, how, and why."""

    documents: list[dict[str, object]]
    comment: str = ""


class RolloutHandlers(Handlers):
    """The routes of rollouts."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/fed/rollout", self.start_rollout),
            web.get("/v1/fed/rollout", self.list_rollouts),
            web.get("/v1/fed/rollout/{id}", self.show_rollout),
            web.post("/v1/fed/rollout/{id}/continue", self.continue_rollout),
            web.post("/v1/fed/rollout/{id}/abort", self.abort_rollout),
        ]

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
