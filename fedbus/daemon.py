"""A daemon as a process: its log, its traces, its signals, and the loop it runs on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import uvloop

from fedbus import __version__, log, tracing
from fedbus.errors import ConfigError, only
from fedbus.runtime import Clock, give_memory_back, stop_on_signals
from fedbus.settings import MasterSettings, WorkerSettings

S = TypeVar("S", MasterSettings, WorkerSettings)


def run(role: str, serve: Callable[[S, asyncio.Event, Clock], Awaitable[None]], settings: S) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError for what cannot be served."""
    log.set_up(settings.log_level)
    give_memory_back()
    end_tracing = tracing.set_up(settings.tracing_endpoint, role, __version__)

    async def main() -> None:
        stop = asyncio.Event()
        with stop_on_signals(stop):
            await serve(settings, stop, Clock())

    try:
        uvloop.run(main())
    except* OSError as errors:
        raise ConfigError(f"the {role} cannot go on: {only(errors)}") from errors
    finally:
        end_tracing()
