"""The embedded NATS server: a supervised child of the master, on the master's data directory.

Start, wait until it answers, start it again when it dies, stop it cleanly. The port is chosen once and
kept, so that a restart is the same address to every worker. It never outlives the master: a bus without
a master would go on taking joins that nobody answers and hold the store a new master needs.
"""

import asyncio
import contextlib
import re
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec
import structlog

from fedbus.bus.server_config import RANDOM_PORT, ServerSettings, render
from fedbus.bus.server_process import end_leftover, find_binary, tied_to_this_process
from fedbus.errors import FedbusError, InvalidInput, Unavailable
from fedbus.pki import ca, files, jwt

log = structlog.get_logger(__name__)

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
# A server that ran this long was well: the next crash is a new one, and is answered at once.
_STABLE_SECONDS: Final = 30.0
_FIRST_PROBE: Final = 0.01
_LONGEST_PROBE: Final = 0.25


class EmbeddedServer:
    """One nats-server process. `async with` starts and stops it; `run` keeps it alive in between."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        binary: Path | None = None,
        start_seconds: float = 30.0,
        grace_seconds: float = 6.0,
    ) -> None:
        """Take settings. `grace_seconds` is the time to end by itself before it is killed."""
        # absolute: the command line then says which server it is, and nobody's working directory matters
        self._settings = msgspec.structs.replace(
            settings,
            directory=settings.directory.absolute(),
            certificate_file=settings.certificate_file.absolute(),
        )
        self._binary = binary
        self._start_seconds = start_seconds
        self._grace_seconds = grace_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._started_at = 0.0
        self.restarts = 0
        """How often the server had to be started again."""
        self.ready = asyncio.Event()
        """Set while it takes clients, as far as we know."""

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def port(self) -> int:
        """The port that clients use; 0 before the first start when it is to be chosen."""
        return self._settings.port

    @property
    def url(self) -> str:
        """Where a client on this machine connects, TLS first."""
        host = _reachable(self._settings.host)
        return f"tls://[{host}]:{self.port}" if ":" in host else f"tls://{host}:{self.port}"

    @property
    def config_file(self) -> Path:
        """The configuration that the server runs with."""
        return self._settings.directory / "nats-server.conf"

    async def start(self) -> None:
        """Start it, if it does not run, and return once it takes clients.

        A server that a killed master left behind on this directory is ended first.
        Raises Unavailable, with the server's own words, when it ends or does not answer in time,
        ConfigError when there is no nats-server or a setting is wrong, OSError when the disk is.
        """
        if self.pid is not None:
            return
        trust = self._prepare()
        await end_leftover(self._settings.pid_file, self.config_file, self._grace_seconds)
        self._process = await self._spawn()
        self._started_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._start_seconds):
                await self._ready(self._process, trust)
        except TimeoutError as error:
            failure = self._failure(f"did not answer in {self._start_seconds:.0f} s")
            await self.stop()
            raise failure from error
        self.ready.set()
        log.info("bus_server_started", pid=self.pid, url=self.url)

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it after the grace. Does nothing when it does not run."""
        self.ready.clear()
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
                process.send_signal(signal.SIGCONT)  # one that was stopped does not even hear it
            try:
                async with asyncio.timeout(self._grace_seconds):
                    await process.wait()
            except TimeoutError:
                log.warning("bus_server_killed", pid=process.pid, after_seconds=self._grace_seconds)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._process = None

    async def run(self, stop: asyncio.Event) -> None:
        """Keep it alive until `stop`: a dead server is started again, later each time it dies young."""
        delay = _FIRST_DELAY
        while await self._exited_before(stop):
            self.ready.clear()
            now = asyncio.get_running_loop().time()
            delay = _FIRST_DELAY if now - self._started_at > _STABLE_SECONDS else delay
            self._log_exit(delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await stop.wait()
                    return
            delay = min(delay * 2, _LONGEST_DELAY)
            self.restarts += 1
            try:
                await self.start()
            except (FedbusError, OSError) as error:
                log.error("bus_server_start_failed", reason=str(error))  # noqa: TRY400 - no bug of ours

    def reload(self) -> None:
        """Let it read its configuration and certificate again; connections stay."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    def preload(self, accounts: Mapping[str, str]) -> None:
        """Keep newer account JWTs for the next start, in case the directory with the pushed ones is lost."""
        self._settings = msgspec.structs.replace(
            self._settings, accounts={**self._settings.accounts, **accounts}
        )

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _prepare(self) -> ssl.SSLContext:
        """Write what the server reads; return whom a client of it trusts."""
        files.make_directory(self._settings.directory)
        for old in self._settings.directory.glob("*.ports"):  # of a server that crashed
            old.unlink(missing_ok=True)
        files.write(self.config_file, render(_with_pushed_accounts(self._settings)))
        trust = ca.client_context(self._settings.certificate_file.read_bytes())
        trust.check_hostname = False  # it may be known by any name; that it holds our key is enough
        return trust

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = self._binary or find_binary()
        with self._stderr_file.open("wb") as stderr:
            return await asyncio.create_subprocess_exec(
                *tied_to_this_process(program, "-c", str(self.config_file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                # Ctrl-C on a terminal goes to the whole group: the master drains first and then stops it
                start_new_session=True,
            )

    async def _ready(self, process: asyncio.subprocess.Process, trust: ssl.SSLContext) -> None:
        """Return when the server answers; raise Unavailable when it ends instead."""
        async with asyncio.TaskGroup() as group:
            answered = group.create_task(self._answers(process.pid, trust), name="bus server answers")
            exited = group.create_task(process.wait(), name="bus server exits")
            await asyncio.wait({answered, exited}, return_when=asyncio.FIRST_COMPLETED)
            ready = answered.done()
            answered.cancel()
            exited.cancel()
        if not ready:
            raise self._failure(f"ended with status {process.returncode}")

    async def _answers(self, pid: int, trust: ssl.SSLContext) -> None:
        delay = _FIRST_PROBE
        while not (
            self._port_known(pid) and await _greets(_reachable(self._settings.host), self.port, trust)
        ):
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_PROBE)

    def _port_known(self, pid: int) -> bool:
        if self._settings.port != RANDOM_PORT:
            return True
        for path in self._settings.directory.glob(f"*_{pid}.ports"):
            with contextlib.suppress(OSError, msgspec.DecodeError):  # not all of it is there yet
                urls = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]]).get("nats", [])
                if urls and (port := urlsplit(urls[0]).port):
                    self._settings = msgspec.structs.replace(self._settings, port=port)
                    return True
        return False

    async def _exited_before(self, stop: asyncio.Event) -> bool:
        process = self._process
        if process is None:
            return not stop.is_set()
        async with asyncio.TaskGroup() as group:
            exited = group.create_task(process.wait(), name="bus server exits")
            stopped = group.create_task(stop.wait(), name="bus server stop")
            await asyncio.wait({exited, stopped}, return_when=asyncio.FIRST_COMPLETED)
            exited.cancel()
            stopped.cancel()
        return not stop.is_set()

    @property
    def _stderr_file(self) -> Path:
        return self._settings.directory / "nats-server.err"

    def _failure(self, what: str) -> Unavailable:
        words = self._last_words()
        return Unavailable(
            f"the embedded NATS server {what}: {words}",
            code="BUS_SERVER_DOWN",
            remedy=f"see {self._settings.log_file}",
        )

    def _log_exit(self, delay: float) -> None:
        status = self._process.returncode if self._process is not None else None
        log.error("bus_server_exited", status=status, last_words=self._last_words(), restart_in=delay)

    def _last_words(self) -> str:
        """Find the last line that says why: what it printed before it had a log file, or logged."""
        process = self._process
        ours = f"[{process.pid}]" if process is not None else ""  # the log goes on from start to start
        for path, beginning in ((self._stderr_file, ""), (self._settings.log_file, ours)):
            with contextlib.suppress(OSError):
                lines = path.read_text(errors="replace").splitlines()
                for line in reversed(lines):
                    if line.startswith(beginning) and line.strip() and not re.search(r"\[(INF|WRN)\]", line):
                        return line.strip()
        return "it said nothing"


def _with_pushed_accounts(settings: ServerSettings) -> ServerSettings:
    """Preload what was pushed where it is not older than what the settings hold.

    At start nats-server puts a preloaded JWT in the place of the pushed one also when both are of the same
    second (measured, 2.15.1): a revocation pushed right after the start would be forgotten at a restart.
    """
    accounts = dict(settings.accounts)
    for key, given in settings.accounts.items():
        with contextlib.suppress(OSError, InvalidInput):  # nothing pushed yet, or damaged
            pushed = (settings.jwt_directory / f"{key}.jwt").read_text(encoding="ascii", errors="replace")
            if _issued(pushed) >= _issued(given):
                accounts[key] = pushed
    return msgspec.structs.replace(settings, accounts=accounts)


def _issued(token: str) -> int:
    return int(jwt.decode_claims(token)["iat"])


async def _greets(host: str, port: int, trust: ssl.SSLContext) -> bool:
    """Whether a NATS server with our certificate greets there."""
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=trust)
    except OSError:  # refused, reset, or another certificate: ssl.SSLError is one
        return False
    try:
        return (await reader.read(5)).startswith(b"INFO ")
    except OSError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
