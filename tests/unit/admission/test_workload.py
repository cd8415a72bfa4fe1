"""From manifests to workloads: every kind, every part, and what is wrong with its path."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.quantity import quantity
from fedbus.core.workload import POD_PATHS, workload_of
from fedbus.errors import InvalidInput
from fedbus.model.review import EnvVar, Owner, SeLinux
from tests.support.admission import decide, pod, rule

DATA = Path(__file__).parents[2] / "data" / "admission"


def review(name: str) -> Any:
    return msgspec.json.decode((DATA / name).read_bytes())["request"]


@pytest.mark.parametrize("kind", POD_PATHS)
def test_every_kind_of_workload_is_read(kind: str) -> None:
    workload = workload_of(pod(kind=kind), user="jane", groups=("a", "b"), operation="UPDATE", dry_run=True)

    assert (workload.kind, workload.name, workload.namespace) == (kind, "web", "shop")
    assert [(one.name, one.image.repository) for one in workload.containers] == [("app", "library/nginx")]
    assert (workload.user, workload.groups) == ("jane", ("a", "b"))
    assert (workload.operation, workload.dry_run) == ("UPDATE", True)


def test_a_real_review_of_a_deployment_is_read() -> None:
    request = review("deployment_admission_review.json")
    user = request["userInfo"]

    workload = workload_of(request["object"], user=user["username"], groups=user["groups"])

    assert (workload.namespace, workload.name) == ("customer-1", "api")
    assert workload.labels == {"app": "api", "app.kubernetes.io/component": "api", "customer-id": "1"}
    assert [one.image.text for one in workload.containers] == ["api:1.0.0"]
    assert "system:masters" in workload.groups


def test_a_real_review_of_a_pod_is_read_and_decided() -> None:
    workload = workload_of(
        review("pod_without_privileged_containers.json")["object"], user="kubernetes-admin"
    )
    no_privileges = rule({"name": "runAsPrivileged", "op": "=", "value": "true"})
    no_nginx = rule({"name": "image", "op": "containsAny", "value": "nginx"})

    assert workload.uid == "04dc7a5e-e1f1-4e34-8d65-2c9337a43e64"
    assert "secret" in {one.kind for one in workload.volumes}
    assert decide(workload, local=[no_privileges]).allowed
    assert not decide(workload, local=[no_nginx]).allowed


def test_labels_of_the_template_stand_over_those_of_the_workload() -> None:
    manifest = pod(metadata={"labels": {"a": "1", "b": "1"}, "annotations": {"x": "1"}})
    manifest["spec"]["template"]["metadata"] = {"labels": {"b": "2"}, "annotations": {"y": "2"}}

    workload = workload_of(manifest)

    assert workload.labels == {"a": "1", "b": "2"}
    assert workload.annotations == {"x": "1", "y": "2"}


def test_containers_come_in_the_order_in_which_they_start() -> None:
    spec = {
        "initContainers": [{"name": "i", "image": "init"}],
        "ephemeralContainers": [{"name": "e", "image": "debug"}],
    }

    workload = workload_of(pod(kind="Pod", spec=spec))

    assert [(one.name, one.kind) for one in workload.containers] == [
        ("i", "init_containers"),
        ("app", "containers"),
        ("e", "ephemeral_containers"),
    ]


@pytest.mark.parametrize(
    ("image", "sidecar"),
    [
        ("docker.io/istio/proxyv2:1.20", True),
        ("istio/proxyv2", True),
        ("gcr.io/istio-release/proxyv2:1", True),
        ("cr.l5d.io/linkerd/proxy:stable", True),
        ("evil.example.com/istio/proxyv2:1.20", False),
        ("istio/proxyv2-tools", False),
    ],
)
def test_known_sidecars_and_only_those_are_left_out(image: str, sidecar: bool) -> None:
    assert (not workload_of(pod(image)).containers) is sidecar


def test_the_security_context_of_a_container_stands_over_its_pods() -> None:
    manifest = pod(
        container={
            "securityContext": {
                "runAsUser": 0,
                "privileged": True,
                "capabilities": {"add": ["cap_net_admin"], "drop": ["all"]},
                "procMount": "Unmasked",
                "appArmorProfile": {"type": "Unconfined"},
            }
        },
        spec={
            "securityContext": {
                "runAsUser": 7,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "Localhost"},
                "seLinuxOptions": {"type": "spc_t", "role": "r"},
                "windowsOptions": {"hostProcess": True},
                "sysctls": [{"name": "kernel.x", "value": "1"}],
            }
        },
    )

    workload = workload_of(manifest)
    security = workload.containers[0].security

    assert (security.run_as_user, security.run_as_non_root, security.privileged) == (0, True, True)
    assert (security.capabilities_added, security.capabilities_dropped) == (("NET_ADMIN",), ("ALL",))
    assert (security.proc_mount, security.seccomp, security.apparmor) == (
        "Unmasked",
        "Localhost",
        "Unconfined",
    )
    assert security.selinux == SeLinux(type="spc_t", role="r")
    assert security.host_process
    assert workload.sysctls == ("kernel.x",)


@pytest.mark.parametrize(
    ("annotation", "profile"),
    [
        ("runtime/default", "RuntimeDefault"),
        ("localhost/mine", "Localhost"),
        ("unconfined", "Unconfined"),
        ("lo", "lo"),
        ("", ""),
    ],
)
def test_profiles_in_annotations_are_read_like_fields(annotation: str, profile: str) -> None:
    workload = workload_of(
        pod(
            metadata={
                "annotations": {
                    "container.apparmor.security.beta.kubernetes.io/app": annotation,
                    "container.seccomp.security.alpha.kubernetes.io/app": annotation,
                }
            }
        )
    )

    assert workload.containers[0].security.apparmor == profile
    assert workload.containers[0].security.seccomp == profile


def test_environment_ports_mounts_and_resources_are_read() -> None:
    container = {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}],
        "volumeMounts": [{"name": "h", "mountPath": "/h"}, {"name": "e", "mountPath": "/e"}],
        "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": 0.25}},
    }
    volumes = [
        {"name": "h", "hostPath": {"path": "/etc"}},
        {"name": "e", "emptyDir": {}},
        {"name": "unused", "hostPath": {"path": "/var"}},
    ]

    found = workload_of(pod(container=container, spec={"volumes": volumes})).containers[0]

    assert found.env == (EnvVar(name="A", value="1"), EnvVar(name="B", literal=False))
    assert found.host_ports == (8081,)
    assert found.host_paths == ("/etc",)
    assert (found.resources.cpu_limit, found.resources.cpu_request) == (0.5, 0.25)
    assert (found.resources.memory_limit, found.resources.memory_request) == (2**30, 2**30)


def test_volume_claims_and_claim_templates_name_storage_classes() -> None:
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {"storageClassName": "fast"}}
    stateful = pod(kind="StatefulSet")
    stateful["spec"]["volumeClaimTemplates"] = [{"spec": {"storageClassName": "slow"}}, {"spec": {}}]

    assert workload_of(claim).storage_classes == ("fast",)
    assert workload_of(claim).namespace == "default"
    assert workload_of(stateful).storage_classes == ("slow", "")


def test_the_controller_is_the_owner() -> None:
    owners = [
        {"kind": "Thing", "name": "t", "uid": "1"},
        {"kind": "ReplicaSet", "name": "web", "uid": "2", "controller": True},
    ]

    assert workload_of(pod(metadata={"ownerReferences": owners})).owner == Owner(
        kind="ReplicaSet", name="web", uid="2"
    )


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kind": 3}, "kind"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"labels": {"a": 1}}}, "metadata.labels.a"),
        ({"metadata": {"name": ["x"]}}, "metadata.name"),
        ({"spec": "x"}, "spec"),
        ({"spec": {"containers": {}}}, "spec.containers"),
        ({"spec": {"containers": ["x"]}}, "spec.containers[0]"),
        ({"spec": {"containers": [{}]}}, "spec.containers[0].image"),
        ({"spec": {"containers": [{"image": "a", "name": 1}]}}, "spec.containers[0].name"),
        ({"spec": {"initContainers": [{"image": "a:b:c"}]}}, "spec.initContainers[0].image"),
        ({"spec": {"hostNetwork": "yes"}}, "spec.hostNetwork"),
        ({"spec": {"securityContext": {"runAsUser": "0"}}, "image": 1}, "spec.securityContext.runAsUser"),
        ({"spec": {"volumes": [{"name": "v", "hostPath": {"path": 1}}]}}, "spec.volumes[0].hostPath.path"),
        (
            {"spec": {"containers": [{"image": "a", "resources": {"limits": {"cpu": "much"}}}]}},
            "spec.containers[0].resources.limits.cpu",
        ),
        (
            {"spec": {"containers": [{"image": "a", "ports": [{"hostPort": True}]}]}},
            "spec.containers[0].ports[0].hostPort",
        ),
    ],
)
def test_what_is_malformed_is_named_by_its_path(change: dict[str, Any], path: str) -> None:
    base = pod(kind="Pod")
    if isinstance(change.get("spec"), dict):
        change = {**change, "spec": {**base["spec"], **change["spec"]}}

    with pytest.raises(InvalidInput) as refused:
        workload_of(base | change)

    assert [fault.field for fault in refused.value.faults] == [path]
    assert refused.value.message.startswith(path)


def test_a_kind_that_runs_nothing_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="Service") as refused:
        workload_of({"kind": "Service"})

    assert refused.value.code == "KIND_UNSUPPORTED"


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "template", "metadata", "containers", "image", "name", "env", "labels"]),
            inner,
        )
    ),
    max_leaves=20,
)


@given(
    st.sampled_from([*POD_PATHS, "PersistentVolumeClaim"]),
    st.dictionaries(st.text(max_size=9), json),
    json,
    json,
)
def test_any_json_is_read_or_refused(kind: str, root: Any, metadata: Any, spec: Any) -> None:
    manifest = {**root, "kind": kind, "metadata": metadata, "spec": spec}
    try:
        workload = workload_of(manifest)
    except InvalidInput:
        return
    assert workload.kind == kind


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("500m", 0.5),
        ("1", 1.0),
        (2, 2.0),
        (0.5, 0.5),
        ("1.5Gi", 1.5 * 2**30),
        ("1G", 1e9),
        ("1e3", 1000.0),
        ("100u", 1e-4),
        ("700m", 0.7),
        ("1k", 1000.0),
        ("1Ei", 2.0**60),
        (".5", 0.5),
        ("-1", None),
        ("1 Gi", None),
        ("Gi", None),
        ("1i", None),
        ("nan", None),
        ("1e999", None),
        (True, None),
        (None, None),
        ("1" * 100, None),
    ],
)
def test_quantities_are_numbers_in_base_units(written: object, number: float | None) -> None:
    assert quantity(written) == number
