"""Objects that are lists of named parts, changed part by part: profiles, sensors, bindings."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar, cast

from msgspec.structs import replace

from fedbus.core.policy_edits import refuse
from fedbus.core.policy_rules.normal import normalise
from fedbus.errors import Fault
from fedbus.model.policy import DlpGroup, DlpSensor, FileProfile, ProcessProfile, WafGroup, WafSensor
from fedbus.model.wire import (
    FileMonitorConfig,
    ProcessProfileConfig,
    SensorConfig,
    SensorGroupConfig,
)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S = TypeVar("S", DlpSensor, WafSensor)
B = TypeVar("B", DlpGroup, WafGroup)

_BASELINES = {"basic": "basic", "zero-drift": "zero-drift", "default": "zero-drift", "shield": "zero-drift"}
"""The baselines, and the names that older versions had for one of them."""


def changed_processes(profile: ProcessProfile, config: ProcessProfileConfig) -> ProcessProfile:
    """Return a process profile after a change. Raises InvalidInput."""
    entries = {(entry.name, entry.path): entry for entry in profile.process_list}
    keys = [(key.name.strip(), key.path.strip()) for key in config.process_delete_list or ()]
    _drop(entries, keys, "config.process_delete_list")
    given = ProcessProfile(group=profile.group, process_list=config.process_change_list or ())
    for entry in cast(ProcessProfile, normalise(given)).process_list:
        entries[entry.name, entry.path] = entry
    changed: dict[str, object] = {"process_list": tuple(entries.values())}
    if config.alert_disabled is not None:
        changed["alert_disabled"] = config.alert_disabled
    if config.hash_enabled is not None:
        changed["hash_enabled"] = config.hash_enabled
    if config.baseline is not None:
        changed["baseline"] = _baseline(config.baseline)
    return replace(profile, **changed)


def _baseline(given: str) -> str:
    known = _BASELINES.get(given.lower())
    if known is None:
        refuse([Fault("config.baseline", f"config.baseline must be basic or zero-drift, not {given[:64]!r}")])
    return known or ""


def changed_files(profile: FileProfile, config: FileMonitorConfig) -> FileProfile:
    """Return a file profile after a change. Raises InvalidInput."""
    filters = {entry.filter: entry for entry in profile.filters}
    _drop(filters, [key.filter for key in config.delete_filters or ()], "config.delete_filters")
    added = replace(profile, filters=config.add_filters or ())
    for index, entry in enumerate(cast(FileProfile, normalise(added)).filters):
        if entry.filter in filters:
            where = f"config.add_filters[{index}].filter"
            refuse([Fault(where, f"{where}: there is a filter {entry.filter!r} already")])
        filters[entry.filter] = entry
    updated = cast(FileProfile, normalise(replace(profile, filters=config.update_filters or ())))
    _put(filters, [(entry.filter, entry) for entry in updated.filters], "config.update_filters")
    return replace(profile, filters=tuple(filters.values()))


def changed_sensor(sensor: S, config: SensorConfig) -> S:
    """Return a DLP or WAF sensor after a change. Raises InvalidInput."""
    rules = {rule.name: rule for rule in sensor.rules}
    _drop(rules, [key.name for key in config.delete or ()], "config.delete")
    rules |= {rule.name: rule for rule in config.change or ()}
    return replace(
        sensor,
        rules=tuple(rules.values()) if config.rules is None else config.rules,
        comment=sensor.comment if config.comment is None else config.comment,
    )


def changed_binding(binding: B, config: SensorGroupConfig) -> B:
    """Return the DLP or WAF sensors of a group after a change. Raises InvalidInput."""
    sensors = {setting.name: setting for setting in binding.sensors}
    _drop(sensors, list(config.delete or ()), "config.delete")
    sensors |= {setting.name: setting for setting in config.sensors or ()}
    return replace(
        binding,
        sensors=tuple(sensors.values()) if config.replace is None else config.replace,
        status=binding.status if config.status is None else config.status,
    )


def _drop(parts: dict[K, V], keys: Sequence[K], field: str) -> None:
    """Take parts out, each once. Raises InvalidInput for one that is not there."""
    refuse([Fault(f"{field}[{i}]", f"there is no {_named(key)}") for i, key in _missing(parts, keys)])
    for key in keys:
        parts.pop(key, None)


def _put(parts: dict[K, V], items: Sequence[tuple[K, V]], field: str) -> None:
    """Put parts in the place of those of their name. Raises InvalidInput for one that is not there."""
    missing = _missing(parts, [key for key, _ in items])
    refuse([Fault(f"{field}[{i}]", f"there is no {_named(key)}") for i, key in missing])
    parts.update(items)


def _missing(parts: dict[K, V], keys: Iterable[K]) -> list[tuple[int, K]]:
    return [(index, key) for index, key in enumerate(keys) if key not in parts]


def _named(key: object) -> str:
    return " at ".join(repr(part[:64]) for part in (key if isinstance(key, tuple) else (str(key),)) if part)
