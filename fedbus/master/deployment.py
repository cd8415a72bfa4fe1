"""Where scan results should be, against where they are: moved and removed until both are the same.

Results of CI pipelines move when `deploy_repo_scan_data` changes; those of a federated registry go when it
is deleted from policy. Each is looked for anew every time, so that a crash in between loses nothing. What has
no registry is left alone unless the store says that there was one and that it was deleted: an empty policy
store never takes scan results away.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from fedbus.master.changes import BY_MASTER, Change
from fedbus.master.large import Large
from fedbus.master.ledger import Ledger
from fedbus.master.scan_results import (
    CI_PLACES,
    MAX_PART,
    FederatedResults,
    gone,
    image_change,
    outdated,
    registry_state,
)
from fedbus.model import codec, subjects
from fedbus.model.scan import FED_CI_REGISTRY, IMAGE, REPORT, Report, ScannedImage
from fedbus.store.database import Database
from fedbus.store.scans import is_older
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Reports that are moved in one changeset; each is one event here and one there."""


class _Found(msgspec.Struct, frozen=True):
    """Some of what is in the wrong place."""

    reports: list[Report]
    images: list[ScannedImage]


class Deployment:
    """Keeps scan results where they should be."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Database,
        results: FederatedResults,
        large: Large,
        deploys_ci: Callable[[], bool],
    ) -> None:
        self._ledger, self._policy, self._results = ledger, policy, results
        self._large, self._deploys_ci = large, deploys_ci
        self.stir = asyncio.Event()
        """Set when a setting or a registry changed."""

    async def keep(self) -> None:
        """Move and remove, at once and whenever something changed. Raises Unavailable."""
        while True:
            self.stir.clear()
            await self.settle()
            await self.stir.wait()

    async def settle(self) -> None:
        """Have everything where it should be. Raises Unavailable."""
        for registry in await self._deleted():
            log.info("registry_results_removed", registry=registry)
            await self._results.forget(registry)
        deploys_ci = self._deploys_ci()
        while await self._move(CI_PLACES[not deploys_ci], CI_PLACES[deploys_ci]):
            pass

    async def _deleted(self) -> list[str]:
        held = await self._ledger.database.read(lambda tx: tx.scans.registries(subjects.SCOPE_SCANS))
        names = sorted(held - {FED_CI_REGISTRY})
        return await self._policy.read(
            lambda tx: [name for name in names if registry_state(tx, name) is False]
        )

    async def _move(self, source: tuple[str, str], target: tuple[str, str]) -> bool:
        """Move some results of pipelines; tell whether there were any."""
        found = await self._ledger.database.read(lambda tx: _some(tx, source))
        if not found.reports and not found.images:
            return False
        async with self._large.writing:
            reports = [(one, await self._results.report_change(*target, one)) for one in found.reports]
            done = await self._ledger.commit(self._plan(source, target, reports, found.images), BY_MASTER)
        self._large.superseded.set()
        return bool(done.changes)

    def _plan(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        reports: Sequence[tuple[Report, Change]],
        images: Sequence[ScannedImage],
    ) -> Callable[[Transaction], Sequence[Change]]:
        def plan(tx: Transaction) -> Sequence[Change]:
            if CI_PLACES[self._deploys_ci()] != target:
                return []
            changes = []
            for report, change in reports:
                held = tx.scans.held(*target, report.digest)
                if held is None or not is_older(report, held):
                    changes.append(change)
                changes.append(gone(*source, REPORT, report.digest))
            for image in images:
                places = (source, target)  # its report may have been moved before it
                held = next((b for at in places if (b := tx.scans.held(*at, image.digest))), None)
                if held is None or not outdated(tx, image, held):
                    changes.append(image_change(*target, image))
                changes.append(gone(*source, IMAGE, image.repository, image.tag))
            return changes

        return plan


def _some(tx: Transaction, source: tuple[str, str]) -> _Found:
    scope, registry = source
    reports: list[Report] = []
    size = 0
    for brief in tx.scans.registry(registry, scope, limit=AT_ONCE):
        payload = tx.scans.payload(brief)
        size += len(payload)
        if reports and size > MAX_PART:
            break
        reports.append(codec.decode(payload, Report))
    return _Found(reports, tx.scans.images(registry, scope, limit=AT_ONCE))
