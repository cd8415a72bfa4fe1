"""Admission rules, and the admission settings that NeuVector keeps per cluster."""

from typing import ClassVar, Literal

from fedbus.model.policy.common import Action, CfgType, Part

RuleType = Literal["exception", "deny"]
RuleMode = Literal["", "monitor", "protect"]
ContainerType = Literal["containers", "init_containers", "ephemeral_containers"]
OnUnscanned = Literal["skip", "match", "deny"]
CustomValueType = Literal["", "key", "string", "number", "boolean"]


class AdmissionSubCriterion(Part, frozen=True, kw_only=True):
    """A refinement of a criterion, such as the age of the vulnerabilities that it counts."""

    name: str
    op: str = ""
    value: str = ""


class AdmissionCriterion(Part, frozen=True, kw_only=True):
    """One condition; different names are AND-ed.

    `type`, `template_kind`, `path` and `value_type` belong to custom criteria, which look at any
    path of the resource.
    """

    name: str
    op: str = ""
    value: str = ""
    sub_criteria: tuple[AdmissionSubCriterion, ...] = ()
    type: str = ""
    template_kind: str = ""
    path: str = ""
    value_type: CustomValueType = ""


class AdmissionRule(Part, frozen=True, kw_only=True):
    """One admission rule; `exception` allows. An empty `rule_mode` follows the cluster's mode.

    No `containers` means regular containers only. `on_unscanned` (ours) says what becomes of a rule
    that asks for what only a scan knows, of an image without one: it does not match (`skip`), it matches
    if the rest does (`match`), or in that case it denies under its mode, even a rule that allows (`deny`).
    """

    computed: ClassVar[frozenset[str]] = frozenset({"actions", "use_as_risky_role_tag"})

    id: int = 0
    rank: str = ""
    category: str = "Kubernetes"
    comment: str = ""
    criteria: tuple[AdmissionCriterion, ...] = ()
    disable: bool = False
    critical: bool = False
    rule_type: RuleType
    rule_mode: RuleMode = ""
    containers: tuple[ContainerType, ...] = ()
    on_unscanned: OnUnscanned = "skip"
    cfg_type: CfgType = "federal"


class AdmissionState(Part, frozen=True, kw_only=True):
    """Whether admission control is on, and whether a denial denies or only reports."""

    computed: ClassVar[frozenset[str]] = frozenset(
        {"adm_client_mode", "adm_client_mode_options", "adm_svc_type", "ctrl_states", "failure_policy"}
    )

    enable: bool
    mode: Literal["monitor", "protect"] = "monitor"
    default_action: Action = "allow"
    cfg_type: CfgType = "federal"
