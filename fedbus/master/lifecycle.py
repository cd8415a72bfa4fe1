"""The master's life: standalone until it is promoted, until it is demoted."""

import asyncio
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from fedbus.bus import lent as lent_bus
from fedbus.bus import reach
from fedbus.bus.session import Endpoint
from fedbus.cluster.admission.held_scans import HeldScans
from fedbus.cluster.admission.rules import FederatedRules, LocalRules
from fedbus.cluster.own_cluster import OwnCluster
from fedbus.cluster.policy.local_policies import LocalPolicies
from fedbus.cluster.registries import run as registry_run
from fedbus.cluster.registries import setup as registry_setup
from fedbus.cluster.scans import inspection
from fedbus.cluster.scans.local_results import LocalResults
from fedbus.cluster.scans.results import Results
from fedbus.core import backoff, connectivity
from fedbus.core.writes import Request
from fedbus.errors import ConfigError, Conflict, FedbusError, Unavailable, only
from fedbus.master import audit
from fedbus.master.federation import ActiveFederation, Promotion, certificate_hosts
from fedbus.master.members import everyone
from fedbus.master.operator_files import lent
from fedbus.master.readings import MasterPolicy
from fedbus.model import names, subjects
from fedbus.model.federation import Federation, RestInfo
from fedbus.model.objects import StoredObject
from fedbus.model.policy import FED
from fedbus.pki.keyring import Keyring, Operator
from fedbus.runtime import Clock, first
from fedbus.settings import MasterSettings
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction
from fedbus.web.auth import Authenticator, generate_password
from fedbus.web.sse import Hub

log = structlog.get_logger(__name__)

START_SECONDS = 30.0
"""How long promote and a change of address wait for the bus and the first comparison."""


class Place(msgspec.Struct, frozen=True):
    """How a federation is called and reached; what is empty stays as it is."""

    name: str = ""
    bus: RestInfo = RestInfo()
    rest: RestInfo = RestInfo()


class Master:
    """A master daemon: standalone until it is promoted."""

    def __init__(
        self,
        settings: MasterSettings,
        database: Database,
        scans: Database,
        auth: Authenticator,
        clock: Clock,
    ) -> None:
        self.settings, self.database, self.scans = settings, database, scans
        self.auth, self.clock = auth, clock
        self.local_results = LocalResults(scans)
        self.hub = Hub(alive=auth.alive)
        self.cluster = OwnCluster(
            settings,
            database,
            clock,
            FederatedRules(lambda _: [subjects.SCOPE_ALL]),
            LocalRules(),
            scans=HeldScans(scans),
        )
        self.local = LocalPolicies(
            database,
            clock,
            lambda _: self.cluster.admission.changed(),
            self.cluster.built_in.objects,
        )
        self.registries = registry_setup.registries(
            settings,
            clock,
            database,
            definitions={
                "fed": self._federated_registries,
                "local": lambda: database.read(lambda tx: tx.local.objects("registry")),
            },
            results=self._results,
            on_changed=lambda run: self.hub.publish("registry", registry_run.notice(run)),
        )
        self.active: ActiveFederation | None = None
        self.bootstrap_error: FedbusError | None = None
        """Why this cluster is not what its configuration says it should be."""
        self._error: FedbusError | None = None
        self._changing = asyncio.Lock()
        self._promoted, self._again = asyncio.Event(), asyncio.Event()
        self._settled, self._stopped = asyncio.Event(), asyncio.Event()

    @property
    def _promotion_file(self) -> Path:
        return self.settings.data_dir / "federation.json"

    @property
    def _keyring_directory(self) -> Path:
        return self.settings.data_dir / "keyring"

    def promoted(self) -> Federation | None:
        """Return the federation that this cluster was promoted to be the master of, running or not."""
        if not self._promotion_file.exists():
            return None
        return msgspec.json.decode(self._promotion_file.read_bytes(), type=Promotion).federation

    def federation(self) -> ActiveFederation:
        """Return the active federation. Raises Conflict while there is none, Unavailable while it starts."""
        if self.active is not None:
            return self.active
        if self._promotion_file.exists():
            why = f": {self._error.message}" if self._error else ""
            raise Unavailable(f"the federation is starting{why}", code="FEDERATION_STARTING")
        raise Conflict(
            "this cluster is not the master of a federation", code="NOT_PROMOTED", remedy="promote it first"
        )

    def _results(self, registry: str) -> Results:
        """Return where the results of a registry go. Raises Conflict, Unavailable as `federation`."""
        return self.federation().scans.results if FED.owns(registry) else self.local_results

    async def _federated_registries(self) -> list[StoredObject]:
        """Return the registries that are scanned for the federation. Raises Unavailable while it starts."""
        try:
            active = self.federation()
        except Conflict:
            return []
        if not active.ready.is_set():
            raise Unavailable("the federation is starting", code="FEDERATION_STARTING")
        return await MasterPolicy(self.database).objects("fed", "registry")

    def pipeline_results(self) -> Results:
        """Return where results of CI pipelines go: the federation, or while there is none, this cluster.

        Raises Unavailable while the federation starts.
        """
        try:
            return self.federation().scans.results
        except Conflict:
            return self.local_results

    async def promote(self, name: str, bus: RestInfo, rest: RestInfo) -> tuple[ActiveFederation, str]:
        """Make this cluster the master of a new federation; return it and the admin's password.

        Raises Conflict if it is one already, InvalidInput for the name, Unavailable if the bus does not
        start: then nothing remains.
        """
        names.check_cluster(name)
        async with self._changing:
            if self._promotion_file.exists():
                raise Conflict("this cluster is the master of a federation already", code="ALREADY_PROMOTED")
            operator = await self._check_bus()
            await self._discard_keyring()  # of a promote or a demote that did not end
            self._make(name, bus, rest, operator)
            self._settled.clear()
            self._promoted.set()
            await first(self._settled.wait(), timeout=START_SECONDS)
            if self.active is None or not self.active.ready.is_set():
                session = self.active.session.error if self.active is not None else None
                error = self._error or session or Unavailable("the bus did not start in time")
                await self._dissolve()
                raise error
            password = generate_password(self.clock.random_bytes(20))
            await self.auth.set_password(password)
            return self.active, password

    async def _check_bus(self) -> Operator | None:
        """Look whether an external bus takes a federation, before anything of one is made."""
        if not self.settings.bus_urls:
            return None
        operator = lent(self.settings)
        if operator is None:
            raise ConfigError(
                "the bus that bus_urls names cannot know a federation that is not made yet",
                code="BUS_OPERATOR_NEEDED",
                remedy="name the files its operator lent you (README, An external bus), or promote without "
                "bus_urls and write the files of its servers with `fedbus bus config`",
            )
        endpoint = Endpoint(self.settings.bus_urls, operator.ca_pem)
        await lent_bus.check(endpoint, operator, self.settings.bus_replicas)
        return operator

    async def _discard_keyring(self) -> None:
        """Delete the keyring, and what it opens on an external bus: streams and accounts."""
        if self.settings.bus_urls and self._keyring_directory.exists():
            try:
                keyring = Keyring.load(self._keyring_directory, lent(self.settings))
                now, randomness = self.clock.now(), self.clock.random_bytes
                master = keyring.credentials("master", "master", now=now, randomness=randomness)
                endpoint = Endpoint(self.settings.bus_urls, keyring.ca_pem)
                await lent_bus.retire(endpoint, keyring, master, now)
            except FedbusError as error:
                log.warning("bus_not_cleaned", **connectivity.facts(error))
        shutil.rmtree(self._keyring_directory, ignore_errors=True)

    def _make(self, name: str, bus: RestInfo, rest: RestInfo, operator: Operator | None) -> None:
        settings, clock = self.settings, self.clock
        if settings.bus_urls:
            first_host, port = reach.address(settings.bus_urls[0])
        else:
            first_host, port = settings.bus_host, settings.bus_port or _free_port(settings.bus_host)
        server = bus.server or settings.advertised_server or first_host
        federation_id = clock.random_bytes(16).hex()
        Keyring.create(
            self._keyring_directory,
            federation_id=federation_id,
            hosts=certificate_hosts(server, settings.bus_host),
            now=clock.now(),
            randomness=clock.random_bytes,
            operator=operator,
        )
        federation = Federation(
            id=federation_id,
            name=name,
            created_at=clock.stamp(),
            bus=RestInfo(server=server, port=bus.port or settings.advertised_port or port),
            rest=rest,
        )
        Promotion(federation=federation, listen_port=port, addressed=bool(bus.server)).save(
            self._promotion_file
        )

    async def reconfigure(
        self,
        place: Place,
        changes: dict[str, object],
        guard: Callable[[Transaction], None],
        request: Request,
    ) -> None:
        """Change settings, and the federation's name and addresses: all that is asked, or nothing.

        Raises Conflict for another name or address while a worker is joined (a rule of NeuVector), what
        `guard` raises in the transaction, InvalidInput, Unavailable.
        """
        if place.name:
            names.check_cluster(place.name)
        async with self._changing:
            active = self.federation()
            promotion = msgspec.json.decode(self._promotion_file.read_bytes(), type=Promotion)
            old = promotion.federation
            changed = msgspec.structs.replace(
                old,
                name=place.name or old.name,
                bus=_over(place.bus, old.bus),
                rest=_over(place.rest, old.rest),
            )

            def check(tx: Transaction) -> None:
                guard(tx)
                if changed != old:
                    _check_alone(tx)

            await self.database.read(check)
            if changes:
                await active.configuration.change(changes, request, check)
            if changed != old:
                addressed = promotion.addressed or bool(place.bus.server)
                msgspec.structs.replace(promotion, federation=changed, addressed=addressed).save(
                    self._promotion_file
                )
                await self._begin_again()
                self._settled.clear()
                await first(self._settled.wait(), timeout=START_SECONDS)
                await self._tell_moved(old, changed, request)

    async def _tell_moved(self, old: Federation, new: Federation, request: Request) -> None:
        if self.active is not None:
            await self.active.audit.record(
                audit.CONFIGURATION,
                "name or address changed",
                actor=request.whence,
                detail=f"{_told(old)} -> {_told(new)}",
            )

    async def demote(self, actor: str) -> None:
        """End the federation: dismiss every worker, stop the bus, delete keys and federated data."""
        async with self._changing:
            await self.federation().members.dismiss_all(actor=actor)
            await self._dissolve()

    async def _dissolve(self) -> None:
        self._promotion_file.unlink(missing_ok=True)  # first: without it nothing starts again
        await self._begin_again()
        await self.database.write(_forget)
        self.cluster.admission.changed()
        await inspection.forget(self.scans)
        await self._discard_keyring()
        shutil.rmtree(self.settings.data_dir / "bus", ignore_errors=True)
        self._error = None

    async def _begin_again(self) -> None:
        """Stop serving the federation, and serve it anew if there still is one."""
        self._stopped.clear()
        self._again.set()
        if self.active is not None:
            await self._stopped.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the federation whenever there is one, until `stop`."""
        attempt = 0
        while not stop.is_set():
            if not self._promotion_file.exists():
                self._promoted.clear()
                await first(stop.wait(), self._promoted.wait())
                continue
            self._again.clear()
            try:
                await self._serve(stop)
            except FedbusError as error:
                attempt += 1
                self._error = error
                log.error("federation_failed", error=error.message, remedy=error.remedy)  # noqa: TRY400
                pause = backoff.delay(attempt, self.clock.jitter())
                await first(stop.wait(), self._again.wait(), timeout=pause)
            else:
                attempt = 0

    async def _serve(self, stop: asyncio.Event) -> None:
        end = asyncio.Event()
        try:
            active = self._load()
            await active.remember()
            if self._again.is_set():
                return  # dissolved meanwhile
            self.active = active
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.active.run(end), name="federation")
                await first(
                    self.active.ready.wait(), asyncio.wait([running]), stop.wait(), self._again.wait()
                )
                self._settled.set()
                await first(asyncio.wait([running]), stop.wait(), self._again.wait())
                end.set()
        except* FedbusError as errors:
            raise only(errors) from None
        finally:
            self.active = None
            self._settled.set()
            self._stopped.set()

    def _load(self) -> ActiveFederation:
        promotion = msgspec.json.decode(self._promotion_file.read_bytes(), type=Promotion)
        return ActiveFederation(
            settings=self.settings,
            promotion=promotion,
            keyring=Keyring.load(self._keyring_directory, lent(self.settings)),
            database=self.database,
            scans=self.scans,
            clock=self.clock,
            hub=self.hub,
            own=self.cluster,
        )


def _check_alone(tx: Transaction) -> None:
    if any(cluster.state == "joined" for cluster in everyone(tx)):
        raise Conflict("name and addresses are read-only while clusters are joined", code="FEDERATION_IN_USE")


def _told(federation: Federation) -> str:
    bus, rest = federation.bus, federation.rest
    return f"{federation.name} {bus.server}:{bus.port} {rest.server}:{rest.port}"


def _over(new: RestInfo, old: RestInfo) -> RestInfo:
    return RestInfo(server=new.server or old.server, port=new.port or old.port)


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _forget(tx: Transaction) -> None:
    for scope in tx.scopes():
        tx.forget(scope)
    tx.set_meta("stream", "")
    tx.set_meta("epoch", "")
