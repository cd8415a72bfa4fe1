"""The newest run over each registry, so that one goes on after a restart."""

import contextlib
import sqlite3

import msgspec

from fedbus.model import codec
from fedbus.model.registry_run import Run


class Runs:
    """The runs, within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, Run]:
        """Return the newest run of every registry that had one, leaving out what this build cannot read."""
        found = {}
        for name, body in self._connection.execute("SELECT registry, body FROM registry_runs"):
            with contextlib.suppress(msgspec.MsgspecError):
                found[name] = codec.decode(body, Run)
        return found

    def put(self, run: Run) -> None:
        """Keep where a run stands, instead of what was kept of its registry."""
        self._connection.execute(
            "INSERT OR REPLACE INTO registry_runs (registry, body) VALUES (?,?)",
            (run.registry, codec.encode(run)),
        )

    def drop(self, registry: str) -> None:
        """Forget the run of a registry."""
        self._connection.execute("DELETE FROM registry_runs WHERE registry=?", (registry,))
