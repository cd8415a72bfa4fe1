"""The worker's life: standalone until it joins, until it leaves or is dismissed."""

import asyncio
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec
import structlog

from fedbus.cluster.admission import assessment
from fedbus.cluster.admission.held_scans import HeldScans
from fedbus.cluster.admission.rules import FederatedRules, LocalRules
from fedbus.cluster.own_cluster import OwnCluster
from fedbus.cluster.policy.local_policies import LocalPolicies
from fedbus.cluster.registries import run as registry_run
from fedbus.cluster.registries import setup as registry_setup
from fedbus.cluster.scans import inspection
from fedbus.cluster.scans.local_results import LocalResults
from fedbus.core import backoff
from fedbus.errors import Conflict, FedbusError, Unavailable
from fedbus.model import names, subjects
from fedbus.model.events import Event
from fedbus.model.federation import AuditRecord, Dismissal, RestInfo
from fedbus.model.rpc import ASSESS
from fedbus.pki import files
from fedbus.pki.credentials import Credentials
from fedbus.pki.join_token import JoinToken
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.runtime import Clock, first
from fedbus.settings import WorkerSettings
from fedbus.store.database import Database
from fedbus.store.rereading import reread
from fedbus.store.transaction import Transaction
from fedbus.web.auth import Authenticator, generate_password
from fedbus.web.sse import Hub
from fedbus.worker import dialogue
from fedbus.worker.dialogue import Joining, Keys
from fedbus.worker.federation import ActiveMembership
from fedbus.worker.membership import Membership, MembershipFiles

log = structlog.get_logger(__name__)


class _Attempt(msgspec.Struct):
    """The keys of a join whose answer has not come yet.

    Asked again, with the same token or a new one, they say that it is the same cluster that asks.
    """

    bus_seed: str
    renew_seed: str


class Worker:
    """A worker daemon: standalone until it joins."""

    def __init__(
        self,
        settings: WorkerSettings,
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
            FederatedRules(_own_first),
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
            definitions={"local": lambda: database.read(lambda tx: tx.local.objects("registry"))},
            results=lambda _: self.local_results,
            on_changed=lambda run: self.hub.publish("registry", registry_run.notice(run)),
        )
        self.files = MembershipFiles(settings.data_dir)
        self.membership = self.files.load()
        self.active: ActiveMembership | None = None
        self._changing, self._ending = asyncio.Lock(), asyncio.Lock()
        self._changed = asyncio.Event()
        self.bootstrap_error: FedbusError | None = None
        """Why this cluster is not what its configuration says it should be."""
        self._late: list[Event] = []
        """Instructions that were parked, for the membership to follow."""

    async def read_again(self) -> None:
        """Read what is held as this build understands it: it may be newer, or older, than the last one."""
        done = await reread(self.database, self.clock.stamp())
        self._late += [e for e in done.applied if e.address.category == subjects.CONTROL]

    async def join(self, text: str, who: Joining, server: RestInfo) -> tuple[Membership, str]:
        """Join the federation that a token names; return the membership and this cluster's new password.

        `server` overrides the token's address where it is set. Joining again with the same token and name
        changes nothing and gives no password. Raises Conflict if this cluster is a member otherwise,
        Refused with the reason, Unavailable.
        """
        async with self._changing:
            if self.membership is not None and self.membership.joined:
                if (self.membership.name, self.membership.token_hash) == (who.name, token_hash(text)):
                    return self.membership, ""
                raise Conflict(
                    f"this cluster is a member of {self.membership.federation_name!r}; leave that first",
                    code="ALREADY_JOINED",
                )
            names.check_cluster(who.name)
            names.check_labels(who.labels)
            token = JoinToken.decode(text)
            at = dialogue.addresses(token, server)
            keys = self._keys()
            answer = await dialogue.join(token, keys, who, at, self.clock.now())
            await self._purge()
            self.membership = self.files.store(
                answer,
                Credentials(answer.jwt, keys.bus.seed),
                Credentials(answer.renew_jwt, keys.renew.seed),
                bus_at=at[0],
                at=self.clock.stamp(),
                token_hash=token_hash(text),
            )
            self._attempt_file.unlink(missing_ok=True)
            record = self._record("join", f"{answer.federation_name} {answer.federation_id}")
            await self.database.write(lambda tx: tx.audit.add(record))
            self._changed.set()
            password = generate_password(self.clock.random_bytes(20))
            await self.auth.set_password(password)
            return self.membership, password

    @property
    def _attempt_file(self) -> Path:
        return self.settings.data_dir / "join-attempt.json"

    def _keys(self) -> Keys:
        """Return the keys to join with: of an attempt or a membership that was cut short, or new ones."""
        if self._attempt_file.exists():
            attempt = msgspec.json.decode(self._attempt_file.read_bytes(), type=_Attempt)
            return Keys(KeyPair(attempt.bus_seed), KeyPair(attempt.renew_seed))
        if (held := self.files.left_behind()) is not None:
            return Keys(KeyPair(held[0].seed), KeyPair(held[1].seed))
        bus, renew = (KeyPair.new(KeyType.USER, self.clock.random_bytes(32)) for _ in range(2))
        files.write(self._attempt_file, msgspec.json.encode(_Attempt(bus.seed, renew.seed)))
        return Keys(bus, renew)

    async def leave(self, *, force: bool) -> Membership:
        """Leave the federation and drop its policy. With `force` also if the master cannot be told.

        Raises Conflict if this cluster is no member, Unavailable, Refused.
        """
        async with self._changing:
            membership = self.membership
            if membership is None or not membership.joined:
                raise Conflict("this cluster is no member of a federation", code="NOT_JOINED")
            try:
                if self.active is None:
                    raise Unavailable("the worker is starting")
                dismissal = await self.active.leave()
            except FedbusError:
                if self.membership is not None and not self.membership.joined:
                    return self.membership  # the dismissal came on the stream, before the answer
                if not force:
                    raise
                dismissal = Dismissal(
                    cluster_id=membership.cluster_id,
                    federation_id=membership.federation_id,
                    reason="left",
                    at=self.clock.stamp(),
                )
            await self._end(dismissal)
            return self.membership or membership

    async def _end(self, dismissal: Dismissal) -> None:
        """End the membership: federated policy goes first, so that a crash in between repeats it.

        Scan results may be many: they go right after, whenever this cluster stands alone.
        """
        async with self._ending:  # the answer to a leave and the dismissal on the stream come together
            if self.membership is None or not self.membership.joined:
                return
            name = self.membership.federation_name
            log.warning("membership_ended", reason=dismissal.reason, federation=name)
            record = self._record(dismissal.reason, name)

            def end(tx: Transaction) -> None:
                _purge(tx)
                tx.audit.add(record)

            await self.database.write(end)
            self.cluster.admission.changed()
            # Nothing is awaited from here on: the session this runs in may be cut at any moment.
            self.membership = self.files.ended(self.membership, dismissal)
            self._changed.set()
            self.hub.publish("member", {"event": dismissal.reason, "id": dismissal.cluster_id})

    async def _purge(self) -> None:
        await self.database.write(_purge)
        await inspection.forget(self.scans)
        self.cluster.admission.changed()

    def _record(self, action: str, object_: str) -> AuditRecord:
        return AuditRecord(
            at=self.clock.stamp(), category="membership", action=action, actor="worker", object=object_
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the membership whenever there is one, until `stop`."""
        while not stop.is_set():
            self._changed.clear()
            if self.membership is None or not self.membership.joined:
                await self._stand_alone(stop)
                continue
            end = asyncio.Event()
            self.active = ActiveMembership(
                membership=self.membership,
                files=self.files,
                database=self.database,
                scans=self.scans,
                clock=self.clock,
                hub=self.hub,
                on_ended=self._end,
                on_policy=self.cluster.admission.changed,
                describe=self.cluster.report,
                inventory=self.cluster.inventory,
                inventory_interval=self.settings.inventory_interval,
                methods={ASSESS: partial(assessment.answer, self.cluster.admission)},
                late=self._late,
            )
            self._late = []
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.active.run(end), name="membership")
                await first(stop.wait(), self._changed.wait(), asyncio.wait([running]))
                end.set()
            self.active = None

    async def _stand_alone(self, stop: asyncio.Event) -> None:
        """Wait for a membership; what an ended one left goes once more.

        An event that was in hand when the membership ended was folded behind the purge.
        """
        attempt = 0
        while self.membership is not None and not stop.is_set():
            attempt += 1
            try:
                await self._purge()
                break
            except Unavailable as error:
                log.warning("purge_failed", error=error.message)
                await first(stop.wait(), timeout=backoff.delay(attempt, self.clock.jitter()))
        await first(stop.wait(), self._changed.wait())


def token_hash(text: str) -> str:
    """Return by what a token is known again; white space does not count."""
    return sha256("".join(text.split()).encode()).hexdigest()


def _own_first(tx: Transaction) -> list[str]:
    """Return the scopes of this cluster's policy: its own above those for all."""
    return list(reversed(tx.scopes()))


def _purge(tx: Transaction) -> None:
    for scope in tx.scopes():
        tx.forget(scope)
