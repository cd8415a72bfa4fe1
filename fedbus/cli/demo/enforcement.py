"""The steps in which what arrived decides something: scan results everywhere, and a denial by them."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from fedbus.cli.demo import documents, review, scans
from fedbus.cli.demo.fleet import WAIT_SECONDS, Worker, together
from fedbus.cli.demo.runner import Told
from fedbus.cli.demo.scene import Scene, expect
from fedbus.cli.errors import ApiError, CliError
from fedbus.cli.exit_codes import ExitCode

ORDERS = "registry.shop.example/shop/orders:2.0"
CVE = "CVE-2019-20409"
"""An image of the demo's registry, and a vulnerability that its scan found."""
SUBMIT = "/v1/scan/result/repository"
LOOK_EVERY = 0.01
WITHIN_MS = 1000.0
"""How long it may take until every webhook knows a rule, or knows that it is gone."""


class _Accepted(msgspec.Struct):
    digest: str
    result: str


class _Submitted(msgspec.Struct):
    accepted: list[_Accepted]


class _Image(msgspec.Struct):
    registry: str


class _WithCve(msgspec.Struct):
    images: list[_Image]


async def scan(scene: Scene) -> Told:
    """Give the federation a registry's results and a pipeline's; they reach every worker."""
    await scene.master.api.call("PATCH", "/v1/fed/config", raw=b'{"deploy_repo_scan_data": true}')
    began = time.perf_counter()
    digests = [await _submitted(scene, file, scans.REGISTRY) for file in scans.registry()]
    pipelines = await _submitted(scene, scans.pipeline())
    took = await together(_has_all(worker, [*digests, pipelines]) for worker in scene.workers())
    for worker in scene.workers():
        found = msgspec.convert(await worker.api.get(f"/v1/scan/cve/{CVE}"), _WithCve).images
        expect([one.registry for one in found] == [scans.REGISTRY], f"{worker.name} finds {CVE} in {found}")
        await scene.master.shows(
            worker.name, "synced with its scan results", lambda row: row.sync.state == "synced"
        )
    slowest = max(took) - began
    return Told(
        f"{len(digests)} images of {scans.REGISTRY} and 1 of a pipeline in every worker "
        f"{slowest * 1000:.0f} ms after the first was submitted",
        slowest * 1000,
    )


async def deny(scene: Scene) -> Told:
    """Publish a denial of a vulnerability; every worker's webhook denies what has it."""
    for worker in scene.workers():
        answer = await review.ask(worker.directory, ORDERS)
        expect(answer.allowed, f"{worker.name} denies already: {answer.status.message}")
    began = time.perf_counter()
    done = await scene.master.api.call(
        "POST", "/v1/fed/apply", raw=documents.denial(), content_type="application/yaml"
    )
    scene.denial = str(msgspec.convert(done["changes"], list[dict[str, object]])[0]["name"])
    answers = await _all(scene, lambda answer: not answer.allowed)
    took = (time.perf_counter() - began) * 1000
    expect(took < WITHIN_MS, f"it took {took:.0f} ms until every webhook denied")
    for name, answer in answers.items():
        why = answer.status.message
        for said in (scene.denial, CVE, ORDERS):
            expect(said in why, f"{name} does not say {said}: {why}")
    return Told(f"{next(iter(answers.values())).status.message}", took)


async def allow(scene: Scene) -> Told:
    """Delete the rule; every webhook allows the same again."""
    began = time.perf_counter()
    await scene.master.api.call("DELETE", f"/v1/admission/rule/{scene.denial}")
    await _all(scene, lambda answer: answer.allowed)
    took = (time.perf_counter() - began) * 1000
    expect(took < WITHIN_MS, f"it took {took:.0f} ms until every webhook allowed it again")
    return Told(f"every webhook allows {ORDERS} again", took)


async def _submitted(scene: Scene, file: bytes, into: str = "") -> str:
    """Submit a result to the master; return the digest of its image."""
    answer = await scene.master.api.call("POST", SUBMIT, raw=file, query={"into": into} if into else None)
    (accepted,) = msgspec.convert(answer, _Submitted).accepted
    expect(accepted.result == "stored", f"a newer scan of {accepted.digest} is there")
    return accepted.digest


async def _has_all(worker: Worker, digests: list[str]) -> float:
    """Wait until a worker can show all these images; return when it could (`perf_counter`)."""

    async def check() -> bool:
        for digest in digests:
            try:
                await worker.api.get("/v1/scan/image", digest=digest)
            except ApiError as error:
                if error.code is ExitCode.NOT_FOUND:
                    return False
                raise
        return True

    await worker.until(f"{worker.name} to have the scan results", check)
    return time.perf_counter()


async def _all(scene: Scene, wanted: Callable[[review.Response], bool]) -> dict[str, review.Response]:
    """Ask every worker's webhook until it answers as wanted."""
    workers = scene.workers()
    answers = await together(_asked(worker, wanted) for worker in workers)
    return {worker.name: answer for worker, answer in zip(workers, answers, strict=True)}


async def _asked(worker: Worker, wanted: Callable[[review.Response], bool]) -> review.Response:
    # Nothing tells when a webhook has taken a rule up: an API server would not know either.
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                answer = await review.ask(worker.directory, ORDERS)
                if wanted(answer):
                    return answer
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError as error:
        raise CliError(f"the webhook of {worker.name} goes on to say: {answer}") from error
