"""Many documents of a cluster's own policy in one request, beside `/v1/fed/apply` of the federation's."""

from aiohttp import web

from fedbus.cluster.policy.described import DRY_RUN, DocumentsBody, DryRun
from fedbus.cluster.policy.local_policies import LocalPolicies
from fedbus.core.writes import Committed
from fedbus.web import respond
from fedbus.web.asking import IDEMPOTENCY_KEY, asked
from fedbus.web.openapi import described


def routes(local: LocalPolicies) -> list[web.RouteDef]:
    """Make the route."""

    @described(
        body=DocumentsBody,
        body_media=("application/json", "application/yaml"),
        answer=(Committed, DryRun),
        query=(DRY_RUN,),
        headers=(IDEMPOTENCY_KEY,),
        tag="policy",
    )
    async def apply(request: web.Request) -> web.Response:
        """Apply documents of the cluster's own policy as one change; with `dry_run=true` say what would."""
        found = await respond.documents(request)
        if request.query.get("dry_run") == "true":
            return respond.json(DryRun(dry_run=True, changes=await local.preview(found.placed)))
        return respond.json(await local.apply(found.placed, asked(request, found.comment)))

    return [web.post("/v1/local/apply", apply)]
