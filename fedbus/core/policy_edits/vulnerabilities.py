"""The entries of the vulnerability profile: added, changed, deleted one by one, each under an id."""

from collections.abc import Sequence

from msgspec.structs import replace

from fedbus.core import policy_input
from fedbus.core.ids import free
from fedbus.core.policy_edits import Decision, Edit, HeldRules, valid
from fedbus.errors import Conflict, Fault, InvalidInput, NotFound
from fedbus.model.policy import FED, FED_RULE_IDS, SINGLETON, Policy, Scope, VulnerabilityProfile
from fedbus.model.policy.common import Part
from fedbus.model.policy.scope import scope_of
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.wire import Raw

KIND = "vulnerability_profile"
_LOCAL_IDS = range(1, FED_RULE_IDS.start)


def changed_vulnerabilities(profile: VulnerabilityProfile, config: Part) -> VulnerabilityProfile:
    """Return the profile with the entries of a config; it replaces all."""
    entries = getattr(config, "entries", None)
    return (
        profile
        if entries is None
        else replace(profile, entries=numbered(entries, _ids(scope_of(profile.cfg_type))))
    )


def add(name: str, body: Raw) -> tuple[VulnerabilityEntry, Decision]:
    """Return the new entry and what adds it; id 0 has one assigned. Raises InvalidInput."""
    entry = policy_input.read(VulnerabilityEntry, body, "config")

    def decide(held: HeldRules) -> list[Edit]:
        profile = _profile(held, name)
        if entry.id and any(other.id == entry.id for other in profile.entries):
            raise Conflict(f"There is an entry {entry.id} already", code="OBJECT_EXISTS")
        return _edit(held.scope, profile, (*profile.entries, entry), f"entries[{len(profile.entries)}]")

    return entry, decide


def added(profile: Policy | None, entry: VulnerabilityEntry) -> VulnerabilityEntry:
    """Return an entry as the profile has it, under its id."""
    entries = profile.entries if isinstance(profile, VulnerabilityProfile) else ()
    return next((e for e in reversed(entries) if replace(e, id=entry.id) == entry), entry)


def change(name: str, entry_id: str, body: Raw) -> Decision:
    """Return what sets one entry to what the body says. Raises InvalidInput."""
    entry = policy_input.read(VulnerabilityEntry, body, "config")
    if str(entry.id) != entry_id:
        message = f"config.id is {entry.id}, the path names {entry_id!r}"
        raise InvalidInput(message, (Fault("config.id", message),))

    def decide(held: HeldRules) -> list[Edit]:
        profile = _profile(held, name)
        at = _place(profile, entry_id)
        return _edit(
            held.scope, profile, (*profile.entries[:at], entry, *profile.entries[at + 1 :]), f"entries[{at}]"
        )

    return decide


def remove(name: str, entry_id: str) -> Decision:
    """Return the deletion of one entry."""

    def decide(held: HeldRules) -> list[Edit]:
        profile = _profile(held, name)
        at = _place(profile, entry_id)
        return _edit(held.scope, profile, (*profile.entries[:at], *profile.entries[at + 1 :]), "")

    return decide


def numbered(
    entries: Sequence[VulnerabilityEntry], ids: range = FED_RULE_IDS
) -> tuple[VulnerabilityEntry, ...]:
    """Return the entries, those without an id under a new one."""
    unused = free(ids, {entry.id for entry in entries})
    return tuple(entry if entry.id else replace(entry, id=next(unused)) for entry in entries)


def _ids(scope: Scope) -> range:
    return FED_RULE_IDS if scope is FED else _LOCAL_IDS


def _profile(held: HeldRules, name: str) -> VulnerabilityProfile:
    if name != SINGLETON:
        raise NotFound(f"There is one vulnerability profile, {SINGLETON!r}")
    found = held.get((KIND, name))
    return (
        found
        if isinstance(found, VulnerabilityProfile)
        else VulnerabilityProfile(name=name, cfg_type=held.scope.cfg_type)
    )


def _place(profile: VulnerabilityProfile, entry_id: str) -> int:
    for index, entry in enumerate(profile.entries):
        if str(entry.id) == entry_id:
            return index
    raise NotFound(f"There is no entry {entry_id} in the vulnerability profile")


def _edit(
    scope: Scope, profile: VulnerabilityProfile, entries: Sequence[VulnerabilityEntry], inner: str
) -> list[Edit]:
    obj = replace(profile, entries=numbered(entries, _ids(scope)))
    try:
        valid(obj, "", scope)
    except InvalidInput as error:
        faults = tuple(Fault(f.field.replace(inner, "config", 1), f.message) for f in error.faults)
        raise InvalidInput(error.message, faults) from error
    return [Edit(kind=KIND, name=profile.name, obj=obj, at="config")]
