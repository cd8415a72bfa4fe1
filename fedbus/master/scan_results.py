"""The results that a master gives the federation: of its federated registries, and of CI pipelines.

Those of pipelines are for every cluster only while `deploy_repo_scan_data` says so; until then they are the
master's, under another registry and in another scope. Where one is, is decided when it is written, and
`Deployment` moves it when the setting changes.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from fedbus.bus import publisher
from fedbus.bus.session import Connection
from fedbus.cluster.scans.local_results import scanned
from fedbus.cluster.scans.results import Scanned
from fedbus.core.batches import batches
from fedbus.errors import NotFound
from fedbus.master.changes import BY_MASTER, Change
from fedbus.master.large import Large, packed
from fedbus.master.ledger import Ledger
from fedbus.model import codec, subjects
from fedbus.model.scan import (
    CI_REGISTRY,
    FED_CI_REGISTRY,
    IMAGE,
    REPORT,
    Report,
    ScannedImage,
    image_name,
    report_name,
)
from fedbus.model.targets import source_kind
from fedbus.store.database import Database
from fedbus.store.scans import Brief, is_older, newest_of_each
from fedbus.store.transaction import Transaction

MAX_PART = 8 * 1024 * 1024
"""Bytes of JSON, about six times what is sent, in one changeset that has more than one report."""
_CI = (CI_REGISTRY, FED_CI_REGISTRY)
CI_PLACES = ((subjects.SCOPE_MASTER_SCANS, CI_REGISTRY), (subjects.SCOPE_SCANS, FED_CI_REGISTRY))
"""Where results of pipelines are while they are the master's, and while they are everybody's."""


class _Part(msgspec.Struct):
    """What is written in one changeset."""

    reports: list[tuple[Report, bytes]] = []
    images: list[ScannedImage] = []
    size: int = 0


class FederatedResults:
    """Results that the federation gets."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        large: Large,
        policy: Database,
        connection: Callable[[], Connection],
        deploys_ci: Callable[[], bool],
    ) -> None:
        self._ledger, self._large, self._policy = ledger, large, policy
        self._connection, self._deploys_ci = connection, deploys_ci

    async def put(self, reports: Sequence[Report], images: Sequence[ScannedImage]) -> None:
        """Keep reports and tags; an older scan of a digest never replaces a newer one.

        Nor does a pipeline's older scan take a tag from another digest.
        """
        await self._check_known({r.registry for r in reports} | {i.registry for i in images})
        by_pipelines = newest_of_each(report for report in reports if report.registry in _CI)
        parts = _parts(reports, images)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            await self._put(part, by_pipelines)

    async def _check_known(self, registries: Collection[str]) -> None:
        """Refuse results of a registry that the federation does not have, or that was just deleted."""
        wanted = [name for name in registries if name not in _CI]
        known = await self._policy.read(lambda tx: [name for name in wanted if registry_state(tx, name)])
        for name in wanted:
            if name not in known:
                raise NotFound(f"there is no federated registry {name!r}", code="REGISTRY_UNKNOWN")

    async def _put(self, part: _Part, by_pipelines: Mapping[str, Report]) -> None:
        placed: bool | None = None
        while placed != (placed := self._deploys_ci()):
            await self._put_at(part, by_pipelines, placed)

    async def _put_at(self, part: _Part, by_pipelines: Mapping[str, Report], deploys_ci: bool) -> None:
        """Write a part where results of pipelines belong now; nothing if that has changed meanwhile."""
        async with self._large.writing:
            changes: list[tuple[Report, Change]] = []
            for report, payload in part.reports:
                scope, registry = place(report.registry, deploys_ci=deploys_ci)
                changes.append((report, await self.report_change(scope, registry, report, payload)))

            def plan(tx: Transaction) -> list[Change]:
                if self._deploys_ci() != deploys_ci:
                    return []
                newer = [change for report, change in changes if not _superseded(tx, report)]
                for image in part.images:
                    said = by_pipelines.get(image.digest) if image.registry in _CI else None
                    if said is None or not outdated(tx, image, said):
                        newer.append(image_change(*place(image.registry, deploys_ci=deploys_ci), image))
                return _last_of_each(newer)

            await self._ledger.commit(plan, BY_MASTER)
        self._large.superseded.set()

    async def report_change(self, scope: str, registry: str, report: Report, payload: bytes = b"") -> Change:
        """Return the writing of a report in a registry; of a large one the object is stored first.

        Raises TooLarge, Unavailable.
        """
        if report.registry != registry:
            report, payload = msgspec.structs.replace(report, registry=registry), b""
        # In a thread: megabytes take long enough to be felt by heartbeats.
        payload = payload or await asyncio.to_thread(codec.encode, report)
        found = await asyncio.to_thread(packed, payload) if len(payload) > codec.MAX_BODY else None
        if found is not None:
            await self._large.put(self._connection(), scope, *found)
        return Change(
            scope=scope,
            category=subjects.SCAN,
            kind=REPORT,
            name=report_name(registry, report.digest),
            payload=codec.encode(found[0]) if found is not None else payload,
            large=found is not None,
        )

    async def remove(
        self, registry: str, digests: Collection[str], images: Collection[tuple[str, str]]
    ) -> None:
        """Drop reports by digest and tags by (repository, tag)."""
        changes: list[Change] = [
            gone(scope, name, kind, *what)
            for kind, what in (*((REPORT, (d,)) for d in digests), *((IMAGE, pair) for pair in images))
            for scope, name in _places(registry)
        ]
        for part in batches(changes, publisher.MAX_EVENTS):
            await self._ledger.commit(lambda _, part=part: part, BY_MASTER)  # type: ignore[misc]
        self._large.superseded.set()

    async def forget(self, registry: str) -> None:
        """Drop everything of a registry."""

        def plan(tx: Transaction) -> list[Change]:
            found = [change for at in _places(registry) for change in everything(tx, *at)]
            return found[: publisher.MAX_EVENTS]

        while (await self._ledger.commit(plan, BY_MASTER)).changes:
            pass
        self._large.superseded.set()

    async def reports(self, registry: str) -> list[Scanned]:
        """Return what is held of a registry."""
        found = await self._ledger.database.read(
            lambda tx: [b for scope, name in _places(registry) for b in tx.scans.registry(name, scope)]
        )
        return [scanned(brief) for brief in found]

    async def images(self, registry: str) -> list[ScannedImage]:
        """Return the tags that are held of a registry, under the name that was asked for."""
        found = await self._ledger.database.read(
            lambda tx: [i for scope, name in _places(registry) for i in tx.scans.images(name, scope)]
        )
        return [msgspec.structs.replace(image, registry=registry) for image in found]


def place(registry: str, *, deploys_ci: bool) -> tuple[str, str]:
    """Return scope and name under which results of a registry belong."""
    if registry in _CI:
        return CI_PLACES[deploys_ci]
    return subjects.SCOPE_SCANS, registry


def _places(registry: str) -> tuple[tuple[str, str], ...]:
    """Return where results of a registry may be: those of pipelines may just be moved."""
    return CI_PLACES if registry in _CI else ((subjects.SCOPE_SCANS, registry),)


def _superseded(tx: Transaction, report: Report) -> bool:
    held = (tx.scans.held(scope, name, report.digest) for scope, name in _places(report.registry))
    return any(one is not None and is_older(report, one) for one in held)


def outdated(tx: Transaction, image: ScannedImage, scan: Report | Brief) -> bool:
    """Tell whether a pipeline's tag names another digest by now, by a newer scan than the one given."""
    return any(
        tx.scans.is_outdated(scope, msgspec.structs.replace(image, registry=name), scan)
        for scope, name in CI_PLACES
    )


def registry_state(tx: Transaction, name: str) -> bool | None:
    """Tell whether the federation has a registry: False if it was deleted, None if there never was one."""
    places = (
        (subjects.SCOPE_ALL, "registry"),
        (subjects.SCOPE_MASTER, source_kind("registry")),
    )
    held = [one for scope, kind in places if (one := tx.object(scope, kind, name)) is not None]
    return any(not one.deleted for one in held) if held else None


def everything(tx: Transaction, scope: str, registry: str) -> list[Change]:
    """Return the deletion of everything of a registry."""
    images = [gone(scope, registry, IMAGE, i.repository, i.tag) for i in tx.scans.images(registry, scope)]
    return images + [gone(scope, registry, REPORT, b.digest) for b in tx.scans.registry(registry, scope)]


def _parts(reports: Sequence[Report], images: Sequence[ScannedImage]) -> Iterator[_Part]:
    """Cut what is to be written into changesets, reports before tags."""
    part = _Part([], [])
    for report in reports:
        payload = codec.encode(report)
        if part.reports and (
            len(part.reports) == publisher.MAX_EVENTS or part.size + len(payload) > MAX_PART
        ):
            yield part
            part = _Part([], [])
        part.reports.append((report, payload))
        part.size += len(payload)
    for image in images:
        if len(part.reports) + len(part.images) == publisher.MAX_EVENTS:
            yield part
            part = _Part([], [])
        part.images.append(image)
    if part.reports or part.images:
        yield part


def _last_of_each(changes: Sequence[Change]) -> list[Change]:
    """Return one change an object: the last, which is what writing one after the other would leave."""
    return list({(c.scope, c.kind, c.name): c for c in changes}.values())


def image_change(scope: str, registry: str, image: ScannedImage) -> Change:
    """Return the writing of a tag in a registry."""
    named = msgspec.structs.replace(image, registry=registry)
    return Change(
        scope=scope,
        category=subjects.SCAN,
        kind=IMAGE,
        name=image_name(registry, image.repository, image.tag),
        payload=codec.encode(named),
    )


def gone(scope: str, registry: str, kind: str, *what: str) -> Change:
    """Return the deletion of a report, by digest, or of a tag, by repository and tag."""
    name = report_name(registry, *what) if kind == REPORT else image_name(registry, *what)
    return Change(scope=scope, category=subjects.SCAN, kind=kind, name=name, payload=None)
