"""Registries of a daemon, without the daemon: the real store, Trivy and client, results in its store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from fedbus.cluster.registries import setup as registry_setup
from fedbus.cluster.registries.registries import Registries
from fedbus.cluster.scans.local_results import LocalResults
from fedbus.core.registry import access
from fedbus.model import codec
from fedbus.model.objects import StoredObject
from fedbus.model.policy.registry import Registry
from fedbus.model.registry_run import RegistryStatus
from fedbus.model.scan import Report
from fedbus.runtime import Clock
from fedbus.scan.scanners.interface import Scanner
from fedbus.settings import WorkerSettings
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction
from tests.support.daemons import eventually
from tests.support.registry import database as lay_down


class Scanning:
    """The registries of one cluster, served until the context ends."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        cache = directory / "trivy"
        if not cache.exists():
            lay_down(cache)
        self.cache = cache
        self.settings = WorkerSettings(data_dir=directory, trivy_offline=True, **settings)
        self.defined: dict[str, Registry] = {}
        self.scans: Database
        self.registries: Registries
        self.kept: LocalResults

    async def objects(self) -> list[StoredObject]:
        return [
            StoredObject(
                scope="local", kind="registry", name=name, epoch=0, revision=1, version=1, digest="",
                payload=codec.encode(one),
            )
            for name, one in self.defined.items()
        ]  # fmt: skip

    async def define(self, name: str, url: str, *filters: str, **fields: Any) -> None:
        """Define a registry with its credentials, as a POST does."""
        config, secrets = access.split({"registry": url, **fields})
        about = {"name": name, "registry_type": "Docker Registry", "cfg_type": "user_created"}
        self.defined[name] = msgspec.convert({**about, "filters": filters or ("*",), **config}, Registry)
        async with self.registries.credentials.changed(
            name, lambda _: access.merged({}, secrets, url), fresh=True
        ):
            pass

    async def scanned(self, name: str, reason: Any = "manual", seconds: float = 60.0) -> RegistryStatus:
        """Run over a registry, and return what came of it."""
        await self.registries.start(name, reason)
        return await self.idle(name, seconds)

    async def idle(self, name: str, seconds: float = 60.0) -> RegistryStatus:
        """Wait until nothing goes on any more."""

        async def idle() -> RegistryStatus | None:
            status = await self.registries.status(name)
            return status if status.status == "idle" and status.state else None

        found: RegistryStatus = await eventually(idle, seconds)
        return found

    async def tags(self, name: str) -> dict[str, str]:
        """Return digests by repository:tag."""
        return {f"{one.repository}:{one.tag}": one.digest for one in await self.kept.images(name)}

    async def digests(self, name: str) -> set[str]:
        return {one.digest for one in await self.kept.reports(name)}

    async def report(self, name: str, digest: str) -> Report:
        def read(tx: Transaction) -> Report | None:
            brief = tx.scans.in_registry(name, digest)
            return None if brief is None else tx.scans.report(brief)

        found = await self.scans.read(read)
        assert found is not None
        return found

    async def cves(self, name: str, digest: str) -> set[str]:
        return {one.name for one in (await self.report(name, digest)).vulnerabilities}


@asynccontextmanager
async def scanning(
    directory: Path, made: Scanning | None = None, scanner: Scanner | None = None, **settings: Any
) -> AsyncIterator[Scanning]:
    """Serve registries; given `made`, what it served before, as after a restart; with another scanner."""
    found = made or Scanning(directory, **settings)
    stop = asyncio.Event()
    async with (
        Database(directory / "store.db", "NORMAL") as database,
        Database(directory / "scans.db", "NORMAL", scans=True) as scans,
    ):
        found.scans, found.kept = scans, LocalResults(scans)
        found.registries = registry_setup.registries(
            found.settings,
            Clock(),
            database,
            definitions={"local": found.objects},
            results=lambda _: found.kept,
            on_changed=lambda _: None,
        )
        if scanner is not None:
            found.registries.shared = msgspec.structs.replace(found.registries.shared, scanner=scanner)
        async with asyncio.TaskGroup() as group:
            group.create_task(found.registries.run(stop))
            try:
                yield found
            finally:
                stop.set()
