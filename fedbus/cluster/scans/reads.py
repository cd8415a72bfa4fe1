"""Looking up scan results over REST, the same on both daemons: by image, by registry, and by vulnerability.

Of one digest the newest scan is shown, whatever its source. Under `/v1/scan/registry/{name}` a registry's
own results are, as NeuVector has them.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from fedbus.cluster.scans import shown as scan_shown
from fedbus.cluster.scans.shown import ShownImages, ShownReport, WithCve
from fedbus.core.image_reference import host_of, image_reference
from fedbus.errors import Fault, InvalidInput, NotFound
from fedbus.model import codec
from fedbus.model.scan import Report
from fedbus.runtime import Clock
from fedbus.store.database import Database
from fedbus.store.scans import Brief, Counts
from fedbus.store.transaction import Transaction
from fedbus.web import respond
from fedbus.web.openapi import Parameter, described

MAX_PAGE = 1000
T = TypeVar("T")

_LIMIT = Parameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}, "How many to answer (100)"
)
_CURSOR = Parameter("cursor", {"type": "string"}, "The next_cursor of the page before")
_IMAGE = (
    Parameter(
        "image", {"type": "string"}, "The image as a workload names it: registry/repository:tag@digest"
    ),
    Parameter("digest", {"type": "string"}, "The image's digest"),
    Parameter("image_id", {"type": "string"}, "The image's id"),
    Parameter("repository", {"type": "string"}, "With tag: the image's repository"),
    Parameter("tag", {"type": "string"}, "With repository; latest unless given"),
    Parameter("registry", {"type": "string"}, "With repository: only in the registry at this address"),
)


class Answered(msgspec.Struct, frozen=True):
    """What is held of every registry."""

    registries: list[Counts]


class Layers(msgspec.Struct, frozen=True):
    """NeuVector's answer about the layers of an image."""

    report: dict[str, object]


def routes(database: Database, clock: Clock) -> list[web.RouteDef]:
    """Make the routes."""
    reads = ScanReads(database, clock)
    return [
        web.get("/v1/scan/registry/{name}/images", reads.of_registry),
        web.get("/v1/scan/registry/{name}/image/{id}", reads.report),
        web.get("/v1/scan/registry/{name}/layers/{id}", reads.layers),
        web.get("/v1/scan/image", reads.image),
        web.get("/v1/scan/images", reads.images),
        web.get("/v1/scan/cve/{name}", reads.cve),
        web.get("/v1/scan/results", reads.results),
    ]


class ScanReads:
    """One method a route."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    @described("List a registry's images", answer=ShownImages, query=(_LIMIT, _CURSOR), tag="scan")
    async def of_registry(self, request: web.Request) -> web.Response:
        """List a registry's images, all of them unless asked otherwise."""
        limit = _limit(request) if "limit" in request.query else None
        return await self._page(request, request.match_info["name"], "", limit)

    @described(
        "List and search images of all registries",
        answer=ShownImages,
        query=(
            Parameter("registry", {"type": "string"}, "Only of this registry, by its name here"),
            Parameter("q", {"type": "string"}, "What repository, tag or digest have in them"),
            _LIMIT,
            _CURSOR,
        ),
        tag="scan",
    )
    async def images(self, request: web.Request) -> web.Response:
        """List and search images."""
        query = request.query
        return await self._page(request, query.get("registry", ""), query.get("q", ""), _limit(request))

    async def _page(self, request: web.Request, registry: str, text: str, limit: int | None) -> web.Response:
        after, now = _cursor(request, tuple[str, str, str]), self._clock.now()
        found = await self._database.read(
            lambda tx: tx.scans.listed(
                registry=registry, text=text, after=after or (), limit=-1 if limit is None else limit + 1
            )
        )
        page = found if limit is None else found[:limit]
        more = ""
        if len(found) > len(page):
            last = page[-1].image
            more = _said((last.registry, last.repository, last.tag))
        return respond.json(
            ShownImages(images=[scan_shown.listed(one, now) for one in page], next_cursor=more)
        )

    @described("Show a registry's report of an image", answer=ShownReport, tag="scan")
    async def report(self, request: web.Request) -> web.Response:
        """Show a registry's own report, by image id or digest."""
        return await self._shown(*await self._of_registry(request))

    @described("Show the layers of an image and what is wrong with each", answer=Layers, tag="scan")
    async def layers(self, request: web.Request) -> web.Response:
        """Show the layers of an image, by image id or digest."""
        _, payload = await self._of_registry(request)
        return respond.encoded(await asyncio.to_thread(_layers, payload))

    async def _shown(self, brief: Brief, payload: bytes) -> web.Response:
        # In a thread: of megabytes it takes long enough to be felt by heartbeats, and by admission if the
        # store's own thread did it.
        return respond.encoded(await asyncio.to_thread(_report, brief, payload, self._clock.now()))

    async def _of_registry(self, request: web.Request) -> tuple[Brief, bytes]:
        registry, image = request.match_info["name"], request.match_info["id"]

        def read(tx: Transaction) -> tuple[Brief, bytes] | None:
            brief = tx.scans.in_registry(registry, image)
            return None if brief is None else (brief, tx.scans.payload(brief))

        return _there(await self._database.read(read), f"the registry {registry!r} has no image {image!r}")

    @described("Show the newest report of an image, whatever its source", answer=ShownReport, query=_IMAGE,
               tag="scan")  # fmt: skip
    async def image(self, request: web.Request) -> web.Response:
        """Show the newest report of an image."""
        find = _sought(request)

        def read(tx: Transaction) -> tuple[Brief, bytes] | None:
            brief = find(tx)
            return None if brief is None else (brief, tx.scans.payload(brief))

        return await self._shown(*_there(await self._database.read(read), "no such image was scanned"))

    @described("List the images that have a vulnerability", answer=WithCve, query=(_LIMIT, _CURSOR),
               tag="scan")  # fmt: skip
    async def cve(self, request: web.Request) -> web.Response:
        """List the images that have a vulnerability, in all registries."""
        name, limit = request.match_info["name"], _limit(request)
        after, now = _cursor(request, int) or 0, self._clock.now()

        def read(tx: Transaction) -> WithCve:
            briefs = tx.scans.with_cve(name, after=after, limit=limit + 1)
            page = briefs[:limit]
            images = []
            for brief in page:
                tags = [t for t in tx.scans.tags_of(brief.digest) if t.registry == brief.registry]
                images += [scan_shown.image(brief, now, tag) for tag in tags or (None,)]
            return WithCve(
                cve=name.upper(),
                total=tx.scans.counted_with_cve(name),
                images=images,
                next_cursor=_said(page[-1].id) if len(briefs) > len(page) else "",
            )

        return respond.json(await self._database.read(read))

    @described("Count what is held of each registry", answer=Answered, tag="scan")
    async def results(self, _request: web.Request) -> web.Response:
        """Count what is held of each registry."""
        return respond.json(Answered(await self._database.read(lambda tx: tx.scans.counts())))


def _report(brief: Brief, payload: bytes, now: float) -> bytes:
    report = scan_shown.report(codec.decode(payload, Report))
    return msgspec.json.encode(ShownReport(image=scan_shown.image(brief, now), report=report))


def _layers(payload: bytes) -> bytes:
    return msgspec.json.encode(Layers({"layers": scan_shown.layers(codec.decode(payload, Report))}))


def _sought(request: web.Request) -> Callable[[Transaction], Brief | None]:
    query = request.query
    if image := query.get("image"):
        name = image_reference(image)
        return lambda tx: next(iter(tx.scans.of_image(name)), None)
    if digest := query.get("digest"):
        return lambda tx: tx.scans.by_digest(digest)
    if image_id := query.get("image_id"):
        return lambda tx: tx.scans.by_image_id(image_id)
    if repository := query.get("repository"):
        tag, registry = query.get("tag", "latest"), query.get("registry", "")
        return lambda tx: tx.scans.by_tag(repository, tag, host_of(registry))
    raise InvalidInput("which image? give image, digest, image_id, or repository and tag")


def _there(found: T | None, message: str) -> T:
    if found is None:
        raise NotFound(message, code="NOT_SCANNED")
    return found


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "100")
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE):
        message = f"limit is a number from 1 to {MAX_PAGE}, not {text[:64]!r}"
        raise InvalidInput(message, (Fault("limit", message),))
    return int(text)


def _said(place: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _cursor(request: web.Request, kind: type[T]) -> T | None:
    text = request.query.get("cursor", "")
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii", "replace") + b"=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError) as error:
        message = "cursor is none that a list answered"
        raise InvalidInput(message, (Fault("cursor", message),)) from error
