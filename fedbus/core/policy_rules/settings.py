"""Rules for what there is one of: the vulnerability profile."""

from collections.abc import Iterator

from fedbus.core.policy_rules.checks import wrong
from fedbus.errors import Fault
from fedbus.model.policy import SINGLETON, Scope
from fedbus.model.policy.vulnerability import VulnerabilityProfile

RECENT = ("_RecentVuln", "_RecentVulnWithoutFix")
"""Entry names that stand for everything published in the last `days`."""


def vulnerability_faults(profile: VulnerabilityProfile, _scope: Scope) -> Iterator[Fault]:
    """Check the vulnerability profile: its one name, and that recent means a number of days."""
    if profile.name != SINGLETON:
        yield wrong("name", f"must be {SINGLETON!r}: there is one vulnerability profile")
    for index, entry in enumerate(profile.entries):
        path = f"entries[{index}]"
        if not entry.name.strip():
            yield wrong(f"{path}.name", f"must be a vulnerability (* is a wildcard), {' or '.join(RECENT)}")
        if entry.name in RECENT and not entry.days:
            yield wrong(f"{path}.days", f"must be above 0 for {entry.name}")
