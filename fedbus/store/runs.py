"""The newest run over each registry, so that one goes on after a restart."""

import sqlite3

from fedbus.model import codec
from fedbus.model.registry_run import Run


class Runs:
    """The runs, within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, Run]:
        """Return the newest run of every registry that had one."""
        rows = self._connection.execute("SELECT registry, body FROM registry_runs")
        return {name: codec.decode(body, Run) for name, body in rows}

    def put(self, run: Run) -> None:
        """Keep where a run stands, instead of what was kept of its registry."""
        self._connection.execute(
            "INSERT OR REPLACE INTO registry_runs (registry, body) VALUES (?,?)",
            (run.registry, codec.encode(run)),
        )

    def drop(self, registry: str) -> None:
        """Forget the run of a registry."""
        self._connection.execute("DELETE FROM registry_runs WHERE registry=?", (registry,))
