"""The demo's daemons: started, watched through their event streams, stopped."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from fedbus.cli import summary
from fedbus.cli.client import Api
from fedbus.cli.demo.process import DaemonProcess
from fedbus.cli.errors import CliError
from fedbus.cli.summary import Board
from fedbus.model import subjects
from fedbus.model.federation import ScopeState, SummaryRow

T = TypeVar("T")

WAIT_SECONDS = 10.0
"""How long anything that is waited for may take."""
KEPT = 512
"""Applied versions of a worker whose time is remembered."""

MASTER = "hub"
WORKERS = {"berlin": "eu", "virginia": "us", "tokyo": "asia"}
"""The clusters' names and their regions."""
SETTINGS = {"heartbeat_interval": 1.0}
MASTER_SETTINGS = SETTINGS | {"checkpoint_interval": 1.0}
"""Livelier than the defaults, so that the table moves."""


class _Applied(msgspec.Struct):
    """What is read of a worker's `applied` event."""

    scope: str
    version: int


class _Held(msgspec.Struct):
    """What is read of a worker's own summary."""

    scopes: dict[str, ScopeState] = {}


class Member:
    """One daemon: its process, its REST API, and a watch on its event stream."""

    def __init__(self, name: str, process: DaemonProcess, group: asyncio.TaskGroup) -> None:
        self.name, self.process = name, process
        self._group = group
        self._api: Api | None = None
        self._watch: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._lost = ""

    @property
    def api(self) -> Api:
        """Its REST API. Raises CliError while it does not run."""
        if self._api is None:
            raise CliError(f"{self.name} does not run")
        return self._api

    @property
    def directory(self) -> Path:
        """Its data directory."""
        return self.process.directory

    async def start(self) -> None:
        """Start the process; return when its REST API answers. Raises CliError."""
        self._lost = ""
        await self.process.start()
        self._api = Api(self.process.reached_by)

    async def stop(self) -> int:
        """Stop watching, then the process; return its exit status."""
        try:
            if self._watch is not None:
                self._watch.cancel()
                await asyncio.wait([self._watch])
            if self._api is not None:
                await self._api.__aexit__(None, None, None)
        finally:
            self._watch = self._api = None
            status = await self.process.stop()
        return status

    async def until(self, what: str, check: Callable[[], Awaitable[T]]) -> T:
        """Return the first truthy result of `check`, tried again whenever this daemon has news.

        Raises CliError when the event stream is lost, or the time is over; `what` names what was awaited.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    news = self._news
                    if found := await check():
                        return found
                    if self._lost:
                        raise CliError(f"{what}: {self.name} is lost: {self._lost}")
                    await news.wait()
        except TimeoutError as error:
            raise CliError(f"{what}: not within {WAIT_SECONDS:.0f} s") from error

    def _watching(self, watch: Coroutine[None, None, None]) -> None:
        self._watch = self._group.create_task(self._noting_the_end(watch), name=f"watch {self.name}")

    async def _noting_the_end(self, watch: Coroutine[None, None, None]) -> None:
        try:
            await watch
            self._lost = f"its event stream ended: {self.process.last_words()}"
        except CliError as error:
            self._lost = error.message
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Master(Member):
    """The master; `board` is its live summary once it is promoted."""

    def __init__(self, process: DaemonProcess, group: asyncio.TaskGroup) -> None:
        super().__init__(MASTER, process, group)
        self.board = Board()

    def follow(self) -> None:
        """Keep the board true from now on."""
        self._watching(summary.follow(self.api, self.board, lambda _changed: self._tell()))

    async def shows(self, name: str, what: str, true: Callable[[SummaryRow], bool]) -> SummaryRow:
        """Return the row of the cluster `name` once `true` holds for it. Raises CliError."""

        async def check() -> SummaryRow | None:
            rows = (row for row in self.board.rows() if row.name == name and row.role == "joint")
            return next(filter(true, rows), None)

        row = await self.until(f"the master's summary to show {name} {what}", check)
        assert row is not None  # noqa: S101 - `until` returns what is true
        return row


class Worker(Member):
    """A worker, and when it held which version."""

    def __init__(self, name: str, process: DaemonProcess, group: asyncio.TaskGroup) -> None:
        super().__init__(name, process, group)
        self._held: deque[tuple[int, float]] = deque(maxlen=KEPT)

    async def start(self) -> None:
        """Start the process; return when its events are heard. Raises CliError."""
        await super().start()
        heard = asyncio.Event()
        self._watching(self._listen(heard))

        async def check() -> bool:
            return heard.is_set()

        await self.until(f"the event stream of {self.name}", check)

    async def _listen(self, heard: asyncio.Event) -> None:
        async for event, data in self.api.events("applied,member"):
            if not event:
                # What was applied before is in the state, read after subscribing: nothing falls between.
                held = msgspec.convert(await self.api.get("/v1/fed/summary"), _Held)
                self._note(held.scopes.get(subjects.SCOPE_ALL, ScopeState()).version)
                heard.set()
            elif event == "applied":
                applied = msgspec.json.decode(data, type=_Applied)
                if applied.scope == subjects.SCOPE_ALL:
                    self._note(applied.version)
            self._tell()

    def _note(self, version: int) -> None:
        self._held.append((version, time.perf_counter()))

    async def reached(self, version: int) -> float:
        """Wait until it holds `version`; return when it was heard that it does (`perf_counter`)."""

        async def check() -> float | None:
            return next((at for held, at in self._held if held >= version), None)

        at = await self.until(f"{self.name} to apply version {version}", check)
        assert at is not None  # noqa: S101 - `until` returns what is true
        return at


class Fleet:
    """The master and the workers, in one directory."""

    def __init__(self, directory: Path, bus_port: int, group: asyncio.TaskGroup) -> None:
        self.directory = directory
        settings = MASTER_SETTINGS | {"bus_port": bus_port}
        self.master = Master(DaemonProcess("master", directory / MASTER, settings), group)
        self.workers = {
            name: Worker(name, DaemonProcess("worker", directory / name, SETTINGS), group) for name in WORKERS
        }

    @property
    def members(self) -> list[Member]:
        """All of them."""
        return [self.master, *self.workers.values()]

    async def start(self) -> None:
        """Start all at once. Raises an ExceptionGroup of CliError."""
        await together(member.start() for member in self.members)

    async def stop(self) -> None:
        """Stop all, whatever goes wrong with one: the workers first, who say goodbye to the master."""
        stopping = [worker.stop() for worker in self.workers.values()]
        ended = await asyncio.gather(*stopping, return_exceptions=True)
        await self.master.stop()
        for error in ended:
            if isinstance(error, BaseException):
                raise error


@asynccontextmanager
async def running(directory: Path, bus_port: int = 0) -> AsyncIterator[Fleet]:
    """Give a fleet that is not started yet; at the end, however it comes, nothing of it runs any more."""
    async with asyncio.TaskGroup() as watches:
        fleet = Fleet(directory, bus_port, watches)
        try:
            yield fleet
        finally:
            await fleet.stop()


async def together(work: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Do everything at once and return the results in order. Raises an ExceptionGroup."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]
