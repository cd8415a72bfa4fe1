"""Pod Security Standards, by what each of them forbids."""

from typing import Any

import pytest

from fedbus.core.admission.pod_security import baseline, restricted
from tests.support.admission import pod, report, subject

FINE: dict[str, Any] = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def fine(spec: dict[str, Any] | None = None, container: dict[str, Any] | None = None, **context: Any) -> Any:
    security = {"securityContext": {**FINE, **context}}
    return pod(container={**security, **(container or {})}, spec=spec)


@pytest.mark.parametrize(
    ("manifest", "violations"),
    [
        (fine(), []),
        (pod(), []),
        (fine({"hostNetwork": True, "hostPID": True, "hostIPC": True}), [
            "host network namespace", "host PID namespace", "host IPC namespace",
        ]),
        (fine(privileged=True), ["privileged"]),
        (fine(windowsOptions={"hostProcess": True}), ["Windows host process"]),
        (fine(capabilities={"add": ["CHOWN", "NET_BIND_SERVICE"]}), []),
        (fine(capabilities={"add": ["NET_RAW", "CAP_BPF"]}), ["capability NET_RAW", "capability BPF"]),
        (fine({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), ["hostPath volume v"]),
        (fine({"volumes": [{"name": "v", "nfs": {}}]}), []),
        (fine(container={"ports": [{"hostPort": 80}, {"hostPort": 0}]}), ["host port 80"]),
        (fine(appArmorProfile={"type": "Unconfined"}), ["AppArmor profile Unconfined"]),
        (fine(appArmorProfile={"type": "Localhost"}), []),
        (fine(seLinuxOptions={"type": "container_t"}), []),
        (fine(seLinuxOptions={"type": "spc_t"}), ["SELinux type spc_t"]),
        (fine(seLinuxOptions={"user": "u"}), ["SELinux user or role"]),
        (fine(procMount="Unmasked"), ["procMount Unmasked"]),
        (fine(procMount="Default"), []),
        (fine(seccompProfile={"type": "Unconfined"}), ["seccomp profile Unconfined"]),
        (fine({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}), ["sysctl kernel.msgmax"]),
        (fine({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies"}]}}), []),
    ],
)  # fmt: skip
def test_baseline(manifest: Any, violations: list[str]) -> None:
    assert baseline(subject(manifest)) == violations
    assert set(violations) <= set(restricted(subject(manifest)))


@pytest.mark.parametrize(
    ("manifest", "violations"),
    [
        (fine(), []),
        (pod(), [
            "runAsNonRoot is not true",
            "allowPrivilegeEscalation is not false",
            "no seccomp profile",
            "capabilities do not drop ALL",
        ]),
        (fine(runAsUser=0), ["runAsUser 0"]),
        (fine(runAsUser=1000), []),
        (fine(allowPrivilegeEscalation=True), ["allowPrivilegeEscalation is not false"]),
        (fine(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}), []),
        (fine(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}), ["capability CHOWN"]),
        (fine(capabilities={"drop": ["NET_RAW"]}), ["capabilities do not drop ALL"]),
        (fine({"volumes": [{"name": "v", "nfs": {}}]}), ["nfs volume v"]),
        (fine({"volumes": [{"name": "v", kind: {}} for kind in ("ephemeral", "csi", "secret")]}), []),
        (fine({"volumes": [{"name": "v"}]}), []),
        (fine({"os": {"name": "windows"}}, capabilities={}, seccompProfile={}), []),
    ],
)  # fmt: skip
def test_restricted_is_more_than_baseline(manifest: Any, violations: list[str]) -> None:
    assert restricted(subject(manifest)) == violations


def test_restricted_refuses_an_image_that_runs_as_root() -> None:
    root = report(run_as_root=True)

    assert restricted(subject(fine(), root)) == ["the image runs as root"]
    assert restricted(subject(fine(runAsUser=7), root)) == []


def test_a_short_profile_annotation_is_a_violation_and_no_crash() -> None:
    annotation = {"container.apparmor.security.beta.kubernetes.io/app": "lo"}

    assert baseline(subject(pod(metadata={"annotations": annotation}))) == ["AppArmor profile lo"]
