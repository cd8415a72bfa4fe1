"""Process profiles: which processes the workloads of a group may run."""

from typing import ClassVar, Literal

from fedbus.model.policy.common import Action, CfgType, Part


class ProcessEntry(Part, frozen=True, kw_only=True):
    """One entry, read from the top; `*` stands for any name or path."""

    computed: ClassVar[frozenset[str]] = frozenset(
        {"created_timestamp", "group", "last_modified_timestamp", "probe_cmds", "uuid"}
    )

    name: str = ""
    path: str = ""
    user: str = ""
    uid: int = 0
    action: Action
    allow_update: bool = False
    cfg_type: CfgType = "federal"


class ProcessProfile(Part, frozen=True, kw_only=True):
    """The process profile of one federated group."""

    group: str
    alert_disabled: bool = False
    hash_enabled: bool = False
    baseline: Literal["", "basic", "zero-drift"] = ""
    mode: str = ""
    process_list: tuple[ProcessEntry, ...] = ()
    cfg_type: CfgType = "federal"
