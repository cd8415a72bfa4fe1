"""The master daemon: its parts put together, started and stopped."""

import asyncio
from functools import partial

import structlog

from fedbus import daemon
from fedbus.cluster.scans.inspection import keep_file
from fedbus.master.api import app as api
from fedbus.master.bootstrap import Bootstrap
from fedbus.master.lifecycle import Master
from fedbus.pki import files
from fedbus.runtime import Clock, Service, serve
from fedbus.settings import MasterSettings
from fedbus.store.database import Database
from fedbus.web.auth import Authenticator
from fedbus.web.metrics import open_paths
from fedbus.web.server import RestServer
from fedbus.web.tls import RestTls, rest_hosts

log = structlog.get_logger(__name__)


async def serve_master(settings: MasterSettings, stop: asyncio.Event, clock: Clock) -> None:
    """Run a master until `stop`. Raises ConfigError if another daemon has its data directory."""
    with files.locked(settings.data_dir):
        auth = Authenticator(
            settings.data_dir,
            clock=clock.monotonic,
            also_open=open_paths(metrics_open=settings.metrics_open),
        )
        hosts = rest_hosts(settings.rest_host, settings.rest_names)
        tls = RestTls(settings.data_dir, hosts, now=clock.now(), randomness=clock.random_bytes)
        async with (
            Database(settings.data_dir / "store.db", "FULL") as database,
            Database(settings.data_dir / "scans.db", "FULL", scans=True) as scans,
        ):
            if database.damaged:
                log.error("store_damaged", moved_to=str(database.damaged), remedy="the stream rebuilds it")
            master = Master(settings, database, scans, auth, clock)
            await master.cluster.start()
            app = api.make_app(master, auth)
            rest = RestServer(app, settings.rest_host, settings.rest_port, tls.context)
            await rest.start()
            rest.announce(
                settings.data_dir,
                ca=tls.ca_file,
                api_key_file=auth.api_key_file,
                role="master",
                webhook=master.cluster.webhook.url,
            )
            services: dict[str, Service] = {
                "federation": master.run,
                "bootstrap": Bootstrap(master).run,
                "registries": master.registries.run,
                "rest": rest.run,
                "certificate": partial(tls.keep, clock.now),
                "scans file": partial(keep_file, scans),
                **master.cluster.services(),
            }
            await serve(services, stop, grace=8.0)


def run(settings: MasterSettings) -> None:
    """Run a master until SIGTERM or SIGINT. Raises ConfigError for what cannot be served."""
    daemon.run("master", serve_master, settings)
