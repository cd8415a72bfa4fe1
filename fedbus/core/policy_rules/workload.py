"""Rules for what groups carry: process and file profiles."""

from collections.abc import Iterator

from fedbus.core.policy_rules.checks import own_name_faults, repeated, wrong
from fedbus.errors import Fault
from fedbus.model.policy.file import FileProfile
from fedbus.model.policy.process import ProcessEntry, ProcessProfile
from fedbus.model.policy.scope import Scope

_EVERY_PATH = ("*", "/*")
_EVERY_NAME = "*"


def process_faults(profile: ProcessProfile, scope: Scope) -> Iterator[Fault]:
    """Check a process profile and its entries."""
    yield from _carrier_faults("group", profile.group, ("external",), scope)
    if profile.mode:
        yield wrong(
            "mode", "must be empty: a group that somebody made has no mode, each workload's own counts"
        )
    for index, entry in enumerate(profile.process_list):
        yield from _entry_faults(f"process_list[{index}]", entry)
    for index, _ in repeated(f"{entry.name}\n{entry.path}" for entry in profile.process_list):
        yield wrong(f"process_list[{index}]", "repeats a name and path")


def _carrier_faults(field: str, name: str, excluded: tuple[str, ...], scope: Scope) -> Iterator[Fault]:
    yield from own_name_faults(field, name, scope)
    if name in map(scope.group, excluded):
        yield wrong(field, f"must not be {name!r}: it holds no containers that could have one")


def _entry_faults(path: str, entry: ProcessEntry) -> Iterator[Fault]:
    if not entry.name:
        yield wrong(f"{path}.name", "must not be empty; '*' stands for every name")
    if not _is_process_path(entry.path):
        yield wrong(
            f"{path}.path",
            f"must be empty, '*', or start with / without ending in it, "
            f"with at most one * and no < or >, not {entry.path!r}",
        )
    if entry.name == _EVERY_NAME and not entry.path:
        yield wrong(f"{path}.path", "must not be empty when the name is '*'")
    if entry.action == "deny" and entry.name == _EVERY_NAME and entry.path in _EVERY_PATH:
        yield wrong(path, "must not deny every name at every path: no workload could run")


def _is_process_path(path: str) -> bool:
    if path in ("", "*"):
        return True
    return (
        path.startswith("/") and not path.endswith("/") and path.count("*") <= 1 and not set(path) & set("<>")
    )


def file_faults(profile: FileProfile, scope: Scope) -> Iterator[Fault]:
    """Check a file profile and its filters."""
    yield from _carrier_faults("group", profile.group, ("external", "nodes"), scope)
    for index, entry in enumerate(profile.filters):
        if not _is_filter(entry.filter):
            field = f"filters[{index}].filter"
            yield wrong(
                field,
                f"must be a path below / with * as the only wildcard "
                f"(no .., [ ] ( ) < >), not {entry.filter!r}",
            )
    for index, name in repeated(entry.filter for entry in profile.filters):
        yield wrong(f"filters[{index}].filter", f"repeats {name!r}")


def _is_filter(text: str) -> bool:
    if not text.startswith("/") or not text.strip("/"):
        return False
    return ".." not in text and "/./" not in text and not set(text) & set("[]()<>")
