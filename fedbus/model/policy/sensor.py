"""DLP and WAF sensors, and which group uses which: the same shape twice."""

from typing import ClassVar, Literal

from fedbus.model.policy.common import Action, CfgType, Part


class SensorPattern(Part, frozen=True, kw_only=True):
    """A regular expression that must, or with `!regex` must not, be found in a part of the traffic."""

    key: Literal["pattern"] = "pattern"
    op: Literal["regex", "!regex"] = "regex"
    value: str
    context: Literal["url", "header", "body", "packet"] = "packet"


class SensorRule(Part, frozen=True, kw_only=True):
    """A rule hits when all of its patterns do; `id` is the number in the alert, 0 until assigned."""

    name: str
    id: int = 0
    patterns: tuple[SensorPattern, ...] = ()
    cfg_type: CfgType = "federal"


class Sensor(Part, frozen=True, kw_only=True):
    """What a DLP and a WAF sensor share."""

    computed: ClassVar[frozenset[str]] = frozenset({"groups"})

    name: str
    rules: tuple[SensorRule, ...] = ()
    comment: str = ""
    predefine: bool = False
    cfg_type: CfgType = "federal"


class DlpSensor(Sensor, frozen=True, kw_only=True):
    """Finds data that must not leave."""


class WafSensor(Sensor, frozen=True, kw_only=True):
    """Finds attacks that must not enter."""


class SensorSetting(Part, frozen=True, kw_only=True):
    """A sensor of a group; `allow` only alerts."""

    computed: ClassVar[frozenset[str]] = frozenset({"comment", "exist", "predefine"})

    name: str
    action: Action = "allow"
    cfg_type: CfgType = "federal"


class SensorGroup(Part, frozen=True, kw_only=True):
    """What a DLP and a WAF binding share; `name` is the group's, `status` whether it is on."""

    name: str
    status: bool = True
    sensors: tuple[SensorSetting, ...] = ()
    cfg_type: CfgType = "federal"


class DlpGroup(SensorGroup, frozen=True, kw_only=True):
    """The DLP sensors of one group."""


class WafGroup(SensorGroup, frozen=True, kw_only=True):
    """The WAF sensors of one group."""
