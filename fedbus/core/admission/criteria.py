"""Every admission criterion by name: what makes it ready to be asked."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from fedbus.core.admission import (
    custom_path,
    image_criteria,
    module_criteria,
    scan_criteria,
    workload_criteria,
)
from fedbus.core.admission.criterion import Criterion, Unusable
from fedbus.core.policy_rules.admission import identity
from fedbus.core.policy_rules.admission_criteria import CUSTOM_PATH, RISKY_ROLE
from fedbus.model.policy.admission import AdmissionCriterion

CRITERIA: Final[Mapping[str, Callable[[AdmissionCriterion], Criterion]]] = MappingProxyType(
    {
        "image": image_criteria.image,
        "imageRegistry": image_criteria.registry,
        "namespace": workload_criteria.namespace,
        "user": workload_criteria.user,
        "userGroups": workload_criteria.user_groups,
        "labels": workload_criteria.labels,
        "annotations": workload_criteria.annotations,
        "mountVolumes": workload_criteria.mounted_volumes,
        "envVars": workload_criteria.environment,
        "cveNames": scan_criteria.names,
        "cveCriticalCount": scan_criteria.count,
        "cveHighCountNoCritical": scan_criteria.count,
        "cveHighCount": scan_criteria.count,
        "cveMediumCount": scan_criteria.count,
        "cveCriticalWithFixCount": scan_criteria.count,
        "cveHighWithFixCountNoCritical": scan_criteria.count,
        "cveHighWithFixCount": scan_criteria.count,
        "cveScoreCount": scan_criteria.score_count,
        "imageScanned": scan_criteria.scanned,
        "imageSigned": scan_criteria.signed,
        "imageVerifiers": scan_criteria.verifiers,
        "imageCompliance": scan_criteria.compliance,
        "imageNoOS": scan_criteria.without_os,
        "modules": module_criteria.modules,
        "envVarSecrets": workload_criteria.env_secret,
        "runAsPrivileged": workload_criteria.privileged,
        "runAsRoot": workload_criteria.runs_as_root,
        "allowPrivEscalation": workload_criteria.escalation,
        "sharePidWithHost": workload_criteria.host_pid,
        "shareIpcWithHost": workload_criteria.host_ipc,
        "shareNetWithHost": workload_criteria.host_network,
        "pspCompliance": workload_criteria.pod_security_policy,
        "violatePssPolicy": workload_criteria.pod_security_standard,
        "resourceLimit": workload_criteria.resource_limit,
        "storageClassName": workload_criteria.storage_class,
        RISKY_ROLE: workload_criteria.risky_role,
        CUSTOM_PATH: custom_path.custom_path,
    }
)

SCANNED: Final = frozenset(name for name in CRITERIA if name.startswith("cve")) | {
    "imageScanned",
    "imageSigned",
    "imageVerifiers",
    "imageCompliance",
    "imageNoOS",
    "modules",
}
"""Criteria that only a scan can answer."""


def criterion(source: AdmissionCriterion) -> Criterion:
    """Return a criterion ready to be asked. Raises ValueError for what this build cannot ask."""
    build = CRITERIA.get(identity(source))
    if build is None:
        raise Unusable(f"there is no criterion {source.name!r}")
    return build(source)
