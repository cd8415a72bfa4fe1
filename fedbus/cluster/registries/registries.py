"""The registries that a cluster scans: when each is, what goes on, and what goes with one that is gone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog

from fedbus.cluster.registries.credentials import CredentialStore
from fedbus.cluster.registries.run import RegistryRun, Running, failed, status
from fedbus.cluster.scans.results import Results
from fedbus.core.registry.plan import Reason, due
from fedbus.errors import Conflict, FedbusError, NotFound, Unavailable
from fedbus.model import codec
from fedbus.model.objects import StoredObject
from fedbus.model.policy.registry import Registry
from fedbus.model.registry_run import RegistryStatus, Run
from fedbus.model.scan import Report, ScannedImage, is_federated
from fedbus.runtime import first
from fedbus.store.database import Database

log = structlog.get_logger(__name__)

TICK = 2.0
"""Seconds between looks at the registries, their schedules and what became of them."""
DATABASE_SECONDS = 3600.0
"""Seconds between looks for a newer vulnerability database."""

Definitions = Mapping[str, Callable[[], Awaitable[list[StoredObject]]]]
"""By scope, what lists the registries of it that this cluster scans.

Raises Unavailable while nobody knows them: then none of them is scanned, and none forgotten.
"""


class _Going(msgspec.Struct):
    run: Run
    task: asyncio.Task[None]


class Registries:
    """Scans registries by schedule and on demand; a service of the daemon.

    `results` says where the results of a registry go, `on_changed` is told the name after each change of
    state.
    """

    def __init__(
        self,
        *,
        definitions: Definitions,
        results: Callable[[str], Results],
        credentials: CredentialStore,
        database: Database,
        shared: Running,
        on_changed: Callable[[Run], None] = lambda _: None,
    ) -> None:
        self._definitions, self._results, self.credentials = definitions, results, credentials
        self._database, self.shared, self._on_changed = database, shared, on_changed
        self._clock = shared.clock
        self._known: dict[str, Registry] = {}
        self._runs: dict[str, Run] = {}
        self._going: dict[str, _Going] = {}
        self._loaded = False
        self._poked, self._looking = asyncio.Event(), asyncio.Lock()

    # what can be asked for

    def poke(self) -> None:
        """Look at the registries now: something was changed."""
        self._poked.set()

    async def status(self, name: str) -> RegistryStatus:
        """Return where a registry stands."""
        await self._load()
        return status(self._runs.get(name))

    async def start(self, name: str, reason: Reason) -> RegistryStatus:
        """Begin a run over a registry; one that goes on already is left to. Raises NotFound, Unavailable."""
        await self._load()
        if name not in self._known:
            await self._look()
        if name not in self._known:
            raise NotFound(f"There is no registry {name!r} that is scanned here")
        held = self._runs.get(name)
        if held is None or not held.going:
            await self._begin(name, reason)
            self.poke()
        return await self.status(name)

    async def stop(self, name: str) -> RegistryStatus:
        """End the run over a registry; what it scanned stays. Raises NotFound."""
        await self._load()
        run = self._runs.get(name)
        if run is None and name not in self._known:
            raise NotFound(f"There is no registry {name!r} that is scanned here")
        if run is not None and run.going:
            await self._cancel(name)
            if run.going:  # it did not end meanwhile by itself
                run.state, run.ended_at, run.scheduled, run.scanning = "stopped", self._clock.now(), 0, 0
                await self._save(run)
        return await self.status(name)

    async def take(self, name: str, reports: Sequence[Report], images: Sequence[ScannedImage]) -> None:
        """Keep results of a registry that were found elsewhere; its next scan drops what it has not.

        Raises as `Results.put`.
        """
        await self._load()
        await self._has_results(name)
        await self._results(name).put(reports, images)
        await self._has_results(name)  # again: it may have been forgotten meanwhile

    async def _has_results(self, name: str) -> None:
        """Note that there are results of a registry, so that they go when it goes."""
        if name not in self._runs:
            run = Run(registry=name, reason="submitted", state="done", ended_at=self._clock.now())
            self._runs[name] = run
            await self._save(run)

    async def definition(self, name: str) -> Registry:
        """Return a registry. Raises NotFound, Unavailable."""
        if name not in self._known:
            await self._look()
        if name not in self._known:
            raise NotFound(f"There is no registry {name!r} that is scanned here")
        return self._known[name]

    async def address(self, name: str) -> str:
        """Return the address of a registry, empty if there is none of that name. Raises Unavailable."""
        await self._look()
        return self._known[name].registry if name in self._known else ""

    # the service

    async def run(self, stop: asyncio.Event) -> None:
        """Scan whenever it is due, until `stop`; runs that are cut go on at the next start."""
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch_database(), name="vulnerability database")
            while not stop.is_set():
                self._poked.clear()
                try:
                    await self._load()
                    await self._look()
                    await self._schedule(group)
                except FedbusError as error:
                    log.warning("registries_not_read", error=error.message, remedy=error.remedy)
                await first(stop.wait(), self._poked.wait(), timeout=TICK)
            for task in (watch, *(going.task for going in self._going.values())):
                task.cancel()

    async def _load(self) -> None:
        if not self._loaded:
            held = await self._database.read(lambda tx: tx.runs.all())
            if not self._loaded:
                self._runs, self._loaded = held, True

    async def _look(self) -> None:
        """Read the registries of every scope that is known, and forget those that are gone."""
        async with self._looking:
            await self._look_once()

    async def _look_once(self) -> None:
        # Before the registries themselves: what is made meanwhile has both, or is none of these.
        having = await self.credentials.names()
        unknown: list[str] = []
        found: dict[str, Registry] = {}
        for scope, read in self._definitions.items():
            try:
                held = await read()
            except Unavailable:
                unknown.append(scope)
                continue
            found |= {one.name: codec.decode(one.payload, Registry) for one in held}
        if "fed" in unknown:
            found |= {name: one for name, one in self._known.items() if is_federated(name)}
        self._known = found
        for name in sorted((self._runs.keys() | having.keys()) - found.keys()):
            if not ("fed" in unknown and is_federated(name)):
                await self._forget(name, having.get(name, 0))

    async def _forget(self, name: str, credentials: int) -> None:
        """Drop a registry that is gone: its results first, so that a crash in between repeats it."""
        await self._cancel(name)
        try:
            await self._results(name).forget(name)
        except Unavailable as error:
            log.warning("registry_not_forgotten", registry=name, error=error.message)
            return
        except Conflict:
            pass  # no federation any more: nobody holds what it had
        await self.credentials.remove(name, credentials)
        await self._database.write(lambda tx: tx.runs.drop(name))
        self._runs.pop(name, None)
        log.info("registry_forgotten", registry=name)

    async def _schedule(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        for name, registry in self._known.items():
            run = self._runs.get(name)
            schedule = registry.schedule
            if (run is None or not run.going) and due(
                schedule.schedule, schedule.interval, run.started_at if run else 0.0, now
            ):
                await self._begin(name, "periodical")
        for name, run in self._runs.items():
            if run.going and name not in self._going and name in self._known:
                task = group.create_task(self._do(self._known[name], run), name=f"registry {name}")
                self._going[name] = _Going(run, task)

    async def _watch_database(self) -> None:
        """Begin a run over what was scanned with an older vulnerability database, where that is wanted."""
        while True:
            await asyncio.sleep(DATABASE_SECONDS)
            waiting = [
                (name, run)
                for name, registry in self._known.items()
                if registry.rescan_after_db_update
                and (run := self._runs.get(name))
                and run.state == "done"
                and run.reason != "submitted"
            ]
            try:
                database = await self.shared.scanner.prepare() if waiting else None
                for name, run in waiting:
                    if database and self._runs.get(name) is run and run.cvedb_version != database.version:
                        await self._begin(name, "database")
            except FedbusError as error:
                log.warning("scanner_not_ready", error=error.message, remedy=error.remedy)
            self.poke()

    async def _begin(self, name: str, reason: Reason) -> None:
        before = self._runs.get(name)
        run = Run(registry=name, reason=reason, started_at=self._clock.now())
        if before is not None:
            run.scanned, run.images, run.digests = before.scanned, before.images, before.digests
        self._runs[name] = run
        await self._save(run)

    async def _do(self, registry: Registry, run: Run) -> None:
        """Do a run to its end, whatever that is; cancelled, it is left to go on another time."""
        name = registry.name
        try:
            await self._done(registry, run)
        except FedbusError as error:
            failed(run, error, self._clock.now())
            log.warning("registry_failed", registry=name, code=error.code, error=error.message)
        except Exception:  # the boundary: one registry never ends the daemon
            log.exception("registry_crashed", registry=name)
            failed(run, FedbusError("the run failed for a reason of ours; the log has it"), self._clock.now())
        finally:
            self._going.pop(name, None)
        try:
            await self._save(run)
        except Unavailable as error:
            log.warning("registry_run_not_kept", registry=name, error=error.message)

    async def _done(self, registry: Registry, run: Run) -> None:
        name = registry.name
        secrets = await self.credentials.get(name)
        log.info("registry_scan", registry=name, reason=run.reason)
        work = RegistryRun(
            registry,
            secrets=secrets,
            results=lambda: self._results(name),  # another one once a federation has begun again
            run=run,
            shared=self.shared,
            save=self._save,
        )
        await work.do()
        log.info("registry_scanned", registry=name, digests=run.digests, failed=run.failed)

    async def _cancel(self, name: str) -> None:
        going = self._going.get(name)
        if going is not None:
            going.task.cancel()
            await asyncio.wait([going.task])

    async def _save(self, run: Run) -> None:
        await self._database.write(lambda tx: tx.runs.put(run))
        self._on_changed(run)
