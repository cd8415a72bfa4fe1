"""Rules for DLP and WAF sensors and their bindings to groups."""

import re
from collections.abc import Iterator

from fedbus.core.policy_rules.checks import name_faults, own_name_faults, regex_error, repeated, wrong
from fedbus.errors import Fault
from fedbus.model.policy.scope import Scope
from fedbus.model.policy.sensor import Sensor, SensorGroup, SensorRule, WafSensor

COMMENT_MAX = 256
PATTERNS_MAX = 16
PATTERN_MAX = 512
PATTERNS_TOTAL_MAX = 1024

DLP_IDS = range(20_000, 30_000)
DLP_PREDEFINED_IDS = range(30_000, 40_000)
WAF_IDS = range(40_000, 50_000)
"""The numbers that sensor rules have in alerts."""

PREDEFINED = "sensor."
"""What the names of predefined sensors start with, in their scope."""
CARRIERS = frozenset({"fed.sensor.dlpdfltsyncnv", "fed.sensor.wafdfltsyncnv"})
"""Names that NeuVector uses for its own transport."""

_MATCHES_ALL = re.compile(r"\.*\*")


def sensor_faults(sensor: Sensor, scope: Scope) -> Iterator[Fault]:
    """Check a sensor, its rules and their patterns."""
    yield from own_name_faults("name", sensor.name, scope)
    if sensor.name in CARRIERS:
        yield wrong("name", f"{sensor.name!r} is reserved")
    prefix = scope.group(PREDEFINED)
    if sensor.predefine and not sensor.name.startswith(prefix):
        yield wrong("predefine", f"is for sensors whose name starts with '{prefix}'")
    if len(sensor.comment) > COMMENT_MAX:
        yield wrong("comment", f"must be at most {COMMENT_MAX} characters long, not {len(sensor.comment)}")
    for index, rule in enumerate(sensor.rules):
        yield from _rule_faults(f"rules[{index}]", rule)
        yield from _id_faults(f"rules[{index}].id", sensor, rule.id)
    for index, name in repeated(rule.name for rule in sensor.rules):
        yield wrong(f"rules[{index}].name", f"repeats {name!r}")


def _id_faults(field: str, sensor: Sensor, number: int) -> Iterator[Fault]:
    dlp = DLP_PREDEFINED_IDS if sensor.predefine else DLP_IDS
    ids = WAF_IDS if isinstance(sensor, WafSensor) else dlp
    if number and number not in ids:
        yield wrong(field, f"must be 0 or from {ids.start} to {ids.stop - 1}, not {number}")


def _rule_faults(path: str, rule: SensorRule) -> Iterator[Fault]:
    yield from name_faults(f"{path}.name", rule.name)
    if not 1 <= len(rule.patterns) <= PATTERNS_MAX:
        yield wrong(f"{path}.patterns", f"must hold 1 to {PATTERNS_MAX} patterns, not {len(rule.patterns)}")
    for index, pattern in enumerate(rule.patterns):
        field = f"{path}.patterns[{index}].value"
        if error := regex_error(pattern.value, PATTERN_MAX):
            yield wrong(field, f"must be a regular expression of at most {PATTERN_MAX} characters: {error}")
        elif not pattern.value or _MATCHES_ALL.fullmatch(pattern.value):
            yield wrong(field, "must not match everything")
    total = sum(len(pattern.value) for pattern in rule.patterns)
    if total > PATTERNS_TOTAL_MAX:
        yield wrong(
            f"{path}.patterns", f"must be at most {PATTERNS_TOTAL_MAX} characters together, not {total}"
        )


def sensor_group_faults(binding: SensorGroup, scope: Scope) -> Iterator[Fault]:
    """Check which sensors a group uses."""
    yield from own_name_faults("name", binding.name, scope)
    if binding.name in (scope.group("nodes"), scope.group("external")):
        yield wrong("name", f"must not be {binding.name!r}: it holds no containers to inspect")
    for index, setting in enumerate(binding.sensors):
        yield from own_name_faults(f"sensors[{index}].name", setting.name, scope)
    for index, name in repeated(setting.name for setting in binding.sensors):
        yield wrong(f"sensors[{index}].name", f"repeats {name!r}")
