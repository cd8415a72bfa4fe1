"""The bodies of NeuVector's requests that write policy, field by field.

A field that is absent or null is not changed. Most bodies are `{"config": {...}}` with the fields of the
kind (`CONFIGS`); profiles, sensors, bindings and lists of rules have words of their own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, cast, get_type_hints

import msgspec

from fedbus.model.policy import KINDS
from fedbus.model.policy.common import Part
from fedbus.model.policy.file import FileFilter
from fedbus.model.policy.process import ProcessEntry
from fedbus.model.policy.sensor import SensorRule, SensorSetting
from fedbus.model.policy.webhook import Webhook

Raw = dict[str, object]
"""An object before its shape is checked."""


class Config(msgspec.Struct, frozen=True):
    """The envelope of most writes; `replicate` asks for a copy of a network rule in front of it."""

    config: Raw
    replicate: bool = False


class ProcessProfileEnvelope(msgspec.Struct, frozen=True):
    """The envelope of a change to a process profile."""

    process_profile_config: Raw


class AdmissionStateEnvelope(msgspec.Struct, frozen=True):
    """The envelope of a change to the admission state, as it is read."""

    state: Raw


class SystemConfigEnvelope(msgspec.Struct, frozen=True):
    """The envelope of a change to the system's configuration, the federation's or the cluster's own."""

    fed_config: Raw | None = None
    config: Raw | None = None


class RuleMove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put one rule elsewhere: `after` null is the end, 0 the start, an id behind, its negative in front."""

    id: int
    after: int | None = None


class RuleInsert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put new rules in; `after` as in RuleMove."""

    rules: list[Raw]
    after: int | None = None


class RuleActions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be done to a list of rules, one thing a request; `rules` replaces the whole list."""

    move: RuleMove | None = None
    insert: RuleInsert | None = None
    rules: list[Raw] | None = None
    delete: list[int] | None = None


class ProcessKey(Part, frozen=True, kw_only=True):
    """Which entry of a process profile is meant."""

    computed: ClassVar[frozenset[str]] = ProcessEntry.computed | frozenset(
        field.encode_name for field in msgspec.structs.fields(ProcessEntry)
    ) - {"name", "path"}

    name: str
    path: str = ""


class ProcessProfileConfig(Part, frozen=True, kw_only=True):
    """A change to a process profile: deletions first, then entries that are new or replace one."""

    group: str | None = None
    alert_disabled: bool | None = None
    hash_enabled: bool | None = None
    baseline: str | None = None
    process_change_list: tuple[ProcessEntry, ...] | None = None
    process_delete_list: tuple[ProcessKey, ...] | None = None


class FilterKey(Part, frozen=True, kw_only=True):
    """Which filter of a file profile is meant."""

    computed: ClassVar[frozenset[str]] = FileFilter.computed | frozenset(
        field.encode_name for field in msgspec.structs.fields(FileFilter)
    ) - {"filter"}

    filter: str


class FileMonitorConfig(Part, frozen=True, kw_only=True):
    """A change to a file profile: deletions first, then additions, then updates."""

    group: str | None = None
    add_filters: tuple[FileFilter, ...] | None = None
    delete_filters: tuple[FilterKey, ...] | None = None
    update_filters: tuple[FileFilter, ...] | None = None


class SensorRuleKey(Part, frozen=True, kw_only=True):
    """Which rule of a sensor is meant."""

    computed: ClassVar[frozenset[str]] = frozenset({"id", "patterns", "cfg_type"})

    name: str


class SensorConfig(Part, frozen=True, kw_only=True):
    """A sensor, new or changed: `rules` replaces its rules, `delete` and `change` change some."""

    computed: ClassVar[frozenset[str]] = frozenset({"groups", "predefine"})

    name: str | None = None
    comment: str | None = None
    rules: tuple[SensorRule, ...] | None = None
    change: tuple[SensorRule, ...] | None = None
    delete: tuple[SensorRuleKey, ...] | None = None
    cfg_type: str | None = None


class SensorGroupConfig(Part, frozen=True, kw_only=True):
    """A change to the sensors of a group: `replace` sets them all, `delete` and `sensors` change some."""

    name: str | None = None
    status: bool | None = None
    replace: tuple[SensorSetting, ...] | None = None
    sensors: tuple[SensorSetting, ...] | None = None
    delete: tuple[str, ...] | None = None


class FedSystemConfig(Part, frozen=True, kw_only=True):
    """The federated part of the system's configuration; `webhooks` replaces all of them."""

    webhooks: tuple[Webhook, ...] | None = None


def _optional(kind: str) -> type[Part]:
    """Make the config of a kind: its fields, none required; the place of a rule is not among them."""
    base = cast(type[Part], KINDS[kind].type)
    hints = get_type_hints(base)
    fields: list[tuple[str, Any, None]] = []
    names: dict[str, str] = {}
    for field in msgspec.structs.fields(base):
        if field.name == "rank":
            continue
        fields.append((field.name, hints[field.name] | None, None))
        names[field.name] = field.encode_name
    made = msgspec.defstruct(
        f"{base.__name__}Config",
        fields,
        bases=(Part,),
        namespace={"computed": base.computed | {"rank", "actions"}, "__doc__": f"What changes in a {kind}."},
        frozen=True,
        kw_only=True,
        rename=names,
    )
    return cast(type[Part], made)


CONFIGS: Mapping[str, type[Part]] = MappingProxyType(
    {kind: _optional(kind) for kind in KINDS}
    | {
        "process_profile": ProcessProfileConfig,
        "file_profile": FileMonitorConfig,
        "dlp_sensor": SensorConfig,
        "waf_sensor": SensorConfig,
        "dlp_group": SensorGroupConfig,
        "waf_group": SensorGroupConfig,
    }
)
"""What a change to an object of each kind may say."""
