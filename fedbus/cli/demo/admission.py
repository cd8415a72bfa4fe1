"""The steps of the story about admission: a rule of the master's takes effect at every worker's webhook.

The webhook is asked as a Kubernetes API server asks it: an AdmissionReview over TLS, trusting the
worker's CA, on a connection that is kept.
"""

import time

import msgspec

from fedbus.cli.client import Api
from fedbus.cli.demo import documents, scans
from fedbus.cli.demo.fleet import Member, Worker, together
from fedbus.cli.demo.runner import Told
from fedbus.cli.demo.scene import Scene, each, expect, soon
from fedbus.cli.profiles import Profile

RULE = 100010
"""The rule of `documents.deny`."""
EFFECT_MS = 1000.0
"""How long it may take from the request to the master until webhooks decide by it."""
UNSCANNED_IMAGE = "registry.shop.example/shop/unknown:1"
PATH = "/validate"


class Status(msgspec.Struct):
    """Why something is denied."""

    message: str = ""


class Verdict(msgspec.Struct):
    """What is read of the response to a review."""

    allowed: bool
    status: Status = msgspec.field(default_factory=Status)


class _Review(msgspec.Struct):
    response: Verdict


class _Webhook(msgspec.Struct):
    url: str


async def deny(scene: Scene) -> Told:
    """Publish a rule that denies; within a second each webhook does, and says why."""
    for worker in scene.workers():
        for image in (scans.ORDERS_IMAGE, scans.WEB_IMAGE, UNSCANNED_IMAGE):
            verdict = await ask(worker, image)
            expect(verdict.allowed, f"{worker.name} denies {image} before the rule: {verdict.status.message}")
    took = await _takes_effect(scene, documents.deny(), allowed=False)
    for worker in scene.workers():
        verdict = await ask(worker, scans.ORDERS_IMAGE)
        said = verdict.status.message
        for part in (
            f"federated deny rule {RULE}",
            f"cveNames containsAny {scans.CRITICAL} (observed: {scans.CRITICAL}",
            f"image {scans.ORDERS_IMAGE}",
            f"Scan: registry {scans.REGISTRY}, ",
        ):
            expect(not verdict.allowed and part in said, f"{worker.name} does not say {part!r}: {said!r}")
        expect((await ask(worker, scans.WEB_IMAGE)).allowed, f"{worker.name} denies an image without it")
        unscanned = await ask(worker, UNSCANNED_IMAGE)
        expect(
            not unscanned.allowed and "on_unscanned: deny" in unscanned.status.message,
            f"{worker.name} allows an image without a scan: {unscanned.status.message!r}",
        )
    return Told(f"denied after {each(took)}. {worker.name} says: {said}", max(took.values()))


async def allow(scene: Scene) -> Told:
    """Delete the rule: what it denied is allowed again."""
    took = await _takes_effect(scene, documents.allow(), allowed=True)
    for worker in scene.workers():
        verdict = await ask(worker, UNSCANNED_IMAGE)
        expect(verdict.allowed, f"{worker.name} still denies: {verdict.status.message}")
    return Told(f"allowed after {each(took)}", max(took.values()))


async def ask(member: Member, image: str) -> Verdict:
    """Ask a daemon's webhook whether an image may run."""
    async with Api(await webhook(member)) as api:
        return await _asked(api, image)


async def webhook(member: Member) -> Profile:
    """Return how the webhook of a daemon is reached."""
    at = msgspec.convert(await member.api.get("/v1/admission/webhook"), _Webhook)
    return Profile(url=at.url.removesuffix(PATH), ca=member.process.reached_by.ca)


async def _asked(api: Api, image: str) -> Verdict:
    answer = await api.call("POST", PATH, raw=documents.review(image))
    return msgspec.convert(answer, _Review).response


async def _takes_effect(scene: Scene, stream: bytes, *, allowed: bool) -> dict[str, float]:
    """Apply documents on the master; return after how many milliseconds each webhook answers otherwise."""
    workers = scene.workers()
    reached = [await webhook(worker) for worker in workers]
    began = time.perf_counter()
    answer = await scene.master.api.call("POST", "/v1/fed/apply", raw=stream, content_type="application/yaml")
    scene.version = msgspec.convert(answer["version"], int)
    ends = await together(_until(w, at, allowed) for w, at in zip(workers, reached, strict=True))
    took = {worker.name: (end - began) * 1000 for worker, end in zip(workers, ends, strict=True)}
    expect(max(took.values()) < EFFECT_MS, f"it took more than a second: {each(took)}")
    return took


async def _until(worker: Worker, at: Profile, allowed: bool) -> float:
    """Ask until the answer is this one; return when it was (`perf_counter`)."""
    async with Api(at) as api:

        async def so() -> bool:
            return (await _asked(api, scans.ORDERS_IMAGE)).allowed is allowed

        await soon(f"{worker.name} to {'allow' if allowed else 'deny'} it", so)
    return time.perf_counter()
