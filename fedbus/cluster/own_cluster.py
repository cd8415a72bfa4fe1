"""What a daemon does for its own cluster, on a worker and on the master alike."""

from functools import partial

import msgspec
from aiohttp import web

from fedbus.cluster import inventory_api
from fedbus.cluster.admission import api as admission_api
from fedbus.cluster.admission import assess_api
from fedbus.cluster.admission.api import Listening
from fedbus.cluster.admission.built_in import BuiltInRules
from fedbus.cluster.admission.decider import Admission
from fedbus.cluster.admission.lookups import NoScans, ScanLookup
from fedbus.cluster.admission.rules import RuleSource
from fedbus.cluster.scans.coverage import Coverage
from fedbus.kube import client
from fedbus.kube.inventory import ApiSource, FileSource, Inventory
from fedbus.kube.webhook import Webhook, WebhookServer
from fedbus.model.federation import AdmissionReport, ClusterReport
from fedbus.model.inventory import InventoryCounts
from fedbus.runtime import Clock, Service
from fedbus.settings import Settings
from fedbus.store.database import Database
from fedbus.web.tls import RestTls, rest_hosts


class OwnCluster:
    """Admission with its webhook, and the inventory, of the cluster that a daemon stands in."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: Clock,
        *sources: RuleSource,
        scans: ScanLookup | None = None,
    ) -> None:
        """Take the sources of admission rules, the federation's first."""
        self._settings, self._database, self._clock = settings, database, clock
        found = self.scans = scans or NoScans()
        self.inventory = Inventory()
        self.coverage = Coverage(self.inventory, found)
        self.built_in = BuiltInRules(settings)
        """The critical rules, above every other."""
        self.admission = Admission(
            database, clock, (*sources, self.built_in), scans=found, roles=self.inventory
        )
        self._webhook = Webhook(
            self.admission, fail_open=settings.fail_open, ready=lambda: self.admission.ready
        )
        self._counted: tuple[int, int | None, InventoryCounts] | None = None

    async def start(self) -> None:
        """Read the policy and serve the webhook. Raises OSError when its port is taken, Unavailable."""
        settings = self._settings
        self.tls = RestTls(
            settings.data_dir,
            self._hosts(),
            now=self._clock.now(),
            randomness=self._clock.random_bytes,
            server="webhook",
        )
        await self.admission.load()
        self.webhook = WebhookServer(
            self._webhook, settings.webhook_host, settings.webhook_port, self.tls.context
        )
        await self.webhook.start()

    def _hosts(self) -> tuple[str, ...]:
        settings, service = self._settings, self._settings.webhook_service
        names = (service, f"{service}.cluster.local", service.removesuffix(".svc"), *settings.webhook_names)
        return rest_hosts(settings.webhook_host, names)

    def services(self) -> dict[str, Service]:
        """Return what runs beside the webhook, once it was started."""
        services: dict[str, Service] = {
            "webhook": self.webhook.run,
            "webhook certificate": partial(self.tls.keep, self._clock.now),
            "admission policy": self.admission.keep,
            "admission record": self.admission.recorder.run,
        }
        if (source := self._source()) is not None:
            services |= {"inventory": source, "image coverage": self.coverage.run}
        return services

    def _source(self) -> Service | None:
        settings = self._settings
        if settings.kubernetes != "off":
            connecting = partial(
                client.connected, settings.kubernetes, settings.kubeconfig, settings.kubernetes_context
            )
            return ApiSource(self.inventory, connecting, self._clock).run
        if settings.inventory_file is not None:
            return FileSource(self.inventory, settings.inventory_file).run
        return None

    def routes(self) -> list[web.RouteDef]:
        """Return the REST routes."""
        return [
            *admission_api.routes(self.admission, self._database, self._listening),
            *assess_api.routes(self.admission),
            *inventory_api.routes(self),
        ]

    def _listening(self) -> Listening:
        return Listening(
            url=self.webhook.url,
            service=self._settings.webhook_service,
            ca_pem=self.tls.ca_file.read_text(),
            certificate_expires=self.tls.expires,
            fail_open=self._settings.fail_open,
        )

    def counts(self) -> InventoryCounts | None:
        """Return this cluster in numbers; None while nobody has counted."""
        if not self.inventory.known:
            return None
        key = self.inventory.generation, self.coverage.unscanned_count
        if self._counted is None or self._counted[:2] != key:
            self._counted = (*key, self.inventory.counts(self.coverage.unscanned_count))
        return self._counted[2]

    def report(self) -> ClusterReport:
        """Return what heartbeats and the summary say of this cluster."""
        report = AdmissionReport(fail_open=self._settings.fail_open, stats=self.admission.recorder.stats)
        if self.admission.ready:
            policy = self.admission.policy
            report = msgspec.structs.replace(report, enable=policy.state.enable, mode=policy.mode)
        return ClusterReport(admission=report, inventory=self.counts())
