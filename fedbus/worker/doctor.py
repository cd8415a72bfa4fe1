"""The diagnosis of a worker, and of a cluster that is about to join.

It runs beside the daemon and leaves it alone: a connection, a consumer and a question of its own.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec

from fedbus import __version__
from fedbus.bus import examination, topology
from fedbus.bus.examination import Examination
from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Endpoint, Message, connect
from fedbus.core import connectivity, diagnosis, protocol
from fedbus.core.connectivity import ENDED, Step
from fedbus.core.diagnosis import Diagnosis
from fedbus.errors import FedbusError, InvalidInput, Refused, Unavailable
from fedbus.model import subjects
from fedbus.model.federation import Checked, RestInfo, Versions
from fedbus.pki import condition
from fedbus.pki.credentials import Credentials
from fedbus.pki.join_token import JoinToken
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.runtime import Clock, rfc3339
from fedbus.settings import WorkerSettings
from fedbus.worker import dialogue
from fedbus.worker.dialogue import Joining, Keys
from fedbus.worker.membership import Membership, MembershipFiles


async def examine(settings: WorkerSettings, clock: Clock, max_skew: float) -> Diagnosis:
    """Test a worker from its files to its master, step by step."""
    doctor = _Doctor(settings, clock, max_skew)
    async with AsyncExitStack() as stack:
        await doctor.run(stack)
    return diagnosis.conclude("worker", str(settings.data_dir), doctor.examination.findings)


class Plan(NamedTuple):
    """A join to test: the token's text, the cluster's name, and where the master is instead.

    Without a name all but the name is tested.
    """

    token: str
    name: str = ""
    server: RestInfo = RestInfo()


async def examine_join(plan: Plan, settings: WorkerSettings, clock: Clock, max_skew: float) -> Diagnosis:
    """Test whether a join would work; the token is not used."""
    doctor = _JoinDoctor(plan, clock)
    steps = doctor.examination
    await steps.step(Step.TOKEN, doctor.read)
    endpoint = doctor.endpoint()
    await steps.way(endpoint)
    await steps.step(Step.CREDENTIAL, doctor.ask)
    await _last_steps(steps, doctor, settings, max_skew)
    return diagnosis.conclude("joining", ", ".join(endpoint.servers), steps.findings)


class _Asker:
    """Who knows what the master said of itself, and when."""

    def __init__(self, clock: Clock) -> None:
        self.examination = Examination()
        self.clock = clock
        self._answer: Checked | None = None
        self._skew = 0.0

    def heard(self, answer: Checked, asked_at: float) -> None:
        """Keep the answer; the master read its clock somewhere between the question and now."""
        self._answer = answer
        self._skew = (asked_at + self.clock.now()) / 2 - answer.time

    async def compare_clocks(self, limit: float) -> str:
        return examination.check_skew(self._skew, limit, "the master's")

    async def compare_versions(self) -> str:
        mine = protocol.ours(__version__)
        theirs = self._answer.versions if self._answer else Versions(fedbus="?")
        said = (
            f"the master runs {theirs.fedbus} and speaks {protocol.spoken(theirs)}, "
            f"this is {protocol.spoken(mine)}"
        )
        if protocol.older(mine, theirs):
            raise connectivity.error("PROTOCOL_UNSUPPORTED", said)
        return said


async def _last_steps(steps: Examination, asker: _Asker, settings: WorkerSettings, max_skew: float) -> None:
    async def disk() -> str:
        return await asyncio.to_thread(condition.check_disk, settings.data_dir, settings.min_free_mb)

    await steps.step(Step.CLOCK, lambda: asker.compare_clocks(max_skew), blocks=False)
    await steps.step(Step.VERSION, asker.compare_versions, blocks=False)
    await steps.step(Step.DISK, disk, blocks=False, independent=True)


class _Doctor(_Asker):
    """Examines a member."""

    def __init__(self, settings: WorkerSettings, clock: Clock, max_skew: float) -> None:
        super().__init__(clock)
        self._settings, self._max_skew = settings, max_skew
        self._files = MembershipFiles(settings.data_dir)
        self._membership: Membership | None = None
        self._connection: Connection | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Run every step; the session that is opened on the way ends with `stack`."""
        steps = self.examination
        await steps.step(Step.FILES, self._look_at_files)
        m = self._membership
        servers = tuple(dialogue.url(address) for address in m.addresses) if m else ()
        endpoint = Endpoint(servers, m.ca_pem.encode() if m else b"")
        await steps.way(endpoint)
        await steps.step(Step.CREDENTIAL, lambda: self._log_in(stack, endpoint))
        await steps.step(Step.PERMISSIONS, self._try_permissions)
        for step, attempt in (
            (Step.STREAM, examination.try_stream),
            (Step.CONSUMER, examination.try_consumer),
        ):
            await steps.step(step, lambda attempt=attempt: self._read(attempt))  # type: ignore[misc]
        await steps.step(Step.MASTER, self._ask_master)
        await _last_steps(steps, self, self._settings, self._max_skew)

    async def _look_at_files(self) -> str:
        directory = self._settings.data_dir
        said = await asyncio.to_thread(condition.check_private, directory, self._files.secrets())
        try:
            membership = self._files.load()
            if membership is None:
                raise connectivity.error("NOT_JOINED", f"no cluster has joined with {directory}")
            if not membership.joined:
                raise _ended(membership.state, membership.ended_at)
            self._files.bus_credentials()
            self._files.renew_credentials()
        except (msgspec.MsgspecError, InvalidInput, UnicodeDecodeError) as error:
            raise connectivity.error("FILES_DAMAGED", f"the membership is damaged: {error}") from error
        self._membership = membership
        return said

    @property
    def _member(self) -> Membership:
        assert self._membership is not None  # noqa: S101 - the steps that need it run behind the one that sets it
        return self._membership

    @property
    def _live(self) -> Connection:
        assert self._connection is not None  # noqa: S101 - likewise
        return self._connection

    async def _log_in(self, stack: AsyncExitStack, endpoint: Endpoint) -> str:
        credentials = self._files.bus_credentials()
        try:
            opened = connect("worker-doctor", endpoint, credentials)
            self._connection = await stack.enter_async_context(opened)
        except Refused as error:
            if error.code == "BUS_UNAUTHORIZED":
                raise await self._why_refused(endpoint, credentials) from error
            raise
        until = rfc3339(credentials.expires) if credentials.expires else "ever"
        return f"the bus lets {self._member.name} in, until {until}"

    async def _why_refused(self, endpoint: Endpoint, credentials: Credentials) -> FedbusError:
        """Ask the master with the renewal credential, which outlives the other one and its revocation."""
        cluster_id = self._member.cluster_id
        try:
            async with connect("worker-doctor", endpoint, self._files.renew_credentials()) as connection:
                reply = await dialogue.ask(connection, cluster_id, "renew")
        except FedbusError as error:
            if error.code == "BUS_UNAUTHORIZED":
                unknown = "the bus knows neither credential: its federation was set up anew, or it is another"
                return connectivity.error("CREDENTIAL_UNKNOWN", unknown)
            return error
        if reply.dismissed is not None:
            found = dialogue.dismissal(self._member.verifier(), cluster_id, reply.dismissed)
            if found is None:
                return connectivity.error("SIGNATURE_INVALID", "the federation did not sign the dismissal")
            return _ended(found.reason, found.at)
        if credentials.expires is not None and credentials.expires <= self.clock.now():
            over = f"the credential expired at {rfc3339(credentials.expires)}"
            return connectivity.error("CREDENTIAL_EXPIRED", over)
        return connectivity.error("CREDENTIAL_REVOKED", "the bus does not take this credential any more")

    async def _try_permissions(self) -> str:
        """Try what the daemon does, with requests that the bus refuses for their form: nothing happens."""
        cluster_id, stream = self._member.cluster_id, topology.POLICY
        filters = {"all": subjects.scope_filter(subjects.SCOPE_ALL)}
        filters["own"] = subjects.scope_filter(subjects.own_scope(cluster_id))
        asked = [
            f"{subjects.MEMBERS_API}.CONSUMER.CREATE.{stream}.{cluster_id}-{s}.{f}"
            for s, f in filters.items()
        ]
        asked += [
            f"{subjects.MEMBERS_API}.CONSUMER.MSG.NEXT.{stream}.{cluster_id}-{suffix}" for suffix in filters
        ]
        for subject in asked:
            try:
                await self._live.request(subject, b"{")
            except Unavailable as error:
                if error.code != "BUS_NO_RESPONDERS":  # the daemon does not run: it has no consumer
                    raise
        async with self._live.subscription(subjects.CHECKPOINT, _ignore, limit=10):
            await self._live.flush()
        if self._live.denied:
            denied = ", ".join(sorted(self._live.denied))
            raise connectivity.error("PERMISSION_DENIED", f"the bus does not allow {denied}")
        return f"{len(asked) + 1} subjects that a worker needs are allowed"

    async def _read(self, attempt: examination.Attempt) -> str:
        name = f"{self._member.cluster_id}-doctor"
        scope = subjects.scope_filter(subjects.SCOPE_ALL)
        return await attempt(Reader(self._live, topology.POLICY, name, scope, api=subjects.MEMBERS_API))

    async def _ask_master(self) -> str:
        asked_at = self.clock.now()
        reply = await dialogue.ask(self._live, self._member.cluster_id, "report")
        if reply.dismissed is not None:
            signed = dialogue.dismissal(self._member.verifier(), self._member.cluster_id, reply.dismissed)
            if signed is not None:
                raise _ended(signed.reason, signed.at)
        if reply.checked is None:
            raise connectivity.error("ANSWER_INVALID", "the master's answer makes no sense")
        self.heard(reply.checked, asked_at)
        return f"the master of {self._member.federation_name} answers"


class _JoinDoctor(_Asker):
    """Examines a join that has not happened."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        super().__init__(clock)
        self._text, self._name, self._server = plan
        self._token: JoinToken | None = None

    async def read(self) -> str:
        """Decode the token and look at its dates."""
        token = self._token = JoinToken.decode(self._text)
        if token.expires <= self.clock.now():
            raise connectivity.error("TOKEN_EXPIRED", f"the join token expired at {rfc3339(token.expires)}")
        return f"token {token.token_id} for {token.server}:{token.port}"

    def endpoint(self) -> Endpoint:
        """Return where the token leads; nowhere if it is none."""
        token = self._token
        if token is None:
            return Endpoint((), b"")
        at = dialogue.addresses(token, self._server)
        return Endpoint(tuple(dialogue.url(address) for address in at), token.ca_pem)

    async def ask(self) -> str:
        """Log in with the token and ask the master whether it would let this cluster in."""
        assert self._token is not None  # noqa: S101 - the steps that need it run behind the one that sets it
        bus, renew = (KeyPair.new(KeyType.USER, self.clock.random_bytes(32)) for _ in range(2))
        asked_at = self.clock.now()
        who = Joining(name=self._name)
        at = dialogue.addresses(self._token, self._server)
        self.heard(await dialogue.check_join(self._token, Keys(bus, renew), who, at, asked_at), asked_at)
        return f"the master would let {self._name or 'a cluster'} in"


def _ended(reason: str, at: str) -> FedbusError:
    return connectivity.error(ENDED[reason], f"the membership ended at {at}: {reason}")


async def _ignore(_message: Message) -> None:
    pass
