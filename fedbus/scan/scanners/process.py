"""Running a scanner program: bounded in time, memory and output, and ended with all that it started."""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Mapping, Sequence

import msgspec

from fedbus.scan.scanners.interface import ScanError

MAX_REASON = 1000
"""Characters of what a program said that are kept as the reason of its failure."""
_STDERR = 64 * 1024
_CLOSING_SECONDS = 1.0
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


class Limits(msgspec.Struct, frozen=True):
    """What a program may use: seconds, bytes of output, of address space, and of one file."""

    seconds: float = 600.0
    output: int = 64 * 1024 * 1024
    memory: int = 8 << 30
    file: int = 16 << 30


def environment(given: Mapping[str, str], *, proxy: bool = True) -> dict[str, str]:
    """Return what a program needs of our environment, and nothing else: it may hold secrets."""
    names = _KEPT + (_PROXY if proxy else ())
    return {name: given[name] for name in names if name in given}


async def run(argv: Sequence[str], env: Mapping[str, str], cwd: str, limits: Limits) -> bytes:
    """Run a program to its end and return its standard output. Raises ScanError.

    It is a process group of its own, killed as a whole when the time is over, when it says too much, and
    when the caller is cancelled.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise ScanError(
            f"the scanner {argv[0]} cannot be started: {error.strerror}",
            code="SCANNER_MISSING",
            remedy="install fedbus[trivy], or name the program in the setting trivy_program",
        ) from error
    try:
        _limit(process.pid, limits)
        async with asyncio.timeout(limits.seconds):
            output, said = await _outputs(process, limits.output)
            status = await process.wait()
    except TimeoutError as error:
        raise ScanError(
            f"the scanner was not done after {limits.seconds:.0f} seconds",
            code="SCAN_TIMEOUT",
            remedy="raise the setting scan_seconds if the image is that large",
        ) from error
    finally:
        await _end(process)
    if status != 0:
        raise ScanError(f"the scanner ended with {_named(status)}: {said or 'it did not say why'}")
    return output


def _limit(pid: int, limits: Limits) -> None:
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, (limits.memory, limits.memory))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limits.file, limits.file))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


async def _outputs(process: asyncio.subprocess.Process, most: int) -> tuple[bytes, str]:
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    try:
        async with asyncio.TaskGroup() as group:
            output = group.create_task(_whole(process.stdout, most))
            said = group.create_task(_last(process.stderr))
    except* ScanError as errors:
        raise errors.exceptions[0] from None
    return output.result(), _reason(said.result())


async def _whole(stream: asyncio.StreamReader, most: int) -> bytes:
    parts, size = [], 0
    while chunk := await stream.read(256 * 1024):
        size += len(chunk)
        if size > most:
            raise ScanError(f"the scanner's output is over {most >> 20} MiB", code="SCAN_OUTPUT")
        parts.append(chunk)
    return b"".join(parts)


async def _last(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while chunk := await stream.read(16 * 1024):
        kept = (kept + chunk)[-_STDERR:]
    return kept


def _reason(said: bytes) -> str:
    """Return the last thing a program said, on one line, without what could forge output."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    last = "".join(character if character.isprintable() else " " for character in (lines or [""])[-1])
    return last if len(last) <= MAX_REASON else "..." + last[-MAX_REASON:]


def _named(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the group, also when the program itself has ended: it may have left children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # Read what is left, so that the pipes are closed; somebody who left the group may hold them open.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSING_SECONDS):
            await process.communicate()
    await process.wait()
