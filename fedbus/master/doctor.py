"""The diagnosis of a master: its keyring, its bus, its streams, and whether it answers.

It runs beside the daemon and writes nothing but a probe that the bus keeps one of.
"""

import asyncio
import datetime as dt
from contextlib import AsyncExitStack

import msgspec

from fedbus.bus import examination, topology
from fedbus.bus.examination import Examination
from fedbus.bus.reader import Reader
from fedbus.bus.session import Connection, Endpoint, connect
from fedbus.core import connectivity, diagnosis
from fedbus.core.connectivity import Step
from fedbus.core.diagnosis import Diagnosis, Finding
from fedbus.errors import ConfigError, Unavailable
from fedbus.master import operator_files
from fedbus.master.federation import Promotion
from fedbus.model import subjects
from fedbus.pki import condition
from fedbus.pki.keyring import Keyring
from fedbus.runtime import Clock
from fedbus.settings import MasterSettings

_NAME = "doctor"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


async def examine(settings: MasterSettings, clock: Clock, max_skew: float) -> Diagnosis:
    """Test a master from its files to its own answer, step by step."""
    doctor = _Doctor(settings, clock, max_skew)
    async with AsyncExitStack() as stack:
        await doctor.run(stack)
    return diagnosis.conclude("master", str(settings.data_dir), doctor.examination.findings)


class _Doctor:
    """Examines a master."""

    def __init__(self, settings: MasterSettings, clock: Clock, max_skew: float) -> None:
        self.examination = Examination()
        self._settings, self._clock, self._max_skew = settings, clock, max_skew
        self._promotion: Promotion | None = None
        self._keyring: Keyring | None = None
        self._connection: Connection | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Run every step; the session that is opened on the way ends with `stack`."""
        steps = self.examination
        await steps.step(Step.FILES, self._look_at_files)
        endpoint = self._endpoint()
        await steps.way(endpoint)
        await steps.step(Step.CREDENTIAL, lambda: self._log_in(stack, endpoint))
        await steps.step(Step.PERMISSIONS, self._try_permissions)
        await steps.step(Step.STREAM, self._try_streams)
        await steps.step(Step.CONSUMER, self._try_consumer)
        await steps.step(Step.MASTER, self._try_daemon, blocks=False)
        await steps.step(Step.CLOCK, self._compare_clocks, blocks=False)
        await steps.step(Step.VERSION, self._compare_versions, blocks=False)
        await steps.step(Step.DISK, self._look_at_disk, blocks=False, independent=True)

    async def _look_at_files(self) -> str:
        directory = self._settings.data_dir
        keyring, promotion = directory / "keyring", directory / "federation.json"
        if directory.is_dir() and not promotion.exists():
            raise connectivity.error("NOT_PROMOTED", f"{directory} is of no master of a federation")
        secrets = [path for path in sorted(keyring.rglob("*")) if path.is_file()]
        secrets += operator_files.secrets(self._settings)
        said = await asyncio.to_thread(condition.check_private, directory, [keyring, *secrets])
        try:
            self._promotion = msgspec.json.decode(promotion.read_bytes(), type=Promotion)
            operator = operator_files.lent(self._settings)
            self._keyring = await asyncio.to_thread(Keyring.load, keyring, operator)
        except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as error:
            raise connectivity.error("FILES_DAMAGED", str(error)) from error
        return said

    def _endpoint(self) -> Endpoint:
        if self._promotion is None or self._keyring is None:
            return Endpoint((), b"")
        host = _ANYWHERE.get(self._settings.bus_host, self._settings.bus_host)
        host = f"[{host}]" if ":" in host else host
        embedded = f"tls://{host}:{self._promotion.listen_port}"
        return Endpoint(self._settings.bus_urls or (embedded,), self._keyring.ca_pem)

    @property
    def _live(self) -> Connection:
        assert self._connection is not None  # noqa: S101 - the steps that need it run behind the one that sets it
        return self._connection

    async def _log_in(self, stack: AsyncExitStack, endpoint: Endpoint) -> str:
        assert self._keyring is not None  # noqa: S101 - likewise
        now, randomness = self._clock.now(), self._clock.random_bytes
        credentials = self._keyring.credentials("master", _NAME, now=now, randomness=randomness)
        self._connection = await stack.enter_async_context(connect("master-doctor", endpoint, credentials))
        async with connect("master-doctor-system", endpoint, self._keyring.system):
            return "the bus lets the master in, and its system user"

    async def _try_permissions(self) -> str:
        async with self._live.subscription(subjects.up("*", "renew"), _ignore, limit=10):
            await self._live.flush()
        if self._live.denied:
            denied = ", ".join(sorted(self._live.denied))
            raise connectivity.error("PERMISSION_DENIED", f"the bus does not allow {denied}")
        return "what workers ask can be heard"

    async def _try_streams(self) -> str | Finding:
        try:
            found = {stream.name: await topology.info(self._live, stream.name) for stream in topology.STREAMS}
        except Unavailable as error:
            if error.code == "BUS_TIMEOUT":  # nobody leads it, and so nobody speaks for it
                raise connectivity.error("BUS_NO_LEADER", error.message) from error
            if error.code != "BUS_NO_RESPONDERS":
                raise
            raise connectivity.error("JETSTREAM_OFF", "the bus has no JetStream for us") from error
        missing = [name for name, info in found.items() if info is None]
        if missing:
            raise connectivity.error("STREAM_MISSING", f"the bus has no stream {', '.join(missing)}")
        await topology.probe(self._live)
        said = f"{len(topology.STREAMS)} streams are there, and the bus stores"
        if missed := sorted({name for info in found.values() if info for name in (*info.away, *info.behind)}):
            lacking = f"{said}; but away or behind: {', '.join(missed)}"
            return diagnosis.warned(Step.STREAM, lacking, connectivity.error("BUS_INCOMPLETE", lacking))
        return said

    async def _try_consumer(self) -> str:
        filter_subject = subjects.scope_filter(subjects.SCOPE_ALL)
        return await examination.try_consumer(
            Reader(self._live, topology.POLICY, "master-doctor", filter_subject)
        )

    async def _try_daemon(self) -> str:
        """Ask as a cluster that is none, from the members' account: any answer is one."""
        assert self._keyring is not None  # noqa: S101 - likewise
        stranger = self._keyring.credentials(
            "worker", _NAME, now=self._clock.now(), randomness=self._clock.random_bytes
        )
        try:
            async with connect("master-doctor-member", self._endpoint(), stranger) as member:
                await member.request(subjects.up(_NAME, "report"), b"{}")
        except Unavailable as error:
            if error.code != "BUS_NO_RESPONDERS":
                raise
            raise connectivity.error("MASTER_AWAY", "no master listens on the bus") from error
        return "the master answers on the bus"

    async def _compare_clocks(self) -> str:
        """Compare with the bus, which judges every credential by its own clock."""
        before = self._clock.now()
        stamp = await topology.stamp(self._live)
        now = (before + self._clock.now()) / 2
        return examination.check_skew(
            now - dt.datetime.fromisoformat(stamp).timestamp(), self._max_skew, "the bus's"
        )

    async def _compare_versions(self) -> str:
        version = self._live.server_version
        if not diagnosis.bus_supported(version):
            needed = ".".join(map(str, diagnosis.BUS_MINIMUM))
            raise connectivity.error(
                "BUS_VERSION_UNSUPPORTED", f"nats-server {version} is too old; {needed} is the least"
            )
        return f"nats-server {version}"

    async def _look_at_disk(self) -> str:
        return await asyncio.to_thread(
            condition.check_disk, self._settings.data_dir, self._settings.min_free_mb
        )


async def _ignore(_message: object) -> None:
    pass
