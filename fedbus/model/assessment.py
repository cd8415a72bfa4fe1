"""What admission would do: with manifests in a cluster, and with what runs when policy changes."""

from typing import Literal

import msgspec

from fedbus.model.decision import Mode, RuleResult, RuleScope
from fedbus.model.federation import Refusal


class MatchedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that matches a container, in NeuVector's fields; `rule_details` is what it asks and saw.

    `unknown`: it would need a scan of the image, and none is held; what it does then is in the details.
    `decides`: it is the one that had the say.
    """

    container_image: str
    container: str = ""
    id: int
    disabled: bool
    type: str
    mode: str
    rule_details: str
    rule_cfg_type: str
    unknown: bool = False
    decides: bool = False


class Assessed(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one resource; `index` is its document's, of which a list has many resources.

    `judged` is false for kinds that admission never looks at: they are allowed everywhere.
    """

    index: int
    kind: str
    name: str
    namespace: str = ""
    allowed: bool
    message: str = ""
    judged: bool = True
    matched_rules: list[MatchedRule] = []


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A document, or a resource of it, that cannot be assessed, and why; the others were."""

    index: int
    line: int | None = None
    kind: str = ""
    name: str = ""
    field: str = ""
    code: str = ""
    message: str


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """NeuVector's answer, and beside it what it cannot say.

    What is in `props_unavailable` is not known of a manifest. `enable` false: admission control is off,
    so that nothing is denied now; the results are what the rules would do if it were on.
    """

    props_unavailable: tuple[str, ...] = ("user", "userGroups")
    global_mode: Mode
    enable: bool
    results: list[Assessed]
    rejected: list[Rejected] = []

    @property
    def denied(self) -> bool:
        """Whether anything would be denied."""
        return any(not one.allowed for one in self.results)


class ClusterAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster's assessment, or why there is none; `offline_since` where nobody answers."""

    id: str
    name: str
    assessment: Assessment | None = None
    offline_since: str = ""
    refused: Refusal | None = None


class FederationAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """What each cluster would do with the same manifests; `rejected` are rejected everywhere."""

    clusters: list[ClusterAssessment]
    rejected: list[Rejected] = []


Outcome = Literal["denied", "reported", "allowed"]
"""`reported`: a rule that only monitors matches, so it is allowed and noted."""


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """A workload whose outcome changes; `rule` had the say, before or after, and `message` is its reason."""

    namespace: str
    kind: str
    name: str
    before: Outcome
    after: Outcome
    rule: int = 0
    rule_scope: RuleScope = "fed"
    message: str = ""


class NamespaceCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many workloads of one namespace come to be denied, reported, and denied no more."""

    namespace: str
    workloads: int = 0
    denied: int = 0
    reported: int = 0
    no_longer_denied: int = 0


class ClusterPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a change would do to what runs in one cluster, as its last inventory says.

    `age_seconds` is how long ago that inventory was last known to hold; None: there is none. `left_out`
    workloads did not fit into it, `unreadable` ones cannot be judged, `unscanned` ones have an image
    without a scan result here. `enable` and `mode` are of its admission control after the change, None
    where the master does not know. `affected` are the first of those that are counted by namespace.
    """

    id: str
    name: str
    age_seconds: float | None = None
    workloads: int = 0
    left_out: int = 0
    unreadable: int = 0
    unscanned: int = 0
    unscanned_images: int = 0
    enable: bool | None = None
    mode: Mode | None = None
    denied: int = 0
    reported: int = 0
    no_longer_denied: int = 0
    namespaces: list[NamespaceCount] = []
    affected: list[Affected] = []
    complete: bool = True
    """Whether every workload was looked at within the time there is."""
    unknown: list[str] = []
    """What the master cannot know of this cluster."""


class PolicyPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a change would do everywhere; `rules` are the admission rules that it changes."""

    rules: list[int]
    clusters: list[ClusterPreview]
    unknown: list[str] = []


class Reason(msgspec.Struct, frozen=True):
    """Which rule a result is of, for looking it up among those that decided."""

    rule: int
    scope: RuleScope
    container: str

    @classmethod
    def of(cls, result: RuleResult) -> "Reason":
        """Return that of a result."""
        return cls(result.rule, result.scope, result.container)
