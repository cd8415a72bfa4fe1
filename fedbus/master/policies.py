"""Policy changes: documents in, one changeset out."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from fedbus.core import policy_plan
from fedbus.core.references import Key
from fedbus.master.ledger import Change, Committed, Ledger, Request
from fedbus.model import codec, subjects
from fedbus.model.policy import KINDS, Policy
from fedbus.store.transaction import Transaction


class _Ranked(msgspec.Struct):
    rank: str = ""


class HeldPolicy:
    """The federated objects of one transaction, decoded one by one as they are asked for."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def get(self, key: Key) -> Policy | None:
        """Return one object."""
        stored = self._tx.object(subjects.SCOPE_ALL, *key)
        if stored is None or stored.deleted or key[0] not in KINDS:
            return None
        return codec.decode(stored.payload, KINDS[key[0]].type)

    def all_keys(self) -> list[Key]:
        """Return the key of every object."""
        return [key for key in self._tx.names(subjects.SCOPE_ALL) if key[0] in KINDS]

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind."""
        return [name for _, name in self._tx.names(subjects.SCOPE_ALL, kind)]

    def ranks(self, kind: str) -> list[str]:
        """Return the ranks of an ordered kind."""
        return [codec.decode(s.payload, _Ranked).rank for s in self._tx.objects(subjects.SCOPE_ALL, kind)]


class Policies:
    """The use cases on federated policy."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def apply(
        self, documents: Sequence[tuple[int, int | None, dict[str, object]]], request: Request
    ) -> Committed:
        """Apply documents (index, line, content) as one changeset.

        Raises InvalidInput with every fault, Conflict for a stale revision, Unavailable.
        """
        if request.key:
            content = codec.encode([content for _, _, content in documents])
            request = msgspec.structs.replace(request, digest=sha256(content).hexdigest())
            if (answered := await self._ledger.answered(request)) is not None:
                return answered
        wanted = policy_plan.read(documents)

        def plan(tx: Transaction) -> list[Change]:
            return [_change(step) for step in policy_plan.plan(HeldPolicy(tx), wanted)]

        return await self._ledger.commit(plan, request)


def _change(step: policy_plan.Planned) -> Change:
    return Change(
        scope=subjects.SCOPE_ALL,
        category=subjects.POLICY,
        kind=step.kind,
        name=step.name,
        payload=None if step.obj is None else codec.encode(step.obj),
        revision=step.revision,
        document=step.document,
    )
