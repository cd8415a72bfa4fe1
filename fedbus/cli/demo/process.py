"""A daemon as a child process, on ports the system hands out; it never outlives this process."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from fedbus.bus.server_process import tied_to_this_process
from fedbus.cli import profiles
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.profiles import Profile
from fedbus.runtime import first

START_SECONDS = 20.0
GRACE_SECONDS = 12.0
"""How long a daemon may take to end; it gives its own services eight seconds."""
_LOOK_EVERY = 0.01
_LAST_WORDS = 3
"""Lines of its log that are shown when it ended."""


class DaemonProcess:
    """One `fedbus master` or `fedbus worker` on the data directory `directory`.

    `settings` are the daemon's (see `fedbus.config`); the ports are free ones unless they say otherwise.
    The environment's own `FEDBUS_*` are left out.
    """

    def __init__(self, role: str, directory: Path, settings: Mapping[str, object]) -> None:
        self.role, self.directory = role, directory
        ports = {"rest_port": 0, "webhook_port": 0} | ({"bus_port": 0} if role == "master" else {})
        self.settings = ports | dict(settings)
        self.process: asyncio.subprocess.Process | None = None
        self.reached_by = Profile()
        """Its address and the files to reach it with, as of the last start."""

    @property
    def words(self) -> tuple[str, ...]:
        """What Python is told to run."""
        return ("-m", f"fedbus.{self.role}")

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        process = self.process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def log_file(self) -> Path:
        """Where it writes its log."""
        return self.directory / "daemon.log"

    async def start(self) -> Self:
        """Start it; return once its REST API answers. Raises CliError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = self.directory / "daemon.json"
        note.unlink(missing_ok=True)  # one that was killed leaves it behind
        process = self.process = await self._spawn()
        await first(_appears(note), process.wait(), timeout=START_SECONDS)
        if process.returncode is not None:
            raise CliError(f"the {self.role} ended with status {process.returncode}: {self.last_words()}")
        if not note.exists():
            raise CliError(f"the {self.role} did not start in {START_SECONDS:.0f} s: {self.last_words()}")
        self.reached_by = profiles.note(self.directory)
        return self

    async def _spawn(self) -> asyncio.subprocess.Process:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FEDBUS_")}
        environ |= {f"FEDBUS_{name.upper()}": str(value) for name, value in self.settings.items()}
        arguments = (*self.words, str(self.directory))
        try:
            with self.log_file.open("ab") as log:
                return await asyncio.create_subprocess_exec(
                    *tied_to_this_process(Path(sys.executable), *arguments),
                    env=environ,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C on a terminal goes to the whole group: it is for us, who then stop the daemons
                    start_new_session=True,
                )
        except OSError as error:
            raise CliError(f"the {self.role} cannot be started: {error}", code=ExitCode.FAILURE) from error

    async def stop(self, grace: float = GRACE_SECONDS) -> int:
        """End it with SIGTERM, after `grace` seconds with SIGKILL; return its exit status, 0 if none ran."""
        process = self.process
        if process is None:
            return 0
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(grace):
                    await process.wait()
            except TimeoutError:
                await self.kill()
        return await process.wait()

    async def kill(self) -> None:
        """End it with SIGKILL."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def log(self) -> str:
        """Return what it has written so far."""
        try:
            return self.log_file.read_text(errors="replace")
        except OSError:
            return ""

    def last_words(self) -> str:
        """Return the end of its log as one line."""
        return " | ".join(self.log().splitlines()[-_LAST_WORDS:]) or "it said nothing"


async def _appears(file: Path) -> None:
    # A daemon that answers says so by this file: there is nothing that could be waited on instead.
    while not file.exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(_LOOK_EVERY)
