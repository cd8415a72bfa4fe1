"""What this cluster's admission control would do with manifests, and nothing else: nobody is told."""

import asyncio
from collections.abc import Sequence

from fedbus.cluster.admission.decider import Admission
from fedbus.core import assessment
from fedbus.core.admission.policy import Policy
from fedbus.core.assessment import Manifest, Resource
from fedbus.model import codec
from fedbus.model.assessment import Assessed, Assessment


async def assess(admission: Admission, manifests: Sequence[Manifest]) -> Assessment:
    """Assess every document that can be read. Raises TooLarge, Unavailable."""
    found, rejected = assessment.resources(manifests)
    policy = await admission.newest()  # one for all, and what was just written is in it
    results: list[Assessed] = []
    for resource in found:
        results.append(await _assessed(admission, policy, resource))
        await asyncio.sleep(0)  # the webhook comes first
    return Assessment(global_mode=policy.mode, enable=policy.state.enable, results=results, rejected=rejected)


async def _assessed(admission: Admission, policy: Policy, resource: Resource) -> Assessed:
    if resource.workload is None:
        return assessment.passed_over(resource)
    workload, scans, now = await admission.known(resource.workload)
    return assessment.assessed(resource, workload, policy, scans, now)


async def answer(admission: Admission, params: bytes) -> bytes:
    """Assess for the master: a JSON list of documents in, an assessment out.

    Raises FedbusError, msgspec.MsgspecError for parameters of another build.
    """
    return codec.encode(await assess(admission, codec.decode(params, list[Manifest])))
