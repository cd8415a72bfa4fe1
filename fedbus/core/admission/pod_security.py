"""The Pod Security Standards of Kubernetes, baseline and restricted, for one container of a pod.

Beside the standard, `restricted` also refuses an image that a scan shows to run as root.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from fedbus.core.admission.facts import Subject

_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_syncookies",
    }
)
_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "",  # none is written: the API server makes it an emptyDir
    }
)
_PROFILES = frozenset({"RuntimeDefault", "Localhost"})


def baseline(subject: Subject) -> list[str]:
    """Return what violates the baseline standard."""
    return [*_pod(subject), *_container(subject)]


def restricted(subject: Subject) -> list[str]:
    """Return what violates the restricted standard, the baseline included."""
    return [*baseline(subject), *_restricted(subject)]


STANDARDS: Mapping[str, Callable[[Subject], list[str]]] = MappingProxyType(
    {"baseline": baseline, "restricted": restricted}
)


def _pod(subject: Subject) -> Iterator[str]:
    workload = subject.workload
    for shares, name in (
        (workload.host_network, "network"),
        (workload.host_pid, "PID"),
        (workload.host_ipc, "IPC"),
    ):
        if shares:
            yield f"host {name} namespace"
    for volume in workload.volumes:
        if volume.kind == "hostPath":
            yield f"hostPath volume {volume.name}"
    for sysctl in workload.sysctls:
        if sysctl not in _SYSCTLS:
            yield f"sysctl {sysctl}"


def _container(subject: Subject) -> Iterator[str]:
    security = subject.container.security
    if security.privileged:
        yield "privileged"
    if security.host_process:
        yield "Windows host process"
    for capability in security.capabilities_added:
        if capability not in _CAPABILITIES:
            yield f"capability {capability}"
    for port in subject.container.host_ports:
        yield f"host port {port}"
    if security.apparmor and security.apparmor not in _PROFILES:
        yield f"AppArmor profile {security.apparmor}"
    selinux = security.selinux
    if selinux.type not in _SELINUX_TYPES:
        yield f"SELinux type {selinux.type}"
    if selinux.user or selinux.role:
        yield "SELinux user or role"
    if security.proc_mount not in ("", "Default"):
        yield f"procMount {security.proc_mount}"
    if security.seccomp == "Unconfined":
        yield "seccomp profile Unconfined"


def _restricted(subject: Subject) -> Iterator[str]:
    security, workload = subject.container.security, subject.workload
    for volume in workload.volumes:
        if volume.kind not in _VOLUMES and volume.kind != "hostPath":  # that one is in the baseline
            yield f"{volume.kind} volume {volume.name}"
    if security.run_as_user == 0:
        yield "runAsUser 0"
    elif security.run_as_user is None and subject.runs_as_root:
        yield "the image runs as root"
    if not security.run_as_non_root:
        yield "runAsNonRoot is not true"
    if workload.os == "windows":
        return  # the rest is about Linux
    if security.allow_privilege_escalation is not False:
        yield "allowPrivilegeEscalation is not false"
    if security.seccomp not in _PROFILES and security.seccomp != "Unconfined":  # so is that
        yield "no seccomp profile"
    if "ALL" not in security.capabilities_dropped:
        yield "capabilities do not drop ALL"
    for capability in security.capabilities_added:
        if capability in _CAPABILITIES and capability != "NET_BIND_SERVICE":
            yield f"capability {capability}"
