"""Results that are submitted: read, and kept unless a newer scan of the same digest is held.

They are of CI pipelines, or of a registry that somebody else scanned.

NeuVector drops the second scan of an image without a word; here the newer one counts, by when it was
scanned and then by how new the database was, and whoever sends an older one is told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from fedbus.cluster.scans.results import Results, Scanned
from fedbus.core.scan.identity import Given
from fedbus.core.scan.vex import Statements
from fedbus.errors import Fault, FedbusError, InvalidInput, TooLarge, Unavailable
from fedbus.model.scan import CI_REGISTRY, Report, ScannedImage, Source
from fedbus.runtime import Clock
from fedbus.scan.importers import Format, Imported, Rejected, openvex, read
from fedbus.scan.importers.reading import decode

AT_ONCE = 3
"""Submissions that are read at the same time; the others wait."""

Held = Callable[[str], Awaitable[Scanned | None]]
"""What is held of a digest where results go."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where results go, and what they are there; an empty address leaves the one that they say."""

    put: Callable[[Sequence[Report], Sequence[ScannedImage]], Awaitable[None]]
    held: Held
    registry: str = CI_REGISTRY
    registry_url: str = ""
    source: Source = "ci"


Registry = Callable[[str], Awaitable[Destination]]
"""Finds where results of a registry go, by its name. Raises NotFound, Unavailable."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A report that was understood: stored, or older than `older_than`, which stays."""

    repository: str
    tag: str
    digest: str
    result: Literal["stored", "older"]
    scanned_at: float
    vulnerabilities: int
    critical: int
    high: int
    older_than: Scanned | None = None


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every report of a submission."""

    format: Format
    accepted: list[Accepted]
    rejected: list[Rejected]


class _Envelope(msgspec.Struct, frozen=True):
    """A scan and OpenVEX documents about it, in one body."""

    scan: msgspec.Raw = msgspec.Raw()
    vex: list[msgspec.Raw] | None = None


class Submissions:
    """Takes what pipelines submit into this cluster, or on a master into the federation."""

    def __init__(self, results: Callable[[], Results], held: Held, clock: Clock, registry: Registry) -> None:
        self._results, self._held, self._clock, self._registry = results, held, clock, registry
        self.turns = asyncio.Semaphore(AT_ONCE)

    async def submit(self, raw: bytes, given: Given, form: Format | None = None, into: str = "") -> Submitted:
        """Keep the reports of a file, or of `{"scan": FILE, "vex": [OpenVEX, ...]}`.

        They become results of the registry `into`, by its name, or else of pipelines. Raises InvalidInput
        when none of them can be kept, NotFound for a registry that is not scanned here, TooLarge,
        Unavailable.
        """
        if into:
            to = await self._registry(into)
        else:
            to = Destination(put=self._results().put, held=self._held)
        # In a thread: a large file takes long enough to be felt by heartbeats.
        found = await asyncio.to_thread(_read, raw, given, form, self._clock.now())
        rejected = list(found.rejected)
        reports = [_of(to, report) for report in found.reports]
        held = {report.digest: await to.held(report.digest) for report in reports}
        refused = await _put(to, reports)
        rejected += refused.values()
        accepted = [
            _accepted(report, held[report.digest])
            for number, report in enumerate(reports)
            if number not in refused
        ]
        if rejected and not accepted:
            raise _none_kept(rejected)
        return Submitted(format=found.format, accepted=accepted, rejected=rejected)


async def _put(to: Destination, reports: Sequence[Report]) -> dict[int, Rejected]:
    """Keep reports; return those that were refused, by number. Raises Unavailable."""
    try:
        await to.put(reports, [_image(to, report) for report in reports])
    except Unavailable:
        raise
    except FedbusError as error:
        if len(reports) == 1:
            return {0: _refused(reports[0], error)}
    else:
        return {}
    refused = {}
    for number, report in enumerate(reports):  # one of them is refused: the others need not be
        try:
            await to.put([report], [_image(to, report)])
        except (InvalidInput, TooLarge) as error:
            refused[number] = _refused(report, error)
    return refused


def _read(raw: bytes, given: Given, form: Format | None, received: float) -> Imported:
    statements: Statements | None = None
    if raw[:64].lstrip().startswith(b"{"):
        envelope: _Envelope = decode(raw, _Envelope)
        if bytes(envelope.scan):
            raw, statements = bytes(envelope.scan), openvex.read(envelope.vex or ())
    return read(raw, received=received, given=given, form=form, statements=statements)


def _of(to: Destination, report: Report) -> Report:
    url = to.registry_url or report.registry_url
    return msgspec.structs.replace(report, registry=to.registry, registry_url=url, source=to.source)


def _image(to: Destination, report: Report) -> ScannedImage:
    """Return the tag of a report; without one the image is listed under its digest."""
    return ScannedImage(
        registry=to.registry,
        repository=report.repository,
        tag=report.tag or report.digest,
        digest=report.digest,
        image_id=report.image_id,
    )


def _accepted(report: Report, held: Scanned | None) -> Accepted:
    severities = [one.severity for one in report.vulnerabilities]
    older = held is not None and _age(report) < _age(held)
    return Accepted(
        repository=report.repository,
        tag=report.tag,
        digest=report.digest,
        result="older" if older else "stored",
        scanned_at=report.scanned_at,
        vulnerabilities=len(severities),
        critical=severities.count("Critical"),
        high=severities.count("High"),
        older_than=held if older else None,
    )


def _age(scan: Report | Scanned) -> tuple[float, str]:
    return scan.scanned_at, scan.cvedb_create_time


def _refused(report: Report, error: FedbusError) -> Rejected:
    name = f"{report.repository}:{report.tag or report.digest}"
    return Rejected(name, error.message, error.code, error.remedy)


def _none_kept(rejected: Sequence[Rejected]) -> InvalidInput:
    """Make the error of a submission of which nothing was kept; it has the code that all reasons share."""
    codes = {one.code for one in rejected}
    first = rejected[0]
    return InvalidInput(
        f"Nothing of it can be kept: {first.path}: {first.message}",
        tuple(Fault(one.path, one.message) for one in rejected[:100]),
        code=first.code if len(codes) == 1 else None,
        remedy=first.remedy,
    )
