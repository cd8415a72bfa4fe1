"""What the commands on admission and inventory print."""

import base64
import json
from collections.abc import Awaitable, Callable

import yaml
from typer.testing import Result

from .conftest import FakeApi

Run = Callable[..., Awaitable[Result]]

WEBHOOK = {
    "url": "https://127.0.0.1:8443/validate",
    "service": "hook",
    "namespace": "security",
    "ca_bundle": "the CA",
    "certificate_expires": "2027-01-01T00:00:00.000Z",
    "fail_open": True,
    "enable": True,
    "mode": "protect",
    "unusable": [],
    "policies_compiled": 1,
    "error": "",
}


async def test_the_webhooks_configuration_is_ready_to_apply(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/admission/webhook"] = WEBHOOK

    done = await run("admission", "webhook-config", "--exclude", "ops", "--data-dir", str(api.data_dir))

    (hook,) = yaml.safe_load(done.stdout)["webhooks"]
    assert base64.b64decode(hook["clientConfig"]["caBundle"]) == b"the CA"
    assert hook["clientConfig"]["service"] == {
        "namespace": "security", "name": "hook", "path": "/validate",
    }  # fmt: skip
    assert (hook["failurePolicy"], hook["sideEffects"], hook["timeoutSeconds"]) == ("Ignore", "None", 10)
    (selected,) = hook["namespaceSelector"]["matchExpressions"]
    assert (selected["operator"], selected["values"]) == ("NotIn", ["kube-system", "security", "ops"])
    assert all(rule["operations"] == ["CREATE", "UPDATE"] for rule in hook["rules"])
    assert {resource for rule in hook["rules"] for resource in rule["resources"]} == {
        "cronjobs", "daemonsets", "deploymentconfigs", "deployments", "jobs", "persistentvolumeclaims",
        "pods", "pods/ephemeralcontainers", "replicasets", "replicationcontrollers", "statefulsets",
    }  # fmt: skip


async def test_its_failure_policy_timeout_and_address_can_be_chosen(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/admission/webhook"] = WEBHOOK
    line = ["admission", "webhook-config", "--data-dir", str(api.data_dir), "-o", "json"]

    done = await run(
        *line, "--failure-policy", "Fail", "--timeout", "3", "--webhook-url", "https://h/validate"
    )

    (hook,) = json.loads(done.stdout)["webhooks"]
    assert (hook["failurePolicy"], hook["timeoutSeconds"]) == ("Fail", 3)
    assert hook["clientConfig"]["url"] == "https://h/validate"
    assert "service" not in hook["clientConfig"]
    assert (await run(*line, "--webhook-url", "http://h/")).exit_code == 2


async def test_status_says_what_becomes_of_what_cannot_be_decided(api: FakeApi, run: Run) -> None:
    for fail_open, expected in ((True, "allowed (fail_open)"), (False, "denied")):
        api.answers["GET /v1/admission/webhook"] = WEBHOOK | {"fail_open": fail_open}
        done = await run("admission", "status", "--data-dir", str(api.data_dir))
        assert expected in done.stdout


async def test_statistics_and_events_are_tables(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/admission/stats"] = {
        "stats": {"k8s_denied_requests": 3, "violations": 0},
        "rules": [{"scope": "fed", "rule": 100001, "result": "denied", "count": 3}],
    }
    api.answers["GET /v1/log/audit"] = {
        "audits": [
            {"reported_at": "t", "name": "Admission.Control.Denied", "count": 3, "workload_domain": "shop",
             "kind": "Pod", "workload_name": "p", "workload_image": "nginx", "rule_scope": "fed",
             "rule": 100001, "user": "eve"}
        ]
    }  # fmt: skip

    stats = await run("admission", "stats", "--data-dir", str(api.data_dir))
    events = await run("admission", "events", "--data-dir", str(api.data_dir))

    assert stats.stdout.splitlines()[:2] == ["denied requests: 3", "violations:      0"]
    assert stats.stdout.splitlines()[-1].split() == ["fed", "100001", "denied", "3"]
    assert events.stdout.splitlines()[1].split() == [
        "t", "Denied", "3", "shop", "Pod", "p", "nginx", "fed", "100001", "eve",
    ]  # fmt: skip


async def test_the_inventory_is_shown_even_while_there_is_none(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/inventory"] = {"counts": None, "errors": {"Pod": "no"}, "risky_service_accounts": {}}
    api.answers["GET /v1/inventory/images"] = {"images": []}

    shown = await run("inventory", "show", "--data-dir", str(api.data_dir))
    images = await run("inventory", "images", "--unscanned", "--data-dir", str(api.data_dir))

    assert "Pod=no" in shown.stdout
    assert (images.exit_code, images.stdout) == (0, "")
