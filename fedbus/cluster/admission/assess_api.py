"""Assessment over REST, on NeuVector's path: what admission would do with manifests."""

import asyncio

import msgspec
from aiohttp import web

from fedbus.cluster.admission import assessment
from fedbus.cluster.admission.decider import Admission
from fedbus.core.assessment import Manifest
from fedbus.errors import Fault
from fedbus.model.assessment import Assessment, Rejected
from fedbus.web import respond, yaml_documents
from fedbus.web.openapi import described

MEDIA = ("application/json", "application/yaml")


class ManifestsBody(msgspec.Struct):
    """Manifests as JSON; one object, or a list of objects, is taken too."""

    documents: list[dict[str, object]]


def routes(admission: Admission) -> list[web.RouteDef]:
    """Make the routes."""

    @described(
        "Say what this cluster's admission control would do with manifests, rule by rule",
        body=ManifestsBody,
        body_media=MEDIA,
        answer=Assessment,
        tag="admission",
    )
    async def assess(request: web.Request) -> web.Response:
        manifests, rejected = await read(request)
        found = await assessment.assess(admission, manifests)
        together = sorted([*rejected, *found.rejected], key=lambda one: one.index)
        return respond.json(msgspec.structs.replace(found, rejected=together))

    return [web.post("/v1/assess/admission/rule", assess)]


async def read(request: web.Request) -> tuple[list[Manifest], list[Rejected]]:
    """Read the manifests of a request, YAML or JSON, and why some cannot be read.

    Raises InvalidInput for a body that is neither, TooLarge.
    """
    raw, is_json = await respond.text(request)
    if is_json:
        return _of_json(respond.decode(raw, object))
    found, faults = await asyncio.to_thread(yaml_documents.parse_each, raw)
    manifests = [Manifest(index=one.index, line=one.line, value=one.value) for one in found]
    return manifests, [_rejected(fault) for fault in faults]


def _of_json(sent: object) -> tuple[list[Manifest], list[Rejected]]:
    if isinstance(sent, dict) and "kind" not in sent and isinstance(sent.get("documents"), list):
        sent = sent["documents"]
    documents = sent if isinstance(sent, list) else [sent]
    manifests = [
        Manifest(index=index, value=one) for index, one in enumerate(documents) if isinstance(one, dict)
    ]
    odd = [
        Rejected(index=index, code="MANIFEST_INVALID", message="this is no Kubernetes object")
        for index, one in enumerate(documents)
        if not isinstance(one, dict)
    ]
    return manifests, odd


def _rejected(fault: Fault) -> Rejected:
    return Rejected(
        index=fault.document or 0,
        line=fault.line,
        field=fault.field,
        code="DOCUMENT_MALFORMED",
        message=fault.message,
    )
