"""The federated objects of a store, as the REST paths of policy read them."""

from collections.abc import Callable, Iterable

from fedbus.model.objects import StoredObject
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

FED = "fed"


class FederatedPolicy:
    """Reads objects by kind from the scopes that concern this cluster, in that order."""

    def __init__(self, database: Database, scopes: Callable[[Transaction], Iterable[str]]) -> None:
        self._database, self._scopes = database, scopes

    async def objects(self, scope: str, kind: str) -> list[StoredObject]:
        """Return all objects of a kind; only `fed` has any here."""
        if scope != FED:
            return []
        return await self._database.read(
            lambda tx: [found for held in self._scopes(tx) for found in tx.objects(held, kind)]
        )

    async def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object, None if there is none."""
        if scope != FED:
            return None
        found = await self._database.read(
            lambda tx: [tx.object(held, kind, name) for held in self._scopes(tx)]
        )
        return next((one for one in found if one is not None and not one.deleted), None)
