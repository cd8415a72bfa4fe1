"""File profiles: which files of a group's workloads are watched or blocked."""

from typing import ClassVar, Literal

from fedbus.model.policy.common import CfgType, Part


class FileFilter(Part, frozen=True, kw_only=True):
    """One path pattern; with `block_access` only `applications` may open what it matches."""

    computed: ClassVar[frozenset[str]] = frozenset({"created_timestamp", "group", "last_modified_timestamp"})

    filter: str
    recursive: bool = False
    behavior: Literal["monitor_change", "block_access"] = "monitor_change"
    applications: tuple[str, ...] = ()
    cfg_type: CfgType = "federal"


class FileProfile(Part, frozen=True, kw_only=True):
    """The file profile of one federated group."""

    group: str
    filters: tuple[FileFilter, ...] = ()
    cfg_type: CfgType = "federal"
