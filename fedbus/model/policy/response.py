"""Response rules: what happens after an event; every rule that matches fires."""

from typing import Literal

from fedbus.model.policy.common import CfgType, Part

ResponseEvent = Literal[
    "security-event", "event", "cve-report", "compliance", "admission-control", "serverless"
]
ResponseAction = Literal["quarantine", "webhook", "suppress-log"]


class ResponseCondition(Part, frozen=True, kw_only=True):
    """One condition; all of a rule's conditions must hold."""

    type: str
    value: str


class ResponseRule(Part, frozen=True, kw_only=True):
    """One response rule; an empty `group` means all workloads."""

    id: int = 0
    rank: str = ""
    event: ResponseEvent
    comment: str = ""
    group: str = ""
    conditions: tuple[ResponseCondition, ...] = ()
    actions: tuple[ResponseAction, ...] = ()
    webhooks: tuple[str, ...] = ()
    disable: bool = False
    cfg_type: CfgType = "federal"
