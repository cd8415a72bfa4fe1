"""Groups: named sets of workloads or addresses that rules point at."""

from typing import ClassVar, Literal

from fedbus.model.policy.common import CfgType, Part

CriterionOp = Literal["=", "!=", "contains", "prefix", "regex", "!regex"]
GroupKind = Literal["", "container", "node", "address", "ip_service", "external"]


class GroupCriterion(Part, frozen=True, kw_only=True):
    """One condition on a member: `key` is a known key, a pod label, or `ns:<namespace label>`."""

    key: str
    value: str = ""
    op: CriterionOp = "="


class Group(Part, frozen=True, kw_only=True):
    """A group; a federated one has no mode of its own.

    `group_sess_cur` counts sessions, `group_sess_rate` is sessions a second and `group_band_width`
    megabits a second; they count only with `monitor_metric`.
    """

    computed: ClassVar[frozenset[str]] = frozenset(
        {
            "baseline_profile",
            "cap_change_mode",
            "cap_intcp",
            "cap_scorable",
            "creater_domains",
            "learned",
            "members",
            "not_scored",
            "platform_role",
            "policy_rules",
            "reserved",
            "response_rules",
        }
    )

    name: str
    comment: str = ""
    criteria: tuple[GroupCriterion, ...] = ()
    kind: GroupKind = ""
    domain: str = ""
    policy_mode: str = ""
    profile_mode: str = ""
    monitor_metric: bool = False
    group_sess_cur: int = 0
    group_sess_rate: int = 0
    group_band_width: int = 0
    cfg_type: CfgType = "federal"
