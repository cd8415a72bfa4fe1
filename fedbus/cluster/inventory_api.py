"""The inventory over REST: NeuVector's system summary, and what it is made of."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from aiohttp import web

from fedbus.cluster.scans.coverage import Coverage
from fedbus.errors import InvalidInput
from fedbus.kube.inventory import Inventory
from fedbus.model.inventory import InventoryCounts, RunningImage
from fedbus.model.review import RiskyRole
from fedbus.web import respond
from fedbus.web.openapi import Parameter, described

_UNSCANNED = Parameter("unscanned", {"type": "boolean"}, "Only those that no scan is held of")


class Inventoried(Protocol):
    """A cluster with an inventory."""

    inventory: Inventory
    coverage: Coverage

    def counts(self) -> InventoryCounts | None:
        """Return the cluster in numbers; None while nobody has counted."""
        ...


class SystemSummary(msgspec.Struct, frozen=True, kw_only=True):
    """NeuVector's summary of a cluster, as far as it is known here."""

    hosts: int = 0
    domains: int = 0
    services: int = 0
    workloads: int = 0
    running_workloads: int = 0
    running_pods: int = 0
    platform: str = ""
    kube_version: str = ""


class SystemSummaryAnswer(msgspec.Struct, frozen=True):
    """The answer to NeuVector's summary."""

    summary: SystemSummary


class InventoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The inventory in numbers, what of it cannot be read and why, and accounts that can do harm."""

    counts: InventoryCounts | None
    errors: dict[str, str] = {}
    risky_service_accounts: dict[str, Sequence[RiskyRole]] = {}


class ImagesAnswer(msgspec.Struct, frozen=True):
    """Images of running pods."""

    images: list[RunningImage]


def routes(cluster: Inventoried) -> list[web.RouteDef]:
    """Make the routes."""

    @described("Show this cluster in numbers, as NeuVector does", answer=SystemSummaryAnswer, tag="inventory")
    async def summary(_request: web.Request) -> web.Response:
        counts = cluster.counts() or InventoryCounts()
        return respond.json(
            SystemSummaryAnswer(
                SystemSummary(
                    hosts=counts.hosts,
                    domains=counts.namespaces,
                    services=counts.services,
                    workloads=counts.workloads,
                    running_workloads=counts.workloads,
                    running_pods=counts.running_pods,
                    platform=counts.platform,
                    kube_version=counts.version,
                )
            )
        )

    @described("Show the inventory in numbers", answer=InventoryAnswer, tag="inventory")
    async def inventory(_request: web.Request) -> web.Response:
        held = cluster.inventory
        return respond.json(
            InventoryAnswer(
                counts=cluster.counts(),
                errors=held.errors,
                risky_service_accounts=dict(held.risky_accounts()),
            )
        )

    @described("List the images that run", answer=ImagesAnswer, query=(_UNSCANNED,), tag="inventory")
    async def images(request: web.Request) -> web.Response:
        asked = request.query.get("unscanned", "false")
        if asked not in ("true", "false"):
            raise InvalidInput(f"unscanned is true or false, not {asked[:64]!r}")
        if asked == "true":
            return respond.json(ImagesAnswer(await cluster.coverage.unscanned()))
        return respond.json(ImagesAnswer(cluster.inventory.images()))

    return [
        web.get("/v1/system/summary", summary),
        web.get("/v1/inventory", inventory),
        web.get("/v1/inventory/images", images),
    ]
