"""Webhooks: where response rules send their notifications."""

from typing import Literal

from fedbus.model.policy.common import CfgType, Part


class Webhook(Part, frozen=True, kw_only=True):
    """One receiver; no `type` means plain key and value pairs."""

    name: str
    url: str
    enable: bool = True
    use_proxy: bool = False
    type: Literal["", "Slack", "Teams", "JSON"] = ""
    cfg_type: CfgType = "federal"
