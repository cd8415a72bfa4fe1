"""The steps of the story about scan results: they reach every worker, and are found there."""

import time

import msgspec

from fedbus.cli.demo import scans
from fedbus.cli.demo.fleet import Member, Worker, together
from fedbus.cli.demo.runner import Told
from fedbus.cli.demo.scene import Scene, each, expect
from fedbus.model.scan import FED_CI_REGISTRY

SUBMISSION = "/v1/scan/result/repository"


class _Held(msgspec.Struct):
    """What is read of what a daemon holds of a registry."""

    registry: str
    reports: int
    images: int


class _Results(msgspec.Struct):
    registries: list[_Held]


class _Image(msgspec.Struct):
    """What is read of an image that was found."""

    registry: str
    repository: str
    tag: str
    digest: str
    source: str
    critical: int
    age_seconds: int


class _Found(msgspec.Struct):
    image: _Image


class _WithCve(msgspec.Struct):
    total: int
    images: list[_Image]


class _Answer(msgspec.Struct):
    accepted: list[dict[str, object]]
    rejected: list[dict[str, object]]


async def registry(scene: Scene) -> Told:
    """Give the master what a scan of a federated registry found; every worker has it soon after."""
    files = scans.registry()
    began = time.perf_counter()
    await together(_submit(scene, file, into=scans.REGISTRY) for file in files.values())
    took = await _everywhere(scene, scans.REGISTRY, len(files), began)
    return Told(f"{len(files)} reports; on every worker after {each(took)}", max(took.values()))


async def pipeline(scene: Scene) -> Told:
    """Submit what a CI pipeline found: it stays on the master until the toggle lets it go on."""
    await _submit(scene, scans.pipeline())
    for worker in scene.workers():
        expect(FED_CI_REGISTRY not in await held(worker), f"{worker.name} has it while the toggle is off")
    began = time.perf_counter()
    await scene.master.api.call("PATCH", "/v1/fed/config", raw=b'{"deploy_repo_scan_data":true}')
    took = await _everywhere(scene, FED_CI_REGISTRY, 1, began)
    return Told(f"with deploy_repo_scan_data on, on every worker after {each(took)}", max(took.values()))


async def look_up(scene: Scene) -> Told:
    """Ask each worker for an image by digest, and for the images with a vulnerability."""
    for worker in scene.workers():
        found = await worker.api.get("/v1/scan/image", digest=scans.ORDERS)
        image = msgspec.convert(found, _Found).image
        seen = (image.registry, image.repository, image.tag, image.source, image.critical)
        wanted = (scans.REGISTRY, "shop/orders", "2.0", "registry", 5)
        expect(seen == wanted, f"{worker.name} finds {seen} by digest")
        await _expect_only(worker, scans.CRITICAL, (scans.REGISTRY, "shop/orders", "2.0"))
        await _expect_only(worker, scans.PIPELINE_CVE, (FED_CI_REGISTRY, "shop/cart", "0.9"))
    days = image.age_seconds // 86_400
    return Told(
        f"{scans.ORDERS[:13]}... is shop/orders:2.0 of {scans.REGISTRY}, scanned {days} days ago; "
        f"{scans.PIPELINE_CVE} is in shop/cart:0.9, of a pipeline"
    )


async def held(member: Member) -> dict[str, tuple[int, int]]:
    """Return the reports and the tags that a daemon holds, by registry."""
    found = msgspec.convert(await member.api.get("/v1/scan/results"), _Results).registries
    return {one.registry: (one.reports, one.images) for one in found}


async def _submit(scene: Scene, file: bytes, **query: str) -> None:
    """Submit one file; insist that all of it is kept."""
    answer = msgspec.convert(await scene.master.api.call("POST", SUBMISSION, raw=file, query=query), _Answer)
    kept = [one.get("result") for one in answer.accepted]
    expect(kept == ["stored"] and not answer.rejected, f"not stored: {answer}")


async def _everywhere(scene: Scene, registry: str, images: int, began: float) -> dict[str, float]:
    """Wait until every worker holds the images of a registry; return the milliseconds of each."""

    async def reached(worker: Worker) -> float:
        async def there() -> bool:
            return (await held(worker)).get(registry) == (images, images)

        await worker.until(f"{worker.name} to hold the results of {registry}", there)
        return (time.perf_counter() - began) * 1000

    workers = scene.workers()
    took = await together(reached(worker) for worker in workers)
    return {worker.name: ms for worker, ms in zip(workers, took, strict=True)}


async def _expect_only(worker: Worker, cve: str, image: tuple[str, str, str]) -> None:
    """Insist that a vulnerability is in one image and no other."""
    found = msgspec.convert(await worker.api.get(f"/v1/scan/cve/{cve}"), _WithCve)
    seen = [(one.registry, one.repository, one.tag) for one in found.images]
    expect(seen == [image] and found.total == 1, f"{worker.name} finds {cve} in {seen}")
