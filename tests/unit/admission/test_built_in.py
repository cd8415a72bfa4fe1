"""The critical rules: what they exempt, and that nothing stands above them."""

from typing import Any

import pytest

from fedbus.core.admission.built_in import built_in
from fedbus.core.workload import MAX_CONTAINERS
from tests.support.admission import criterion, decide, pod, rule

RULES = built_in(("kube-system", "istio-system"), "fedbus")
EVERYWHERE = rule(
    criterion("namespace", "containsAny", "*"),
    id=100_001,
    containers=["containers", "init_containers", "ephemeral_containers"],
)
STORAGE = rule(criterion("storageClassName", "containsAny", "fast"), id=100_002)


def claim(namespace: str) -> dict[str, Any]:
    metadata = {"name": "data", "namespace": namespace}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {"storageClassName": "fast"}}


@pytest.mark.parametrize(
    ("namespace", "by"), [("kube-system", 1), ("istio-system", 1), ("fedbus", 2), ("shop", 100_001)]
)
@pytest.mark.parametrize("part", ["containers", "initContainers", "ephemeralContainers"])
def test_they_stand_above_every_federated_and_local_denial(namespace: str, by: int, part: str) -> None:
    workload = pod(kind="Pod", namespace=namespace, spec={part: [{"name": "c", "image": "nginx"}]})

    decision = decide(workload, fed=[EVERYWHERE], local=[EVERYWHERE, *RULES])

    assert decision.containers[0].decided_by is not None
    assert decision.containers[0].decided_by.rule == by
    assert decision.allowed is (by < 1000)


@pytest.mark.parametrize(("namespace", "allowed"), [("kube-system", True), ("shop", False)])
def test_volume_claims_are_exempt_too(namespace: str, allowed: bool) -> None:
    assert decide(claim(namespace), fed=[STORAGE], local=RULES).allowed is allowed


@pytest.mark.parametrize(("namespace", "allowed"), [("kube-system", True), ("shop", False)])
def test_so_is_what_is_more_than_anyone_looks_at(namespace: str, allowed: bool) -> None:
    many = [{"name": f"c{n}", "image": "nginx"} for n in range(MAX_CONTAINERS + 1)]

    found = decide(pod(namespace=namespace, spec={"containers": many}), fed=[EVERYWHERE], local=RULES)

    assert found.allowed is allowed


def test_on_their_own_they_deny_nothing_and_warn_of_nothing() -> None:
    many = [{"name": f"c{n}", "image": "nginx"} for n in range(MAX_CONTAINERS + 1)]

    assert decide(pod(spec={"containers": many}), local=RULES).allowed
    needs_scan = rule(criterion("cveHighCount", ">=", "1"), id=100_003)
    assert not decide(pod(namespace="kube-system"), fed=[needs_scan], local=RULES).warnings
    assert decide(pod(), fed=[needs_scan], local=RULES).warnings


def test_without_system_namespaces_there_is_no_rule_that_matches_nothing() -> None:
    assert [one.id for one in built_in((), "fedbus")] == [2]
