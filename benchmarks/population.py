"""The parent's side: child processes full of workers, or of bare consumers, and their marks."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from benchmarks.stopwatch import Mark

STOP_SECONDS = 15.0


class Population:
    """Child processes that run `python -m <module> <arguments>` each; standard error goes to `log`."""

    def __init__(self, log: Path, *commands: Sequence[str]) -> None:
        self._log, self._commands = log, commands
        self.processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        try:
            for command in self._commands:
                with self._log.open("ab") as log:
                    process = await asyncio.create_subprocess_exec(
                        sys.executable, "-m", *command,
                        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                    )  # fmt: skip
                self.processes.append(process)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.processes:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def reached(self, key: int, seconds: float = 30.0) -> list[float]:
        """Wait until all have reached `key`; return when each did."""
        times: list[float] = []
        for process in self.processes:
            times += (await self._marks(process, key, seconds))[-1].at
        return times

    async def marks(self, key: int, seconds: float) -> list[Mark]:
        """Return every mark of the only process up to the one with `key`."""
        (process,) = self.processes
        return await self._marks(process, key, seconds)

    async def _marks(self, process: asyncio.subprocess.Process, key: int, seconds: float) -> list[Mark]:
        marks: list[Mark] = []
        assert process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                while not marks or marks[-1].key < key:
                    line = await process.stdout.readline()
                    if not line:
                        raise RuntimeError(f"a measured process ended early, see {self._log}")
                    marks.append(msgspec.json.decode(line, type=Mark))
        except TimeoutError as error:
            raise RuntimeError(f"a measured process did not reach {key} in {seconds} s") from error
        return marks
