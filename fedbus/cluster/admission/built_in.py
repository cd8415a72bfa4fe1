"""The critical admission rules of this cluster: a source of rules, and objects that can be read."""

from hashlib import sha256

from fedbus.cluster.admission.rules import Rules
from fedbus.core.admission.built_in import built_in
from fedbus.model import codec
from fedbus.model.objects import StoredObject
from fedbus.settings import Settings
from fedbus.store.transaction import Transaction
from fedbus.web.policy_reads import BUILT_IN

_KIND = "admission_rule"


class BuiltInRules:
    """What the settings make of the rules that every cluster starts with; the same as long as it runs."""

    def __init__(self, settings: Settings) -> None:
        own = settings.webhook_service.split(".")[1]
        self.rules = Rules(scope="local", rules=built_in(settings.critical_namespaces, own))
        self._stored = [_stored(str(rule.id), codec.encode(rule)) for rule in self.rules.rules]

    def stamp(self, _tx: Transaction) -> object:
        """Return that they are never others."""
        return None

    def read(self, _tx: Transaction) -> Rules:
        """Return them, for the decision."""
        return self.rules

    def objects(self, kind: str) -> list[StoredObject]:
        """Return those of a kind."""
        return list(self._stored) if kind == _KIND else []

    def object(self, kind: str, name: str) -> StoredObject | None:
        """Return one, None if there is none."""
        return next((one for one in self.objects(kind) if one.name == name), None)


def _stored(name: str, payload: bytes) -> StoredObject:
    content = int.from_bytes(sha256(payload).digest()[:6], "big")  # tags of lists follow the settings by it
    return StoredObject(
        scope=BUILT_IN,
        kind=_KIND,
        name=name,
        epoch=0,
        revision=1,
        version=content,
        digest="",
        payload=payload,
    )
