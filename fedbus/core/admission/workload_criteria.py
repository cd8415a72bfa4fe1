"""Criteria on what the workload asks for: who, where, and with which rights."""

from collections.abc import Callable

from fedbus.core.admission import env_secrets, pod_security
from fedbus.core.admission.criterion import (
    FAIR,
    Criterion,
    Unusable,
    comparison,
    number_of,
    on_pairs,
    on_set,
    on_text,
    on_truth,
)
from fedbus.core.admission.facts import Subject
from fedbus.model.policy.admission import AdmissionCriterion
from fedbus.model.review import Resources


def namespace(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the namespace."""
    return on_text(source, lambda s: s.namespace)


def user(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on who asks; of somebody unknown it is not met."""
    return on_text(source, lambda s: s.workload.user, _knows_user)


def user_groups(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the groups of who asks; of somebody unknown it is not met."""
    return on_set(source, lambda s: s.workload.groups, known=_knows_user)


def _knows_user(subject: Subject) -> bool:
    return bool(subject.workload.user)


def labels(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on labels, the workload's and the image's together."""
    return on_pairs(source, lambda s: s.labels)


def annotations(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on annotations."""
    return on_pairs(source, lambda s: s.annotations)


def environment(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on environment variables; their values are never shown."""
    return on_pairs(source, lambda s: s.environment, show_value=False)


def mounted_volumes(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the paths of the node that the container mounts."""
    return on_set(source, lambda s: s.container.host_paths)


def storage_class(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the classes of volume claims; without claims it is not met."""
    return on_set(
        source, lambda s: s.workload.storage_classes, known=lambda s: bool(s.workload.storage_classes)
    )


def privileged(source: AdmissionCriterion) -> Criterion:
    """Return whether the container is privileged."""
    return on_truth(source, lambda s: s.container.security.privileged)


def runs_as_root(source: AdmissionCriterion) -> Criterion:
    """Return whether the container's user is root, by the workload or else by its image."""
    return on_truth(source, lambda s: s.runs_as_root)


def escalation(source: AdmissionCriterion) -> Criterion:
    """Return whether the container may gain privileges."""
    return on_truth(source, lambda s: s.escalates)


def host_pid(source: AdmissionCriterion) -> Criterion:
    """Return whether the pod shares the node's process ids."""
    return on_truth(source, lambda s: s.workload.host_pid)


def host_ipc(source: AdmissionCriterion) -> Criterion:
    """Return whether the pod shares the node's inter-process communication."""
    return on_truth(source, lambda s: s.workload.host_ipc)


def host_network(source: AdmissionCriterion) -> Criterion:
    """Return whether the pod shares the node's network."""
    return on_truth(source, lambda s: s.workload.host_network)


def env_secret(source: AdmissionCriterion) -> Criterion:
    """Return whether an environment variable holds a secret in plain sight."""

    def found(subject: Subject) -> list[str]:
        return env_secrets.found(subject.container.env)

    return on_truth(source, lambda s: bool(found(s)), lambda s: ", ".join(found(s)), FAIR)


def pod_security_policy(source: AdmissionCriterion) -> Criterion:
    """Return whether the container does anything that the pod security policies of old forbade."""

    def reasons(subject: Subject) -> list[str]:
        workload = subject.workload
        props = {
            "privileged": subject.container.security.privileged,
            "runs as root": bool(subject.runs_as_root),
            "privilege escalation": subject.escalates,
            "host IPC": workload.host_ipc,
            "host network": workload.host_network,
            "host PID": workload.host_pid,
        }
        return [name for name, holds in props.items() if holds]

    def violated(subject: Subject) -> bool | None:
        if reasons(subject):
            return True
        return None if subject.runs_as_root is None else False

    return on_truth(source, violated, lambda s: ", ".join(reasons(s)), FAIR)


def pod_security_standard(source: AdmissionCriterion) -> Criterion:
    """Return whether a Pod Security Standard is violated, and by what."""
    standard = pod_security.STANDARDS.get(source.value.strip().lower())
    if standard is None or source.op != "=":
        raise Unusable(f"violatePssPolicy must be = {' or '.join(pod_security.STANDARDS)}")

    def observed(subject: Subject) -> str:
        return "; ".join(standard(subject)) or "no violation"

    return Criterion(source, source.name, lambda s: bool(standard(s)), observed, FAIR)


_RESOURCES: dict[str, Callable[[Resources], float]] = {
    "cpuRequest": lambda found: found.cpu_request,
    "cpuLimit": lambda found: found.cpu_limit,
    "memoryRequest": lambda found: found.memory_request,
    "memoryLimit": lambda found: found.memory_limit,
}


def resource_limit(source: AdmissionCriterion) -> Criterion:
    """Return whether any of the comparisons of requests and limits holds; what is absent is 0."""
    checks = []
    for sub in source.sub_criteria:
        read = _RESOURCES.get(sub.name)
        if read is None:
            raise Unusable(f"resourceLimit knows no {sub.name!r}")
        checks.append((read, comparison(sub.name, sub.op), number_of(sub.name, sub.value)))

    def holds(subject: Subject) -> bool:
        found = subject.container.resources
        return any(compare(read(found), limit) for read, compare, limit in checks)

    def observed(subject: Subject) -> str:
        found = subject.container.resources
        return ", ".join(f"{sub.name} {_RESOURCES[sub.name](found):g}" for sub in source.sub_criteria)

    return Criterion(source, source.name, holds, observed)


def risky_role(source: AdmissionCriterion) -> Criterion:
    """Return whether the service account is bound to a role that gives away the cluster."""
    if source.op != "containsTagAny":
        raise Unusable(f"saBindRiskyRole has no operator {source.op!r}")
    plain = AdmissionCriterion(name=source.type or source.name, op="containsAny", value=source.value)
    asked = on_set(plain, lambda s: s.workload.risky_roles or ())

    def observed(subject: Subject) -> str:
        if subject.workload.risky_roles is None:
            return "roles are not known here"
        return f"service account {subject.workload.service_account}: {asked.observed(subject)}"

    return Criterion(source, plain.name, asked.holds, observed)
