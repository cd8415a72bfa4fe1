"""What admission decides by, from the store: rules in order, the state, the vulnerability profile."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import msgspec

from fedbus.model import codec
from fedbus.model.decision import RuleScope
from fedbus.model.objects import StoredObject
from fedbus.model.policy import SINGLETON, AdmissionRule, AdmissionState, Policy, VulnerabilityProfile
from fedbus.store.transaction import Transaction

P = TypeVar("P", bound=Policy)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The admission policy of one scope, its rules in the order in which they match."""

    scope: RuleScope
    rules: tuple[AdmissionRule, ...] = ()
    state: AdmissionState | None = None
    profile: VulnerabilityProfile | None = None


class RuleSource(Protocol):
    """One scope of admission policy in the store."""

    def stamp(self, tx: Transaction) -> object:
        """Return something that is another whenever the policy is: cheap, it is asked often."""
        ...

    def read(self, tx: Transaction) -> Rules:
        """Return the policy."""
        ...


class Objects(Protocol):
    """The federated objects of a store, as they are or as they would be."""

    def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object, a deleted one too."""
        ...

    def objects(self, scope: str, kind: str | None = None) -> list[StoredObject]:
        """Return the objects of a scope, not the deleted."""
        ...


def federated(held: Objects, scopes: Iterable[str]) -> Rules:
    """Return the policy of several scopes; of the state and the profile the first that there is."""
    rules: dict[int, AdmissionRule] = {}
    state: AdmissionState | None = None
    profile: VulnerabilityProfile | None = None
    for scope in scopes:
        found = [codec.decode(one.payload, AdmissionRule) for one in held.objects(scope, "admission_rule")]
        for rule in sorted(found, key=lambda rule: (rule.rank, rule.id)):
            rules.setdefault(rule.id, rule)
        state = state or _single(held, scope, "admission_state", AdmissionState)
        profile = profile or _single(held, scope, "vulnerability_profile", VulnerabilityProfile)
    return Rules(scope="fed", rules=tuple(rules.values()), state=state, profile=profile)


class FederatedRules:
    """The federation's policy, in the scopes that concern this cluster: an earlier one stands above."""

    def __init__(self, scopes: Callable[[Transaction], Iterable[str]]) -> None:
        self._scopes = scopes

    def stamp(self, tx: Transaction) -> object:
        """Return where each scope stands."""
        return tuple((scope, tx.scope(scope).version, tx.scope(scope).digest) for scope in self._scopes(tx))

    def read(self, tx: Transaction) -> Rules:
        """Return what all scopes hold."""
        return federated(tx, self._scopes(tx))


class LocalRules:
    """The cluster's own policy."""

    def stamp(self, tx: Transaction) -> object:
        """Return how often it was changed."""
        return tx.local.version()

    def read(self, tx: Transaction) -> Rules:
        """Return what this cluster has of its own."""
        rules = [codec.decode(one.payload, AdmissionRule) for one in tx.local.objects("admission_rule")]
        return Rules(
            scope="local",
            rules=tuple(sorted(rules, key=lambda rule: (rule.rank, rule.id))),
            state=_decoded(tx.local.object("admission_state", SINGLETON), AdmissionState),
            profile=_decoded(tx.local.object("vulnerability_profile", SINGLETON), VulnerabilityProfile),
        )


def _single(held: Objects, scope: str, kind: str, of: type[P]) -> P | None:
    return _decoded(held.object(scope, kind, SINGLETON), of)


def _decoded(held: StoredObject | None, of: type[P]) -> P | None:
    return None if held is None or held.deleted else codec.decode(held.payload, of)
