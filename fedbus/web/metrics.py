"""`GET /metrics`: what is counted (`fedbus.metrics`), and what is read at this moment.

It needs the API key like everything else, unless `metrics_open` is set: names of clusters and how busy
they are is nothing for everybody who reaches the port.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from fedbus import __version__, metrics
from fedbus.core import protocol
from fedbus.web.openapi import described

PATH = "/metrics"

Read = Callable[[], Awaitable[Sequence[GaugeMetricFamily]]]


class _Now:
    """A collector of what was read for one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families


def open_paths(*, metrics_open: bool) -> frozenset[str]:
    """Return the path if it needs no key."""
    return frozenset((PATH,)) if metrics_open else frozenset()


def routes(role: str, data_dir: Path, read: Read) -> list[web.RouteDef]:
    """Make the route; `read` returns the states of this daemon, bounded in labels."""

    @described("Tell what Prometheus asks for", answer_media="text/plain", tag="daemon")
    async def scrape(request: web.Request) -> web.Response:
        families = [*_always(role, data_dir), *await read()]
        # In a thread: a fleet of hundreds is a text of tens of kilobytes.
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await asyncio.to_thread(_encoded, encode, families)
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [web.get(PATH, scrape)]


def _encoded(encode: Callable[[CollectorRegistry], bytes], families: Sequence[GaugeMetricFamily]) -> bytes:
    registry = CollectorRegistry()
    registry.register(metrics.REGISTRY)
    registry.register(_Now(families))
    return encode(registry)


def _always(role: str, data_dir: Path) -> list[GaugeMetricFamily]:
    build = {
        "version": __version__,
        "role": role,
        "protocol_min": str(protocol.OLDEST),
        "protocol_max": str(protocol.NEWEST),
    }
    free = shutil.disk_usage(data_dir).free
    return [
        metrics.info("fedbus_build_info", "What runs here.", build),
        metrics.number("fedbus_disk_free_bytes", "Free where the data directory is.", free),
    ]
