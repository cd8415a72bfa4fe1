"""The last inventory that each cluster reported, within a transaction: as it came, one a cluster."""

import sqlite3
from collections.abc import Collection

import msgspec


class HeldInventory(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster's inventory: when it came (Unix seconds), the digest of what it says, and its body."""

    cluster: str
    at: float
    digest: str
    encoding: str
    body: bytes


class Inventories:
    """The inventories of all clusters."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, one: HeldInventory) -> None:
        """Keep an inventory in place of the cluster's last one."""
        self._connection.execute(
            "INSERT OR REPLACE INTO inventories (cluster, at, digest, encoding, body) VALUES (?,?,?,?,?)",
            (one.cluster, one.at, one.digest, one.encoding, one.body),
        )

    def of(self, cluster: str) -> HeldInventory | None:
        """Return the inventory of a cluster."""
        row = self._connection.execute(
            "SELECT cluster, at, digest, encoding, body FROM inventories WHERE cluster=?", (cluster,)
        ).fetchone()
        if row is None:
            return None
        name, at, digest, encoding, body = row
        return HeldInventory(cluster=name, at=at, digest=digest, encoding=encoding, body=body)

    def keep(self, clusters: Collection[str]) -> None:
        """Drop the inventories of all other clusters."""
        held = [row[0] for row in self._connection.execute("SELECT cluster FROM inventories")]
        gone = [(one,) for one in held if one not in clusters]
        self._connection.executemany("DELETE FROM inventories WHERE cluster=?", gone)
