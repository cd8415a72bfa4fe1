"""One run over one registry: list it, drop what is gone, scan what is new, keep what was found."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from fedbus.cluster.registries.listing import Bounds, Listing, Wanted, each, list_images
from fedbus.cluster.scans.results import Results
from fedbus.core import backoff
from fedbus.core.batches import batches
from fedbus.core.registry.access import Address, Credentials, address_of, credentials_of
from fedbus.core.registry.filters import FilterError, Selection
from fedbus.core.registry.plan import Again, Known, Plan, plan
from fedbus.errors import FedbusError, InvalidInput, TooLarge, Unavailable
from fedbus.model.policy.registry import Registry
from fedbus.model.registry_run import Failure, RegistryStatus, Run
from fedbus.model.scan import Report, ScannedImage
from fedbus.runtime import Clock, rfc3339
from fedbus.scan.oci.client import Client
from fedbus.scan.scanners.interface import Database, ScanError, Scanner, Target

PUT_AT_ONCE = 500
"""Tags that are kept in one step."""

Connect = Callable[[Address, Credentials, bool], Client]
"""What opens a registry; the last says whether to use the proxy of the environment."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What all runs of a cluster share; `turns` bounds how many images are scanned at once."""

    connect: Connect
    scanner: Scanner
    clock: Clock
    turns: asyncio.Semaphore
    at_once: int
    platforms: tuple[str, ...]
    max_images: int
    max_bytes: int


class RegistryRun:
    """Does one run; `run` says all the time where it stands, and `save` keeps that."""

    def __init__(
        self,
        registry: Registry,
        *,
        secrets: dict[str, str],
        results: Callable[[], Results],
        run: Run,
        shared: Running,
        save: Callable[[Run], Awaitable[None]],
    ) -> None:
        self._registry, self._results, self.run, self._shared = registry, results, run, shared
        self._address, self._credentials = address_of(registry), credentials_of(registry, secrets)
        self._save = save

    async def do(self) -> None:
        """Do it to its end. Raises FedbusError where nothing more of it can be done."""
        listing = await self._list()  # first: a registry that does not answer is worth no download
        database = await self._shared.scanner.prepare()
        self.run.cvedb_version, self.run.cvedb_create_time = database.version, database.created_at
        planned = await self._plan(listing, database)
        self._count(listing, planned)
        await self._settle(planned)
        self.run.state = "scanning"
        await self._save(self.run)
        wanted = [listing.wanted[digest] for digest in planned.scan]
        await each(wanted, self._shared.at_once, self._scan_one)
        self.run.state, self.run.ended_at = "done", self._shared.clock.now()

    async def _list(self) -> Listing:
        registry = self._registry
        try:
            selection = Selection(registry.filters, registry.registry_type)
        except FilterError as error:
            raise InvalidInput(f"a filter of the registry cannot be used: {error}") from error
        bounds = Bounds(
            repositories=registry.repo_limit, tags=registry.tag_limit, images=self._shared.max_images
        )
        async with self._shared.connect(
            self._address, self._credentials, not registry.ignore_proxy
        ) as client:
            return await list_images(client, registry.name, selection, bounds, self._shared.platforms)

    async def _plan(self, listing: Listing, database: Database) -> Plan:
        name = self._registry.name
        held = {
            one.digest: Known(one.scanned_at, one.cvedb_version)
            for one in await self._results().reports(name)
        }
        again = Again(
            reason=self.run.reason,
            database=database.version,
            since=self.run.started_at,
            rescan_after_update=self._registry.rescan_after_db_update,
        )
        images = await self._results().images(name)
        return plan(listing.found, images, held, list(listing.wanted), again=again)

    def _count(self, listing: Listing, planned: Plan) -> None:
        run = self.run
        run.images = sum(":" not in image.tag for image in listing.found.images)
        run.digests, run.scheduled = len(listing.wanted), len(planned.scan)
        run.scanned, run.failed = run.digests - run.scheduled, 0
        run.failures, run.limits = [], list(listing.limits)
        for failure in listing.failures:
            run.fail(failure)

    async def _settle(self, planned: Plan) -> None:
        """Keep the tags as they are now, and drop what is gone."""
        for part in batches(planned.tags, PUT_AT_ONCE):
            await self._put([], part)
        if planned.gone_tags or planned.gone_digests:
            name = self._registry.name
            await self._lasting(lambda: self._results().remove(name, planned.gone_digests, planned.gone_tags))

    async def _scan_one(self, wanted: Wanted) -> None:
        async with self._shared.turns:
            self.run.scheduled -= 1
            self.run.scanning += 1
            try:
                await self._scanned(wanted)
                self.run.scanned += 1
            except (ScanError, TooLarge, InvalidInput) as error:
                if error.code == "SCANNER_MISSING":
                    raise
                self.run.fail(
                    Failure(
                        repository=wanted.repository,
                        tag=wanted.tag,
                        digest=wanted.digest,
                        code=error.code,
                        message=error.message,
                    )
                )
            finally:
                self.run.scanning -= 1

    async def _scanned(self, wanted: Wanted) -> None:
        most = self._shared.max_bytes
        if wanted.size > most:
            raise ScanError(
                f"the layers have {wanted.size >> 20} MiB, more than {most >> 20} (scan_max_image_mb)",
                code="SCAN_TOO_LARGE",
            )
        target = Target(
            address=self._address,
            repository=wanted.repository,
            digest=wanted.digest,
            platform=wanted.platform,
            credentials=self._credentials,
            proxy=not self._registry.ignore_proxy,
        )
        report = self._named(await self._shared.scanner.scan(target), wanted)
        await self._put([report], [])

    def _named(self, report: Report, wanted: Wanted) -> Report:
        return msgspec.structs.replace(
            report,
            registry=self._registry.name,
            registry_url=self._address.url,
            tag=wanted.tag,
            image_id=wanted.image_id,
            source="registry",
        )

    async def _put(self, reports: Sequence[Report], tags: Sequence[ScannedImage]) -> None:
        await self._lasting(lambda: self._results().put(reports, tags))

    async def _lasting(self, keep: Callable[[], Awaitable[None]]) -> None:
        """Keep results however long it takes: what was scanned is not thrown away for a bus that is down."""
        attempt = 0
        while True:
            attempt += 1
            try:
                await keep()
            except Unavailable:
                await asyncio.sleep(backoff.delay(attempt, self._shared.clock.jitter()))
            else:
                return


def failed(run: Run, error: FedbusError, now: float) -> None:
    """Note that a run came to nothing more; what is held of its registry stays."""
    run.state, run.ended_at, run.scheduled = "failed", now, 0
    run.error_code, run.error_message, run.error_detail = error.code, error.message, error.remedy


def status(run: Run | None) -> RegistryStatus:
    """Return where a registry stands, as its summary says it."""
    if run is None:
        return RegistryStatus()
    return RegistryStatus(
        status="scanning" if run.going else "idle",
        error_message=run.error_message,
        error_detail=run.error_detail,
        error_code=run.error_code,
        started_at=_moment(run.started_at),
        ended_at=_moment(run.ended_at),
        scheduled=run.scheduled,
        scanning=run.scanning,
        scanned=run.scanned,
        failed=run.failed,
        cvedb_version=run.cvedb_version,
        cvedb_create_time=run.cvedb_create_time,
        state=run.state,
        reason=run.reason,
        images=run.images,
        limits=tuple(run.limits),
        failures=tuple(run.failures),
    )


def notice(run: Run) -> dict[str, object]:
    """Return what those who listen are told of a run."""
    return {"name": run.registry, **msgspec.structs.asdict(status(run))}


def _moment(seconds: float) -> str:
    return rfc3339(seconds, "seconds") if seconds else ""
