"""A child process that is a worker daemon: `python -m benchmarks.scan_worker DIR TOKEN_FILE NAME`.

Writes a line for each commit: which scope, its version and when, how many events, the CPU time so far.
"""

import os
import sys
import time
from pathlib import Path
from unittest import mock

import msgspec

from benchmarks.stopwatch import end_with_parent, take_stdout
from fedbus.settings import WorkerSettings
from fedbus.web.sse import Hub
from fedbus.worker import daemon, lifecycle
from fedbus.worker.federation import AppliedNotice


class Commit(msgspec.Struct, frozen=True):
    """One commit; `at` is on CLOCK_MONOTONIC, which every process of a machine shares."""

    scope: str
    version: int
    at: float
    applied: int
    cpu: float


class NotingHub(Hub):
    """A daemon's hub of server-sent events that writes down each `applied`, which follows the commit."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self._out = out

    def publish(self, event: str, data: object) -> None:
        """Note an apply, then go on as usual."""
        if isinstance(data, AppliedNotice):
            now, cpu = time.monotonic(), time.process_time()
            line = msgspec.json.encode(Commit(data.scope, data.version, now, data.applied, cpu))
            os.write(self._out, line + b"\n")
        super().publish(event, data)


if __name__ == "__main__":
    out = take_stdout()
    end_with_parent()
    _, where, token_file, name = sys.argv
    settings = WorkerSettings(
        data_dir=Path(where), rest_port=0, webhook_port=0, join_token_file=Path(token_file), join_name=name
    )
    with mock.patch.object(lifecycle, "Hub", return_value=NotingHub(out.fileno())):
        daemon.run(settings)
