"""What a cluster holds of the results of CI pipelines."""

from collections.abc import Sequence

from fedbus.cluster.scans.local_results import scanned
from fedbus.cluster.scans.results import Scanned
from fedbus.cluster.scans.submission import Held
from fedbus.model.scan import CI_REGISTRY
from fedbus.store.database import Database
from fedbus.store.scans import SCOPE_LOCAL
from fedbus.store.transaction import Transaction

Place = tuple[str, str]
"""A scope, and the name of a registry in it."""

LOCAL: Place = (SCOPE_LOCAL, CI_REGISTRY)
"""Where those are that stay in the cluster."""


def held_in(database: Database, places: Sequence[Place]) -> Held:
    """Make what tells the newest report of a digest in any of these places."""

    async def held(digest: str) -> Scanned | None:
        def find(tx: Transaction) -> Scanned | None:
            found = [scanned(brief) for place in places if (brief := tx.scans.held(*place, digest))]
            return max(found, key=lambda one: (one.scanned_at, one.cvedb_create_time), default=None)

        return await database.read(find)

    return held
