"""Reading policy of both scopes: the federation's from wherever a daemon has it, the cluster's own."""

from fedbus.cluster.admission.built_in import BuiltInRules
from fedbus.model.objects import StoredObject
from fedbus.store.database import Database
from fedbus.store.local import LOCAL
from fedbus.web.policy_reads import PolicyReader


class PolicyReaders:
    """Reads objects by kind, with `scope` fed or local."""

    def __init__(self, federated: PolicyReader, database: Database, built_in: BuiltInRules) -> None:
        self._federated, self._database, self._built_in = federated, database, built_in

    async def objects(self, scope: str, kind: str) -> list[StoredObject]:
        """Return all objects of a kind in a scope, in any order."""
        if scope != LOCAL:
            return await self._federated.objects(scope, kind)
        return self._built_in.objects(kind) + await self._database.read(lambda tx: tx.local.objects(kind))

    async def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object, None if there is none."""
        if scope != LOCAL:
            return await self._federated.object(scope, kind, name)
        if (built_in := self._built_in.object(kind, name)) is not None:
            return built_in
        return await self._database.read(lambda tx: tx.local.object(kind, name))
