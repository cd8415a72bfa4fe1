"""Single objects: made from a whole body, changed by the fields that a body has, deleted."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from fedbus.core import policy_input
from fedbus.core.policy_edits import Decision, Edit, HeldRules, unlocked, valid
from fedbus.core.policy_edits.profiles import (
    changed_binding,
    changed_files,
    changed_processes,
    changed_sensor,
)
from fedbus.core.policy_edits.vulnerabilities import changed_vulnerabilities
from fedbus.core.policy_rules.normal import normalise
from fedbus.core.unwritten import unwritten
from fedbus.errors import Conflict, Fault, InvalidInput, NotFound
from fedbus.model import wire
from fedbus.model.policy import (
    FED,
    KINDS,
    DlpSensor,
    Policy,
    Scope,
    WafSensor,
    kind_of,
)
from fedbus.model.policy.common import Part

SECTION = {"fed": "fed_config", "local": "config"}
"""Where a system configuration has the webhooks of each scope."""

_CHANGED: Mapping[str, Callable[[Any, Any], Policy]] = MappingProxyType(
    {
        "process_profile": changed_processes,
        "file_profile": changed_files,
        "dlp_sensor": changed_sensor,
        "waf_sensor": changed_sensor,
        "dlp_group": changed_binding,
        "waf_group": changed_binding,
        "vulnerability_profile": changed_vulnerabilities,
    }
)
"""How a config changes an object, where it is not field by field."""


def create(kind: str, body: wire.Raw, scope: Scope = FED) -> tuple[Policy, Decision]:
    """Return the new object, and what adds it. Raises InvalidInput."""
    obj = valid(_made(kind, body, scope), "config", scope)
    name = KINDS[kind].key(obj)

    def decide(held: HeldRules) -> list[Edit]:
        if held.get((kind, name)) is not None:
            raise Conflict(f"There is a {kind} {name!r} already", code="OBJECT_EXISTS")
        return [Edit(kind=kind, name=name, obj=obj, at="config")]

    return obj, decide


def _made(kind: str, body: wire.Raw, scope: Scope) -> Policy:
    if kind in ("dlp_sensor", "waf_sensor"):
        config = policy_input.read(wire.SensorConfig, body, "config", scope)
        if config.name is None:
            raise InvalidInput("config.name is missing", (Fault("config.name", "config.name is missing"),))
        if kind == "dlp_sensor":
            return changed_sensor(DlpSensor(name=config.name, cfg_type=scope.cfg_type), config)
        return changed_sensor(WafSensor(name=config.name, cfg_type=scope.cfg_type), config)
    if KINDS[kind].ordered:
        body = {**body, "id": None, "rank": None}  # both are assigned
    return policy_input.parse(kind, body, "config", scope)


def change(kind: str, name: str, body: wire.Raw, at: str = "config", scope: Scope = FED) -> Decision:
    """Return what changes the fields of one object that `body` has. Raises InvalidInput."""
    config = policy_input.read(wire.CONFIGS[kind], body, at, scope)
    identity = KINDS[kind].identity
    given = getattr(config, identity, None) if identity else None
    if given is not None and str(given) != name:
        message = f"{at}.{identity} is {given!r}, the path names {name!r}"
        raise InvalidInput(message, (Fault(f"{at}.{identity}", message),))

    def decide(held: HeldRules) -> list[Edit]:
        unlocked(held.scope, kind, name)
        current = _current(held, kind, name)
        if current is None and kind != "admission_state":
            raise NotFound(f"There is no {kind} named {name!r} here")
        obj = policy_input.parse(kind, body, at, scope) if current is None else _merged(kind, current, config)
        return [Edit(kind=kind, name=name, obj=valid(obj, at, scope), at=at)]

    return decide


def with_fields(obj: Policy, body: wire.Raw, scope: Scope) -> Policy:
    """Return an object with the fields of it that `body` has. Raises InvalidInput."""
    kind = kind_of(obj).name
    config = policy_input.read(wire.CONFIGS[kind], body, "config", scope)
    return valid(_merged(kind, obj, config), "config", scope)


def _current(held: HeldRules, kind: str, name: str) -> Policy | None:
    found = held.get((kind, name))
    group = name in held.scope.reserved or held.get(("group", name)) is not None
    return found or unwritten(kind, name, held.scope, group=group)


def _merged(kind: str, current: Policy, config: Part) -> Policy:
    if kind in _CHANGED:
        return normalise(_CHANGED[kind](current, config))
    fields = {name: getattr(config, name) for name in config.__struct_fields__}
    changed = {name: value for name, value in fields.items() if value is not None}
    return normalise(replace(current, **changed))


def remove(kind: str, name: str) -> Decision:
    """Return the deletion of one object, and of what goes with it."""

    def decide(held: HeldRules) -> list[Edit]:
        unlocked(held.scope, kind, name)
        if held.get((kind, name)) is None:
            raise NotFound(f"There is no {kind} named {name!r} here")
        return [Edit(kind=kind, name=name, obj=None)]

    return decide


def replace_webhooks(body: wire.Raw, scope: Scope = FED) -> Decision:
    """Return what makes the webhooks those of a system configuration. Raises InvalidInput."""
    section = SECTION[scope.name]
    config = policy_input.read(wire.FedSystemConfig, body, section, scope)
    if config.webhooks is None:
        message = f"{section}.webhooks is missing: nothing else of it is policy"
        raise InvalidInput(message, (Fault(f"{section}.webhooks", message),))
    wanted = [
        Edit(kind="webhook", name=webhook.name, obj=valid(webhook, at, scope), at=at)
        for at, webhook in ((f"{section}.webhooks[{i}]", w) for i, w in enumerate(config.webhooks))
    ]
    names = {edit.name for edit in wanted}

    def decide(held: HeldRules) -> list[Edit]:
        gone = [name for name in held.names("webhook") if name not in names]
        return [Edit(kind="webhook", name=name, obj=None, at=f"{section}.webhooks") for name in gone] + wanted

    return decide
