"""Workloads, scans and rules for tests of admission, in as few words as each test needs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fedbus.core.admission.accepted import Accepted
from fedbus.core.admission.facts import ScanFacts, Subject
from fedbus.core.admission.policy import Policy
from fedbus.core.image_reference import image_reference
from fedbus.core.workload import workload_of
from fedbus.model.decision import Decision
from fedbus.model.policy.admission import AdmissionRule, AdmissionState
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.review import Workload
from fedbus.model.scan import Report

NOW = 1_790_000_000.0
"""The time of every decision in tests, Unix seconds."""
DAY = 86_400
DIGEST = "sha256:" + "d1" * 32


def pod(
    image: str = "nginx:1.25",
    *,
    kind: str = "Deployment",
    namespace: str = "shop",
    container: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the manifest of a workload with one container."""
    meta = {"name": "web", "namespace": namespace, **(metadata or {})}
    containers = [{"name": "app", "image": image, **(container or {})}]
    pod_spec = {"containers": containers, **(spec or {})}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": pod_spec}
    template = {"spec": {"template": {"spec": pod_spec}}}
    if kind == "CronJob":
        template = {"spec": {"jobTemplate": template}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, **template}


def report(**fields: Any) -> Report:
    """Return a report; a vulnerability may say `days_ago` instead of when it was published."""
    fields = {"digest": DIGEST, "registry": "fed.hub", "scanned_at": NOW - DAY, **fields}
    fields["vulnerabilities"] = [_vulnerability(one) for one in fields.get("vulnerabilities", ())]
    return msgspec.convert(fields, Report)


def _vulnerability(fields: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(fields)
    if "days_ago" in fields:
        fields["published_timestamp"] = int(NOW - fields.pop("days_ago") * DAY)
    return fields


def rule(*criteria: Mapping[str, Any], **fields: Any) -> AdmissionRule:
    """Return a rule, one that denies unless said otherwise."""
    return msgspec.convert({"rule_type": "deny", "criteria": list(criteria), **fields}, AdmissionRule)


def criterion(name: str, op: str = "", value: str = "", **fields: Any) -> dict[str, Any]:
    """Return a criterion; `subs` are triples of name, operator, value."""
    subs = [dict(zip(("name", "op", "value"), sub, strict=True)) for sub in fields.pop("subs", ())]
    return {"name": name, "op": op, "value": value, "sub_criteria": subs, **fields}


def state(mode: str = "protect", *, enable: bool = True) -> AdmissionState:
    """Return the state of a cluster that denies."""
    return msgspec.convert({"enable": enable, "mode": mode}, AdmissionState)


def decide(
    workload: Workload | Mapping[str, Any],
    *,
    fed: Sequence[AdmissionRule] = (),
    local: Sequence[AdmissionRule] = (),
    reports: Iterable[Report] = (),
    mode: str = "protect",
    accepted: Sequence[VulnerabilityEntry] = (),
) -> Decision:
    """Decide; the reports are those of every image of the workload."""
    if not isinstance(workload, Workload):
        workload = workload_of(workload, user="jane", groups=("dev",))
    policy = Policy(fed, local, state=state(mode), accepted=accepted)
    assert not policy.unusable, policy.unusable
    held = tuple(reports)
    return policy.decide(workload, {one.image.text: held for one in workload.containers}, NOW)


def subject(
    manifest: Mapping[str, Any] | Workload | None = None,
    scan: Report | None = None,
    *,
    accepted: Sequence[VulnerabilityEntry] = (),
    **fields: Any,
) -> Subject:
    """Return the first container of a workload under a scan; `fields` change the workload."""
    workload = manifest if isinstance(manifest, Workload) else workload_of(manifest or pod())
    workload = msgspec.structs.replace(workload, **fields)
    container = workload.containers[0] if workload.containers else None
    image = image_reference("nginx") if container is None else container.image
    facts = None if scan is None else ScanFacts(scan, Accepted(accepted).of(workload.namespace, image), NOW)
    return Subject(workload, container, facts, NOW)
