"""Strategies for valid policy: every kind, with links that lead somewhere."""

from typing import Any

from hypothesis import strategies as st

from fedbus.core import policy_input, policy_rules
from fedbus.core.policy_rules.network import APPLICATIONS
from fedbus.core.rank import between
from fedbus.model.policy import FED_RULE_IDS, KINDS, Policy

GROUPS = ("fed.web", "fed.Db", "fed.a:b", "fed.no")
SENSORS = ("fed.pii", "fed.ssn")
HOOKS = ("fed.slack", "fed.ops")

words = st.sampled_from(
    [
        "a",
        "nginx",
        "=",
        "yes",
        "1e5",
        "null",
        "~",
        "0x1F",
        "2024-01-01",
        "a: b",
        "# no",
        "- x",
        "ü",
        'it\'s "it"',
    ]
)
prose = st.text(max_size=30).filter(lambda text: text.isascii() or not _surrogate(text)) | words


def _surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _rows(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _group(name: str) -> st.SearchStrategy[dict[str, Any]]:
    criterion = st.builds(
        lambda key, op, value: {"key": key, "op": op, "value": value},
        st.sampled_from(["service", "namespace", "image", "ns:stage", "app.kubernetes.io/name"]),
        st.sampled_from(["=", "!=", "contains", "prefix", "regex"]),
        st.sampled_from(["shop", "1", "yes", "a-b", "null", "="]),
    )
    return st.builds(
        lambda criteria, optional: {"name": name, "criteria": criteria} | optional,
        st.lists(criterion, min_size=1, max_size=3),
        _rows(
            comment=prose,
            monitor_metric=st.booleans(),
            group_sess_cur=st.integers(0, 5),
            group_sess_rate=st.integers(0, 5),
            group_band_width=st.integers(0, 5),
            domain=st.sampled_from(["", "shop"]),
        ),
    )


def _sensor(name: str) -> st.SearchStrategy[dict[str, Any]]:
    pattern = st.builds(
        lambda op, value, context: {"op": op, "value": value, "context": context},
        st.sampled_from(["regex", "!regex"]),
        st.sampled_from(["a+", "[0-9]{3}-x", "\\bno\\b"]),
        st.sampled_from(["url", "header", "body", "packet"]),
    )
    rules = st.lists(
        st.lists(pattern, min_size=1, max_size=2).map(lambda patterns: {"patterns": patterns}), max_size=2
    ).map(lambda found: [{"name": f"rule-{index}"} | one for index, one in enumerate(found)])
    return st.builds(lambda rules, comment: {"name": name, "rules": rules, "comment": comment}, rules, words)


def _profile(group: str) -> st.SearchStrategy[dict[str, Any]]:
    entry = _rows(user=words, uid=st.integers(0, 3), allow_update=st.booleans())
    entries = st.lists(entry, max_size=3).map(
        lambda found: [
            {"name": f"p{index}", "path": f"/bin/p{index}", "action": "deny"} | one
            for index, one in enumerate(found)
        ]
    )
    return st.builds(
        lambda entries, optional: {"group": group, "process_list": entries} | optional,
        entries,
        _rows(
            baseline=st.sampled_from(["", "basic", "zero-drift"]),
            alert_disabled=st.booleans(),
            hash_enabled=st.booleans(),
        ),
    )


def _file(group: str) -> st.SearchStrategy[dict[str, Any]]:
    entry = _rows(
        recursive=st.booleans(),
        behavior=st.sampled_from(["monitor_change", "block_access"]),
        applications=st.lists(words, max_size=2),
    )
    return st.lists(entry, max_size=3).map(
        lambda found: {
            "group": group,
            "filters": [{"filter": f"/etc/f{index}"} | one for index, one in enumerate(found)],
        }
    )


def _binding(group: str, sensors: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda status, actions: {
            "name": group,
            "status": status,
            "sensors": [{"name": n, "action": a} for n, a in zip(sensors, actions, strict=True)],
        },
        st.booleans(),
        st.lists(st.sampled_from(["allow", "deny"]), min_size=len(sensors), max_size=len(sensors)),
    )


def _network(groups: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda ends, optional: {"from": ends[0], "to": ends[1], "action": "allow"} | optional,
        st.tuples(
            st.sampled_from([*groups, "external"]), st.sampled_from([*groups, "nodes", "fed.nodes"])
        ).filter(lambda ends: ends != ("external", "nodes")),
        _rows(
            action=st.sampled_from(["allow", "deny"]),
            ports=st.sampled_from(["any", "tcp/80", "udp/1-5,tcp/22", "icmp"]),
            applications=st.lists(st.sampled_from(sorted(APPLICATIONS.values())), max_size=2, unique=True),
            comment=prose,
            disable=st.booleans(),
        ),
    )


_admission = st.builds(
    lambda criteria, optional: {"rule_type": "deny", "criteria": criteria} | optional,
    st.lists(
        st.sampled_from(
            [
                {"name": "namespace", "op": "containsAny", "value": "a,b"},
                {"name": "image", "op": "notContainsAny", "value": "x"},
                {"name": "shareIpcWithHost", "op": "=", "value": "true", "path": "shareIpcWithHost"},
                {
                    "name": "cveHighCount",
                    "op": ">=",
                    "value": "1",
                    "sub_criteria": [{"name": "publishDays", "op": ">=", "value": "30"}],
                },
                {
                    "name": "replicas",
                    "type": "customPath",
                    "op": ">=",
                    "value": "3",
                    "path": "item.spec.replicas",
                    "value_type": "number",
                },
            ]
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda one: one["name"],
    ),
    _rows(
        comment=prose,
        rule_mode=st.sampled_from(["", "monitor", "protect"]),
        on_unscanned=st.sampled_from(["skip", "match", "deny"]),
        disable=st.booleans(),
        containers=st.lists(
            st.sampled_from(["containers", "init_containers", "ephemeral_containers"]),
            max_size=3,
            unique=True,
        ),
    ),
)


def _response(groups: list[str], hooks: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda event, optional: {"event": event, "actions": ["webhook"]} | optional,
        st.sampled_from(["security-event", "cve-report"]),
        _rows(
            group=st.sampled_from(["", "external", "fed.nodes", *groups]),
            actions=st.sampled_from([["webhook"], ["suppress-log", "webhook"]]),
            comment=prose,
            disable=st.booleans(),
            webhooks=st.lists(st.sampled_from(hooks), unique=True) if hooks else st.just([]),
            conditions=st.sampled_from([[], [{"type": "level", "value": "Critical"}]]),
        ),
    )


_vulnerabilities = st.lists(
    _rows(comment=words, days=st.integers(0, 9), domains=st.lists(words, max_size=2), id=st.integers(0, 3)),
    max_size=2,
).map(lambda found: {"entries": [{"name": f"CVE-{index}"} | one for index, one in enumerate(found)]})

_registries = _rows(
    rescan_after_db_update=st.booleans(), repo_limit=st.integers(0, 9), password=st.sampled_from(["", "****"])
).map(
    lambda optional: (
        {
            "name": "fed.hub",
            "registry_type": "Docker Registry",
            "registry": "https://r.example/",
            "filters": ["a/b:*"],
        }
        | optional
    )
)


def _ordered(
    draw: st.DrawFn, kind: str, specs: st.SearchStrategy[dict[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    drawn = draw(st.lists(specs, max_size=4))
    ids = draw(st.permutations(list(FED_RULE_IDS)[: len(drawn)]))
    placed, rank = [], None
    for spec, number in zip(drawn, ids, strict=True):
        rank = between(rank, None)
        placed.append((kind, spec | {"id": number, "rank": rank}))
    return placed


@st.composite
def policy_sets(draw: st.DrawFn) -> list[Policy]:
    """Draw objects of all kinds that a federation could hold together."""
    groups = draw(st.lists(st.sampled_from(GROUPS), min_size=1, unique=True))
    dlp, waf = (draw(st.lists(st.sampled_from(SENSORS), unique=True)) for _ in range(2))
    hooks = draw(st.lists(st.sampled_from(HOOKS), unique=True))
    specs: list[tuple[str, dict[str, Any]]] = [("group", draw(_group(name))) for name in groups]
    specs += [("dlp_sensor", draw(_sensor(name))) for name in dlp]
    specs += [("waf_sensor", draw(_sensor(name))) for name in waf]
    specs += [
        (
            "webhook",
            {"name": name, "url": "https://hook.example/x"}
            | draw(_rows(enable=st.booleans(), type=st.sampled_from(["", "Slack"]))),
        )
        for name in hooks
    ]
    for kind, one in (
        ("process_profile", _profile),
        ("file_profile", _file),
        ("dlp_group", lambda name: _binding(name, dlp)),
        ("waf_group", lambda name: _binding(name, waf)),
    ):
        specs += [(kind, draw(one(name))) for name in groups if draw(st.booleans())]
    specs += _ordered(draw, "network_rule", _network(groups))
    specs += _ordered(draw, "admission_rule", _admission)
    specs += _ordered(draw, "response_rule", _response(groups, hooks))
    specs += [("registry", one) for one in draw(st.lists(_registries, max_size=1))]
    if draw(st.booleans()):
        state = {"enable": draw(st.booleans()), "default_action": draw(st.sampled_from(["allow", "deny"]))}
        specs += [("admission_state", state), ("vulnerability_profile", draw(_vulnerabilities))]
    objects = [policy_input.parse(kind, spec) for kind, spec in specs]
    assert not [fault for obj in objects for fault in policy_rules.faults(obj)]
    assert len(
        {(type(obj), KINDS[kind].key(obj)) for obj, (kind, _) in zip(objects, specs, strict=True)}
    ) == len(objects)
    return objects
