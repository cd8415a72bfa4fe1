"""Federated policy: many documents at once, its history, and what is promoted into it."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from fedbus.cluster.policy import api as policy_api
from fedbus.cluster.policy.described import DRY_RUN, DocumentsBody, DryRun, writes
from fedbus.cluster.policy.local_policies import HeldLocal
from fedbus.core.policy_edits.promotion import promote
from fedbus.core.writes import Committed
from fedbus.errors import Fault, InvalidInput
from fedbus.master import policies
from fedbus.master.api.handlers import Handlers
from fedbus.master.policies import Rollback
from fedbus.model.policy import FED
from fedbus.web import respond
from fedbus.web.asking import IDEMPOTENCY_KEY, asked
from fedbus.web.openapi import Parameter, described

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_HISTORY = 1000

_OF_ONE = (
    Parameter("kind", {"type": "string"}, "The kind of one object"),
    Parameter("name", {"type": "string"}, "Its name; neither for the changes of all"),
    Parameter("before", {"type": "integer", "minimum": 0}, "Below this version of the federation"),
    Parameter("limit", {"type": "integer", "minimum": 0}, "How many revisions"),
)


class RuleIds(msgspec.Struct):
    """Which rules."""

    ids: list[int]


class PromotedRules(msgspec.Struct):
    """NeuVector's request to promote rules."""

    request: RuleIds


class RollbackBody(Rollback, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to bring back, and why."""

    comment: str = ""


class PolicyHandlers(Handlers):
    """The routes of changesets."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/fed/apply", self.apply),
            web.post("/v1/admission/rule/promote", self.promote_rules("admission_rule")),
            web.post("/v1/policy/rules/promote", self.promote_rules("network_rule")),
            web.get("/v1/fed/history", self.history),
            web.post("/v1/fed/rollback", self.roll_back),
        ]

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
        if request.query.get("dry_run") == "true":
            return respond.json({"dry_run": True, "changes": await self._fed.policies.preview(found.placed)})
        return respond.json(await self._fed.policies.apply(found.placed, asked(request, found.comment)))

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


def _number(text: str | None, name: str, *, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise InvalidInput(f"{name} is a number, not {text!r}", (Fault(name, "must be a number"),))
    return int(text)
