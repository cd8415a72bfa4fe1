"""The federated objects of a store, as the REST paths of policy read them."""

from collections.abc import Callable, Iterable

from fedbus.model.objects import StoredObject
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

FED = "fed"


class FederatedPolicy:
    """Reads objects by kind from the scopes that concern this cluster: what an earlier one has counts."""

    def __init__(self, database: Database, scopes: Callable[[Transaction], Iterable[str]]) -> None:
        self._database, self._scopes = database, scopes

    async def objects(self, scope: str, kind: str) -> list[StoredObject]:
        """Return all objects of a kind; only `fed` has any here."""
        if scope != FED:
            return []

        def read(tx: Transaction) -> list[StoredObject]:
            found: dict[str, StoredObject] = {}
            for held in self._scopes(tx):
                for one in tx.objects(held, kind):
                    found.setdefault(one.name, one)
            return list(found.values())

        return await self._database.read(read)

    async def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object, None if there is none."""
        if scope != FED:
            return None
        found = await self._database.read(
            lambda tx: [tx.object(held, kind, name) for held in self._scopes(tx)]
        )
        return next((one for one in found if one is not None and not one.deleted), None)
