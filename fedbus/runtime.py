"""Running a daemon: services under one TaskGroup, signals, and the clock."""

import asyncio
import contextlib
import ctypes
import datetime as dt
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Literal

Service = Callable[[asyncio.Event], Coroutine[None, None, None]]


class Clock:
    """The one place that reads the clock, ids and randomness; tests hand in another."""

    def now(self) -> float:
        """Return Unix seconds, for stamps and expiries."""
        return time.time()  # noqa: TID251 - this is the clock that is handed around

    def monotonic(self) -> float:
        """Return seconds that never step, for ages and timeouts."""
        return time.monotonic()

    def stamp(self) -> str:
        """Return the time as RFC 3339 in UTC, to the millisecond."""
        return rfc3339(self.now())

    def random_bytes(self, size: int) -> bytes:
        """Return bytes fit for keys and ids."""
        return os.urandom(size)

    def jitter(self) -> float:
        """Return a uniform number in [0, 1), for delays only."""
        return random.random()


def give_memory_back() -> None:
    """Have glibc return large blocks to the system when they are freed.

    By itself it learns from the first password hash (19 MiB) to keep them: a quarter of a worker's memory.
    """
    m_mmap_threshold, default = -3, 128 * 1024
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(m_mmap_threshold, default)


def rfc3339(seconds: float, to: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """Return Unix seconds as RFC 3339 in UTC, cut off at the millisecond or second."""
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return moment.isoformat(timespec=to).replace("+00:00", "Z")


def cancelled() -> bool:
    """Tell whether the current task is being cancelled: an error in a group of its own hides that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def serve(services: Mapping[str, Service], stop: asyncio.Event, grace: float = 3.0) -> None:
    """Run services until `stop`: then each has `grace` seconds to end by itself and is cancelled after.

    A service that raises ends all and its error is raised; one that returns before `stop` is an error.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_run(name, service, stop), name=name) for name, service in services.items()
        ]
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()


async def _run(name: str, service: Service, stop: asyncio.Event) -> None:
    await service(stop)
    if not stop.is_set():
        raise RuntimeError(f"the service {name} ended by itself")


@contextlib.contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM and SIGINT, while inside."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def first(*waits: Awaitable[object], timeout: float | None = None) -> None:
    """Wait until one of several things happens or the time is over, and cancel the rest."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # noqa: TID251 - awaited right below
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
