"""The child's side of a measurement: marks on CLOCK_MONOTONIC, which every process of a machine shares."""

import os
import signal
import threading
import time
from typing import TextIO

import msgspec

from fedbus.model import subjects
from fedbus.web.sse import Hub
from fedbus.worker.federation import AppliedNotice


class Mark(msgspec.Struct, frozen=True):
    """Everybody in one process has reached `key`: when each did, how many events that was, the CPU so far."""

    key: int
    at: list[float]
    amount: int
    cpu: float


class Stopwatch:
    """Writes one mark a line when all `count` participants of this process have reached a key."""

    def __init__(self, out: TextIO, count: int) -> None:
        self._out, self._count = out, count
        self._reached: dict[int, dict[str, float]] = {}

    def reached(self, who: str, key: int, amount: int = 1) -> None:
        """Note that `who` has reached `key` now; the second time is ignored."""
        now = time.monotonic()
        at = self._reached.setdefault(key, {})
        at.setdefault(who, now)
        if len(at) == self._count:
            mark = Mark(key, list(at.values()), amount, time.process_time())
            self._out.write(msgspec.json.encode(mark).decode() + "\n")
            self._out.flush()
            if self._count > 1:
                at["done"] = now


class TimedHub(Hub):
    """A daemon's hub of server-sent events that notes each `applied`, which follows the commit."""

    def __init__(self, stopwatch: Stopwatch, who: str) -> None:
        super().__init__()
        self._stopwatch, self._who = stopwatch, who

    def publish(self, event: str, data: object) -> None:
        """Note an apply for all clusters, then go on as usual."""
        if isinstance(data, AppliedNotice) and data.scope == subjects.SCOPE_ALL:
            self._stopwatch.reached(self._who, data.version, data.applied)
        super().publish(event, data)


def take_stdout() -> TextIO:
    """Return the standard output for marks alone; everything else goes to standard error from now on."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def end_with_parent() -> None:
    """End this process as if by SIGTERM when the parent, however it ended, closed our standard input."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
