"""Join tokens."""

import msgspec
from aiohttp import web

from fedbus.errors import InvalidInput
from fedbus.master.api.handlers import Handlers
from fedbus.web import respond
from fedbus.web.asking import actor
from fedbus.web.openapi import Parameter, described

_DURATION = Parameter("token_duration", {"type": "integer", "minimum": 1}, "Minutes until it expires")


class TokenBody(msgspec.Struct):
    """What a join token is made with."""

    duration_minutes: int | None = None
    uses: int = 1
    cluster_name: str = ""
    labels: dict[str, str] = {}


class TokenHandlers(Handlers):
    """The routes of join tokens."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/fed/join_token", self.quick_token),
            web.post("/v1/fed/join_token", self.create_token),
            web.get("/v1/fed/join_tokens", self.list_tokens),
            web.delete("/v1/fed/join_token/{id}", self.revoke_token),
        ]

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
