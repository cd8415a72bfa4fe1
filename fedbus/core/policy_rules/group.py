"""Rules for groups."""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from fedbus.core.policy_rules.checks import is_label, own_name_faults, regex_error, wrong
from fedbus.errors import Fault
from fedbus.model.policy.group import Group, GroupCriterion
from fedbus.model.policy.scope import Scope

ADDRESS = "address"
DOMAIN_MAX = 256

_DOMAIN = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z_-]*(\.[0-9a-zA-Z][0-9a-zA-Z_-]*)*")
_SUBDOMAINS = re.compile(r"\*(\.[0-9a-zA-Z][0-9a-zA-Z_-]*){2,}")
_LOOKS_NUMERIC = re.compile(r"[0-9./-]+")


def group_faults(group: Group, scope: Scope) -> Iterator[Fault]:
    """Check a group: its name, that it has no mode, its criteria one by one and together."""
    yield from own_name_faults("name", group.name, scope)
    if group.name in scope.reserved:
        yield wrong("name", f"{group.name!r} is reserved: every cluster has this group already")
    for field in ("policy_mode", "profile_mode"):
        if getattr(group, field):
            yield wrong(
                field, "must be empty: a group that somebody made has no mode, each workload's own counts"
            )
    if not group.criteria:
        yield wrong("criteria", "must hold at least one criterion")
    for index, criterion in enumerate(group.criteria):
        yield from _criterion_faults(f"criteria[{index}]", criterion)
    keys = {criterion.key == ADDRESS for criterion in group.criteria}
    if len(keys) > 1:
        yield wrong("criteria", "must not mix address with other keys: a group has either")


def _criterion_faults(path: str, criterion: GroupCriterion) -> Iterator[Fault]:
    key, op, value = criterion.key, criterion.op, criterion.value
    if not is_label(key):
        yield wrong(
            f"{path}.key", "must start with a letter or digit and hold letters, digits and . : _ / - only"
        )
    if key == ADDRESS:
        if op != "=":
            yield wrong(f"{path}.op", "must be '=' for an address")
        elif not is_address(value):
            yield wrong(
                f"{path}.value",
                f"must be an IP address, a CIDR block, a range such as 10.0.0.1-10.0.0.9, "
                f"a DNS name or vh:<name>, not {value!r}",
            )
    elif op in ("regex", "!regex"):
        if error := regex_error(value) if value else "empty":
            yield wrong(f"{path}.value", f"must be a regular expression: {error}")
    elif op not in ("=", "!="):
        if not value:
            yield wrong(f"{path}.value", "may be empty for = and != only")
    elif re.search(r"[?*]", value) and re.search(r"[\^$]", value):
        yield wrong(f"{path}.value", "must not hold ^ or $ beside the wildcards ? and *")


def is_address(text: str) -> bool:
    """Tell whether `text` is what an address criterion may name."""
    try:
        if "-" in text and _LOOKS_NUMERIC.fullmatch(text):
            low, high = (ip_address(part) for part in text.split("-"))
            return int(low) <= int(high)
        ip_network(text, strict=False)
    except ValueError:
        return _is_domain(text)
    return True


def _is_domain(text: str) -> bool:
    if _LOOKS_NUMERIC.fullmatch(text):
        return False
    host = text.removeprefix("vh:")
    return len(host) < DOMAIN_MAX and bool(_DOMAIN.fullmatch(host) or _SUBDOMAINS.fullmatch(host))
