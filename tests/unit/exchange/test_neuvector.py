"""NeuVector's custom resources: what becomes of each field, and that nothing is lost in silence."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.exchange.items import Judged, judge
from fedbus.core.exchange.neuvector import resources
from fedbus.core.exchange.neuvector.resources import RESOURCE_KINDS
from fedbus.model.policy import KINDS
from fedbus.web.yaml_documents import parse, parse_each

REAL = Path(__file__).parents[2] / "data" / "neuvector-crd"


def read(text: str) -> Judged:
    (document,) = parse(text.encode())
    (judged,) = judge(document.value)
    return judged


def resource(kind: str, spec: object, **metadata: object) -> Judged:
    value = {"apiVersion": "neuvector.com/v1", "kind": kind, "metadata": metadata, "spec": spec}
    (judged,) = judge(value)
    return judged


def specs(judged: Judged, kind: str) -> list[dict[str, Any]]:
    assert not judged.faults
    sent = msgspec.json.encode([item.document["spec"] for item in judged.items if item.kind == kind])
    return msgspec.json.decode(sent, type=list[dict[str, Any]])


def said(judged: Judged) -> dict[str, str]:
    return {remark.path: remark.message for remark in judged.remarks}


def wrong(judged: Judged) -> dict[str, str]:
    assert not judged.items or judged.faults
    return {fault.path: fault.message for fault in judged.faults}


SELECTOR = {"name": "nv.web.shop", "criteria": [{"key": "service", "op": "=", "value": "web.shop"}]}
CRITERION_OP = "spec.criteria[0].op"
TARGET = {"target": {"selector": SELECTOR}}


def test_a_real_admission_file_becomes_state_and_rules() -> None:
    judged = read((REAL / "admission-share_ipc_net_pid.yaml").read_text())

    assert [spec["enable"] for spec in specs(judged, "admission_state")] == [False]
    rules = specs(judged, "admission_rule")
    assert [(rule["rule_type"], rule["rule_mode"], rule["comment"]) for rule in rules] == [
        ("deny", "", "Deny IPC sharing with host"),
        ("deny", "protect", "Deny network sharing with host"),
        ("deny", "monitor", "Deny PID sharing with host"),
    ]
    assert rules[0]["criteria"][0]["op"] == "="
    assert said(judged) == {
        "spec.config.client_mode": "ignored: how the API server reaches the webhook is each cluster's own",
        **{
            f"spec.rules[{n}].conversion_id_ref": "ignored: fedbus does not know this field" for n in range(3)
        },
    }


def test_the_documented_admission_example_is_accepted() -> None:
    judged = read((REAL / "docs-admission-local.yaml").read_text())

    assert [c["value"] for rule in specs(judged, "admission_rule") for c in rule["criteria"]] == ["n2,ns1"]


def test_what_is_documented_as_invalid_yaml_is_rejected_with_its_line() -> None:
    found, faults = parse_each((REAL / "docs-nvclustersecurityrule.yaml").read_bytes())
    assert not found
    assert [(fault.document, fault.line) for fault in faults] == [(0, 32)]


def test_a_documented_rule_without_its_list_is_accepted() -> None:
    judged = read((REAL / "docs-nvsecurityrule.yaml").read_text())  # it has no apiVersion
    assert [spec["name"] for spec in specs(judged, "group")] == ["fed.nv.nginx-pod.neuvector"]
    assert "Discover" in said(judged)["spec.target.policymode"]


def test_names_get_the_prefix_of_the_federation_and_each_is_said() -> None:
    ingress = [{"name": "a", "action": "allow", "selector": {"name": "external"}}]
    judged = resource("NvClusterSecurityRule", {**TARGET, "ingress": ingress})

    assert [(rule["from"], rule["to"]) for rule in specs(judged, "network_rule")] == [
        ("external", "fed.nv.web.shop")
    ]
    assert list(said(judged)) == ["spec.target.selector.name"]


def test_ingress_comes_to_the_target_and_egress_goes_from_it() -> None:
    peer = {"name": "db", "criteria": [{"key": "image", "op": "=", "value": "pg"}], "comment": "the database"}
    spec = {
        **TARGET,
        "ingress": [
            {"name": "i", "action": "deny", "selector": peer, "ports": "80", "applications": ["HTTP"]}
        ],
        "egress": [{"name": "e", "action": "allow", "selector": {"name": "db"}, "priority": 7}],
    }
    judged = resource("NvSecurityRule", spec, name="x", namespace="shop")

    assert [(r["from"], r["to"], r["action"], r["ports"]) for r in specs(judged, "network_rule")] == [
        ("fed.db", "fed.nv.web.shop", "deny", "tcp/80"),
        ("fed.nv.web.shop", "fed.db", "allow", "any"),
    ]
    assert [(g["name"], g["comment"]) for g in specs(judged, "group")] == [
        ("fed.nv.web.shop", ""),
        ("fed.db", "the database"),
    ]
    assert {"metadata.namespace", "spec.egress[0].priority"} <= set(said(judged))


def test_a_name_referral_describes_no_group() -> None:
    selector = SELECTOR | {"name_referral": True, "comment": "old"}
    judged = resource("NvSecurityRule", {"target": {"selector": selector}})

    assert specs(judged, "group") == []
    assert {"spec.target.selector.criteria", "spec.target.selector.comment"} <= set(said(judged))


@pytest.mark.parametrize("name", ["Host:node-1", "Workload:abc", "nv.ip.web"])
def test_what_exists_in_one_cluster_alone_is_refused(name: str) -> None:
    ingress = [{"name": "a", "action": "allow", "selector": {"name": name}}]

    assert list(wrong(resource("NvSecurityRule", {**TARGET, "ingress": ingress}))) == [
        "spec.ingress[0].selector.name"
    ]


def test_profiles_bindings_and_responses_go_to_the_target() -> None:
    spec = {
        **TARGET,
        "process_profile": {"baseline": "shield", "mode": "Protect"},
        "process": [{"name": "sh", "path": "/bin/sh", "action": "deny"}],
        "file": [{"filter": "/etc/x", "behavior": "block_access", "recursive": True, "app": ["vi"]}],
        "dlp": {"status": True, "settings": [{"name": "sensor.ssn", "action": "deny"}]},
        "waf": {"settings": []},
        "response": [
            {"policy_name": "r", "event": "event", "actions": ["webhook"], "webhooks": ["slack"], "group": ""}
        ],
    }
    judged = resource("NvSecurityRule", spec)
    name = "fed.nv.web.shop"

    (process,) = specs(judged, "process_profile")
    assert (process["group"], process["baseline"], len(process["process_list"])) == (name, "zero-drift", 1)
    (file,) = specs(judged, "file_profile")
    assert (file["group"], file["filters"][0]["applications"]) == (name, ["vi"])
    (dlp,) = specs(judged, "dlp_group")
    assert (dlp["name"], dlp["status"], dlp["sensors"][0]["name"]) == (name, True, "fed.sensor.ssn")
    assert [one["status"] for one in specs(judged, "waf_group")] == [False]
    assert [(r["group"], r["webhooks"]) for r in specs(judged, "response_rule")] == [(name, ["fed.slack"])]
    assert "spec.process_profile.mode" in said(judged)


def test_a_rule_for_all_hosts_has_its_profile_at_the_federations_group_of_them() -> None:
    spec = {
        "target": {"selector": {"name": "nodes"}},
        "process": [{"name": "a", "path": "/a", "action": "deny"}],
    }

    assert [one["group"] for one in specs(resource("NvClusterSecurityRule", spec), "process_profile")] == [
        "fed.nodes"
    ]


@pytest.mark.parametrize("kind", ["NvDlpSecurityRule", "NvWafSecurityRule"])
def test_sensors(kind: str) -> None:
    pattern = {"key": "pattern", "op": "regex", "value": "a+", "context": "url"}
    sensor = {"name": "pii", "comment": "c", "rules": [{"name": "r", "patterns": [pattern]}]}
    judged = resource(kind, {"sensor": sensor})

    (spec,) = specs(judged, "dlp_sensor" if "Dlp" in kind else "waf_sensor")
    assert (spec["name"], spec["comment"], spec["rules"][0]["patterns"]) == ("fed.pii", "c", [pattern])


def test_the_other_kinds() -> None:
    definition = resource(
        "NvGroupDefinition", {"selector": SELECTOR | {"mon_metric": True, "grp_sess_cur": 5}}
    )
    (group,) = specs(definition, "group")
    assert (group["monitor_metric"], group["group_sess_cur"]) == (True, 5)

    responses = resource(
        "NvResponseRuleSecurityRule",
        {"rules": [{"policy_name": "p", "event": "event", "group": "db", "actions": ["suppress-log"]}]},
    )
    assert [one["group"] for one in specs(responses, "response_rule")] == ["fed.db"]

    entries = [{"name": "CVE-1", "comment": "c", "images": ["a"]}, {"name": "_RecentVuln", "days": 3}]
    vulnerabilities = resource("NvVulnerabilityProfile", {"profile": {"entries": entries}}, name="default")
    (profile,) = specs(vulnerabilities, "vulnerability_profile")
    assert [(one["name"], one["days"]) for one in profile["entries"]] == [("CVE-1", 0), ("_RecentVuln", 3)]


@pytest.mark.parametrize("below", ["config", "fed_config", ""])
def test_of_a_configuration_only_webhooks_are_federated(below: str) -> None:
    config: dict[str, object] = {"webhooks": [{"name": "slack", "url": "https://x.example", "type": "Slack"}]}
    judged = resource("NvConfigSecurityRule", {below: config | {"syslog": {"ip": "x"}}} if below else config)

    assert [one["name"] for one in specs(judged, "webhook")] == ["fed.slack"]
    assert (f"spec.{below}.syslog" in said(judged)) == bool(below)


def test_bookkeeping_of_the_cluster_is_said_where_it_says_anything() -> None:
    judged = resource("NvGroupDefinition", {"selector": SELECTOR}, name="x", creationTimestamp=None, uid="u")

    assert "metadata.uid" in said(judged)
    assert "metadata.creationTimestamp" not in said(judged)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"kind": "NvComplianceProfile", "spec": {}}, "kind"),
        ({"kind": "NvUnheardOf", "spec": {}}, "kind"),
        ({"kind": "ConfigMap", "apiVersion": "v1"}, "kind"),
        ({"apiVersion": "neuvector.com/v2", "kind": "NvGroupDefinition"}, "apiVersion"),
        ({"kind": "NvSecurityRule"}, "spec"),
        ({"kind": "NvSecurityRule", "spec": []}, "spec"),
        ({"kind": "NvSecurityRule", "spec": {}}, "spec.target.selector"),
        ({"kind": "NvSecurityRule", "spec": {"target": {"selector": {}}}}, "spec.target.selector.name"),
        ({"kind": "NvSecurityRule", "spec": {**TARGET, "ingress": "all"}}, "spec.ingress"),
        (
            {"kind": "NvSecurityRule", "spec": {**TARGET, "process": [{"action": 1}]}},
            "spec.process[0].action",
        ),
        ({"kind": "NvWafSecurityRule", "spec": {"sensor": {"rules": [3]}}}, "spec.sensor.rules[0]"),
        (
            {"kind": "NvAdmissionControlSecurityRule", "spec": {"rules": [{"action": "maybe"}]}},
            "spec.rules[0].action",
        ),
        ({"kind": 5}, "kind"),
        ({}, "kind"),
        ({"kind": "List", "items": {}}, "items"),
        ({"kind": "List", "items": ["x"]}, "items[0].kind"),
        ({"kind": "List", "items": [{"kind": "List", "items": []}]}, "items[0]"),
        ({"kind": "group", "spec": {"name": "fed.a", "criteria": [{"key": "a", "op": "?"}]}}, CRITERION_OP),
        ({"kind": "group", "spec": {"name": "web"}}, "spec.name"),
        ({"kind": "group", "spec": []}, ""),
    ],
)
def test_what_cannot_be_used_is_rejected_at_its_place(value: dict[str, object], path: str) -> None:
    faults = [fault.path for judged in judge(value) for fault in judged.faults]

    assert path in faults


def test_every_item_of_a_list_is_judged_by_itself() -> None:
    good = {"kind": "NvGroupDefinition", "spec": {"selector": SELECTOR}}
    judged = judge({"kind": "List", "items": [good, {"kind": "NvX"}, good]})

    assert [(one.path, len(one.faults)) for one in judged] == [
        ("items[0]", 0),
        ("items[1]", 1),
        ("items[2]", 0),
    ]


def test_a_value_that_breaks_a_rule_of_ours_is_named_by_the_kind_it_becomes() -> None:
    bad = {"name": "a", "criteria": [{"key": "address", "op": "!=", "value": "10.0.0.1"}]}

    assert wrong(resource("NvGroupDefinition", {"selector": bad})) == {
        "spec.selector": "group: criteria[0].op must be '=' for an address"
    }


_keys = st.sampled_from(
    [
        "target",
        "selector",
        "name",
        "criteria",
        "key",
        "op",
        "value",
        "ingress",
        "process",
        "file",
        "dlp",
        "rules",
        "settings",
        "response",
        "config",
        "sensor",
        "profile",
        "entries",
        "patterns",
        "action",
        "annotations",
    ]
)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=5),
    max_leaves=15,
)


@given(st.sampled_from([*RESOURCE_KINDS, *KINDS]), _json, _json)
def test_arbitrary_documents_are_accepted_or_rejected_and_nothing_else(
    kind: str, spec: Any, meta: Any
) -> None:
    (judged,) = judge({"kind": kind, "metadata": meta, "spec": spec})

    assert all(fault.message for fault in judged.faults)
    assert all(item.document["kind"] in KINDS for item in judged.items)


@pytest.mark.parametrize("value", ["perhaps", 1, ""])
def test_an_annotation_of_ours_with_another_value_is_refused(value: object) -> None:
    key = "fedbus.io/on_unscanned.100001"
    found = resources.read(
        {"kind": "NvAdmissionControlSecurityRule", "metadata": {"annotations": {key: value}}, "spec": {}}
    )

    assert [fault.path for fault in found.faults] == [f"metadata.annotations.{key}"]
    assert "skip or match or deny" in found.faults[0].message
