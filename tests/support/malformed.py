"""Bodies of writes that are nearly right: valid ones of every kind, and what random damage makes of them."""

import copy
from typing import Any

from hypothesis import strategies as st

BODIES: dict[str, tuple[str, str, Any]] = {
    "group": (
        "POST",
        "/v1/group",
        {
            "config": {
                "name": "fed.m",
                "comment": "c",
                "criteria": [{"key": "namespace", "op": "=", "value": "x"}],
                "monitor_metric": True,
                "group_sess_cur": 1,
                "cfg_type": "federal",
            }
        },
    ),
    "group change": (
        "PATCH",
        "/v1/group/fed.web",
        {"config": {"name": "fed.web", "comment": "d", "criteria": None}},
    ),
    "network insert": (
        "PATCH",
        "/v1/policy/rule?scope=fed",
        {
            "insert": {
                "after": 0,
                "rules": [
                    {
                        "id": 0,
                        "from": "fed.web",
                        "to": "external",
                        "ports": "tcp/80",
                        "applications": ["SSL"],
                        "action": "deny",
                        "disable": False,
                    }
                ],
            }
        },
    ),
    "network move": ("PATCH", "/v1/policy/rule?scope=fed", {"move": {"id": 100001, "after": -100002}}),
    "network replace": (
        "PATCH",
        "/v1/policy/rule?scope=fed",
        {
            "rules": [
                {"id": 100001},
                {"id": 0, "from": "fed.web", "to": "nodes", "ports": "any", "action": "allow"},
            ],
            "delete": [],
        },
    ),
    "network change": (
        "PATCH",
        "/v1/policy/rule/100001",
        {"config": {"id": 100001, "ports": "icmp"}, "replicate": True},
    ),
    "admission": (
        "POST",
        "/v1/admission/rule",
        {
            "config": {
                "category": "Kubernetes",
                "rule_type": "deny",
                "rule_mode": "protect",
                "containers": ["containers"],
                "criteria": [
                    {
                        "name": "cveHighCount",
                        "op": ">=",
                        "value": "1",
                        "sub_criteria": [{"name": "publishDays", "op": ">=", "value": "30"}],
                    }
                ],
            }
        },
    ),
    "admission change": (
        "PATCH",
        "/v1/admission/rule",
        {"config": {"id": 100001, "comment": "x", "disable": True}},
    ),
    "admission state": (
        "PATCH",
        "/v1/admission/state?scope=fed",
        {"state": {"enable": True, "mode": "protect"}},
    ),
    "response": (
        "PATCH",
        "/v1/response/rule?scope=fed",
        {
            "insert": {
                "rules": [
                    {
                        "event": "cve-report",
                        "conditions": [{"type": "cve-high", "value": "1"}],
                        "actions": ["webhook"],
                        "webhooks": ["fed.hook"],
                    }
                ]
            }
        },
    ),
    "process profile": (
        "PATCH",
        "/v1/process_profile/fed.web",
        {
            "process_profile_config": {
                "baseline": "basic",
                "process_change_list": [{"name": "a", "path": "/a", "action": "allow"}],
                "process_delete_list": [{"name": "a", "path": "/a"}],
            }
        },
    ),
    "file monitor": (
        "PATCH",
        "/v1/file_monitor/fed.web",
        {
            "config": {
                "add_filters": [
                    {"filter": "/x", "recursive": True, "behavior": "block_access", "applications": ["a"]}
                ],
                "delete_filters": [{"filter": "/x"}],
            }
        },
    ),
    "dlp sensor": (
        "POST",
        "/v1/dlp/sensor",
        {
            "config": {
                "name": "fed.d",
                "rules": [
                    {
                        "name": "r",
                        "patterns": [{"key": "pattern", "op": "regex", "value": "a+", "context": "body"}],
                    }
                ],
            }
        },
    ),
    "waf sensor change": (
        "PATCH",
        "/v1/waf/sensor/fed.sensor",
        {
            "config": {
                "change": [{"name": "r", "patterns": [{"op": "regex", "value": "b+"}]}],
                "delete": [{"name": "r"}],
            }
        },
    ),
    "waf binding": (
        "PATCH",
        "/v1/waf/group/fed.web",
        {"config": {"status": True, "sensors": [{"name": "fed.sensor", "action": "deny"}], "delete": []}},
    ),
    "webhook": (
        "POST",
        "/v1/system/config/webhook",
        {"config": {"name": "fed.h", "url": "https://h/", "type": "JSON"}},
    ),
    "webhooks": (
        "PATCH",
        "/v1/system/config",
        {"fed_config": {"webhooks": [{"name": "fed.hook", "url": "https://h/"}]}},
    ),
    "vulnerabilities": (
        "PATCH",
        "/v1/vulnerability/profile/default?scope=fed",
        {
            "config": {
                "name": "default",
                "entries": [{"id": 0, "name": "CVE-1", "days": 1, "domains": ["a"], "images": []}],
            }
        },
    ),
    "vulnerability": (
        "POST",
        "/v1/vulnerability/profile/default/entry?scope=fed",
        {"config": {"name": "_RecentVuln", "days": 3}},
    ),
    "registry": (
        "POST",
        "/v1/scan/registry",
        {
            "config": {
                "name": "fed.reg",
                "registry_type": "Docker Registry",
                "registry": "https://r/",
                "filters": ["*"],
                "schedule": {"schedule": "periodical", "interval": 300},
            }
        },
    ),
}
"""One good body of every write: method, path, body."""

_texts = st.text(max_size=12) | st.sampled_from(
    ["fed.", "fed.web", "federal", "*", "(", "\x00", "/" * 300, "9" * 400]
)
_numbers = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([2**32, 100_001, -1])
)
values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
"""Any JSON."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in _places(one, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn, body: Any) -> Any:
    """Return a body of which one or two parts are something else, gone, twice there or new."""
    result = {"body": copy.deepcopy(body)}
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from(_places(result)[1:]))
        parent: Any = result
        for key in way:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "remove", "double", "add"])):
            case "remove" if len(way):
                del parent[last]
            case "double" if isinstance(parent, list):
                parent.append(parent[last])
            case "add" if isinstance(parent[last], dict):
                parent[last][draw(_texts)] = draw(values)
            case _:
                parent[last] = draw(values)
    return result["body"]
