"""Network rules: who may talk to whom, first match wins."""

from typing import ClassVar

from fedbus.model.policy.common import Action, CfgType, Part


class NetworkRule(Part, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One rule of the federated block, which stands above all local rules.

    `id` 0 means that the master assigns one; `rank` orders the block and is the master's as well.
    `ports` is `any` or a list such as `tcp/80,udp/100-200,icmp`.
    """

    computed: ClassVar[frozenset[str]] = frozenset(
        {
            "created_timestamp",
            "last_match_timestamp",
            "last_modified_timestamp",
            "learned",
            "match_counter",
            "priority",
        }
    )

    id: int = 0
    rank: str = ""
    comment: str = ""
    from_: str
    to: str
    ports: str = "any"
    applications: tuple[str, ...] = ("any",)
    action: Action
    disable: bool = False
    cfg_type: CfgType = "federal"
