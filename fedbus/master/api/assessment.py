"""What policy would deny, before it is in force."""

import msgspec
from aiohttp import web

from fedbus.cluster.admission import assess_api
from fedbus.cluster.admission.assess_api import ManifestsBody
from fedbus.cluster.policy.described import DocumentsBody
from fedbus.errors import InvalidInput
from fedbus.master.api.handlers import Handlers
from fedbus.model.assessment import FederationAssessment, PolicyPreview
from fedbus.web import respond
from fedbus.web.openapi import Parameter, described

MAX_CLUSTERS = 64
"""Clusters that a request can name one by one: all of them fit into the line of a request."""
_NAME = "^[A-Za-z0-9._-]{1,63}$"
_CLUSTERS = Parameter(
    "cluster",
    {"type": "array", "items": {"type": "string", "pattern": _NAME}, "maxItems": MAX_CLUSTERS},
    "A cluster by name or id, may be repeated; without it every member and the master's own",
)


class AssessmentHandlers(Handlers):
    """The routes of previews and assessments."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/fed/assess/admission/rule", self.assess),
            web.post("/v1/fed/preview", self.preview),
        ]

    @described(
        body=DocumentsBody,
        body_media=("application/json", "application/yaml"),
        answer=PolicyPreview,
        tag="policy",
    )
    async def preview(self, request: web.Request) -> web.Response:
        """Say which workloads that run, cluster by cluster, documents would deny, and deny no more."""
        found = await respond.documents(request)
        return respond.json(await self._fed.previews.preview(found.placed))

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
            raise InvalidInput(
                f"cluster can be given {MAX_CLUSTERS} times",
                remedy="ask in parts, or leave it out and ask all",
            )
        found = await self._fed.assessing.assess(names, manifests)
        together = sorted([*rejected, *found.rejected], key=lambda one: one.index)
        return respond.json(msgspec.structs.replace(found, rejected=together))
