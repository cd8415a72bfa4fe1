"""Putting together what a daemon scans registries with, from its settings."""

import asyncio
import ssl
from collections.abc import Callable

from fedbus.cluster.registries.credentials import CredentialStore
from fedbus.cluster.registries.registries import Definitions, Registries
from fedbus.cluster.registries.run import Connect, Running
from fedbus.cluster.scans.results import Results
from fedbus.core.registry.access import Address, Credentials
from fedbus.errors import ConfigError
from fedbus.model.registry_run import Run
from fedbus.runtime import Clock
from fedbus.scan import importers
from fedbus.scan.oci.client import Client
from fedbus.scan.oci.transport import Transport
from fedbus.scan.scanners import trivy
from fedbus.scan.scanners.process import Limits
from fedbus.settings import Settings
from fedbus.store.database import Database


def registries(
    settings: Settings,
    clock: Clock,
    database: Database,
    *,
    definitions: Definitions,
    results: Callable[[str], Results],
    on_changed: Callable[[Run], None],
) -> Registries:
    """Return the registries of a cluster. Raises ConfigError for a file of settings that cannot be used."""
    shared = Running(
        connect=_connect(settings, clock),
        scanner=trivy.Trivy(_trivy(settings), importers.scanned, clock),
        clock=clock,
        turns=asyncio.Semaphore(settings.scan_at_once),
        at_once=settings.scan_at_once,
        platforms=settings.scan_platforms,
        max_images=settings.registry_max_images,
        max_bytes=settings.scan_max_image_mb << 20,
    )
    return Registries(
        definitions=definitions,
        results=results,
        credentials=CredentialStore(settings.data_dir, clock),
        database=database,
        shared=shared,
        on_changed=on_changed,
    )


def _connect(settings: Settings, clock: Clock) -> Connect:
    trust = ssl.create_default_context()
    if settings.registry_ca is not None:
        try:
            trust.load_verify_locations(settings.registry_ca)
        except OSError as error:  # an ssl.SSLError too
            raise ConfigError(f"registry_ca: {settings.registry_ca} cannot be used: {error}") from error

    def connect(address: Address, credentials: Credentials, proxy: bool) -> Client:
        return Client(Transport(address, credentials, clock, trust=trust, proxy=proxy))

    return connect


def _trivy(settings: Settings) -> trivy.Options:
    memory = settings.scan_memory_mb << 20
    return trivy.Options(
        cache=settings.trivy_cache_dir or settings.data_dir / "trivy",
        program=settings.trivy_program,
        offline=settings.trivy_offline,
        database=settings.trivy_db_repository,
        java_database=settings.trivy_java_db_repository,
        server=settings.trivy_server,
        token_file=settings.trivy_token_file,
        ca_file=settings.registry_ca,
        limits=Limits(seconds=settings.scan_seconds, memory=memory),
    )
