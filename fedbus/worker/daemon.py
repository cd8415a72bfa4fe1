"""The worker daemon: its parts put together, started and stopped."""

import asyncio
from functools import partial

import structlog

from fedbus import daemon
from fedbus.cluster.scans.inspection import keep_file
from fedbus.pki import files
from fedbus.runtime import Clock, Service, serve
from fedbus.settings import WorkerSettings
from fedbus.store.database import Database
from fedbus.web.auth import Authenticator
from fedbus.web.metrics import open_paths
from fedbus.web.server import RestServer
from fedbus.web.tls import RestTls, rest_hosts
from fedbus.worker import api
from fedbus.worker.bootstrap import Bootstrap
from fedbus.worker.federation import inspect
from fedbus.worker.lifecycle import Worker

log = structlog.get_logger(__name__)


async def serve_worker(settings: WorkerSettings, stop: asyncio.Event, clock: Clock) -> None:
    """Run a worker until `stop`. Raises ConfigError if another daemon has its data directory."""
    with files.locked(settings.data_dir):
        auth = Authenticator(
            settings.data_dir,
            clock=clock.monotonic,
            also_open=open_paths(metrics_open=settings.metrics_open),
        )
        hosts = rest_hosts(settings.rest_host, settings.rest_names)
        tls = RestTls(settings.data_dir, hosts, now=clock.now(), randomness=clock.random_bytes)
        async with (
            Database(settings.data_dir / "store.db", "NORMAL") as database,
            Database(settings.data_dir / "scans.db", "NORMAL", scans=True) as scans,
        ):
            if database.damaged:
                log.error("store_damaged", moved_to=str(database.damaged), remedy="the bus rebuilds it")
            worker = Worker(settings, database, scans, auth, clock)
            if worker.membership is not None and worker.membership.joined:
                await inspect(database, worker.membership.verifier())
                await worker.read_again()
            await worker.cluster.start()
            app = api.make_app(worker, auth)
            rest = RestServer(app, settings.rest_host, settings.rest_port, tls.context)
            await rest.start()
            rest.announce(
                settings.data_dir,
                ca=tls.ca_file,
                api_key_file=auth.api_key_file,
                role="worker",
                webhook=worker.cluster.webhook.url,
            )
            services: dict[str, Service] = {
                "membership": worker.run,
                "bootstrap": Bootstrap(worker).run,
                "registries": worker.registries.run,
                "rest": rest.run,
                "certificate": partial(tls.keep, clock.now),
                **worker.cluster.services(),
                "scans file": partial(keep_file, scans),
            }
            await serve(services, stop, grace=8.0)


def run(settings: WorkerSettings) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises ConfigError for what cannot be served."""
    daemon.run("worker", serve_worker, settings)
