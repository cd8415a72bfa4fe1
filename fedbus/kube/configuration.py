"""The ValidatingWebhookConfiguration that makes an API server ask this cluster's webhook."""

import base64
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from fedbus.kube import webhook

NAME: Final = "fedbus-admission"
WEBHOOK: Final = "validate.fedbus.io"
NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
"""The label with a namespace's name that every API server since 1.22 sets by itself."""
EXCLUDED: Final = ("kube-system",)
"""Namespaces without which a cluster cannot heal: they are never asked about."""

FailurePolicy = Literal["Ignore", "Fail"]

_RESOURCES: Final = (
    ("", ("v1",), ("pods", "pods/ephemeralcontainers", "replicationcontrollers", "persistentvolumeclaims")),
    ("apps", ("*",), ("daemonsets", "deployments", "replicasets", "statefulsets")),
    ("batch", ("*",), ("cronjobs", "jobs")),
    ("apps.openshift.io", ("*",), ("deploymentconfigs",)),
)


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How an API server should ask; an empty `url` means the service."""

    service: str
    namespace: str
    ca_pem: str
    url: str = ""
    failure_policy: FailurePolicy = "Ignore"
    timeout_seconds: int = 10
    excluded: Sequence[str] = ()


def configuration(asking: Asking) -> dict[str, Any]:
    """Return the object to apply."""
    bundle = base64.b64encode(asking.ca_pem.encode()).decode()
    reached: dict[str, Any] = (
        {"url": asking.url}
        if asking.url
        else {"service": {"namespace": asking.namespace, "name": asking.service, "path": webhook.PATH}}
    )
    excluded = list(dict.fromkeys((*EXCLUDED, asking.namespace, *asking.excluded)))
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": WEBHOOK,
                "admissionReviewVersions": ["v1", "v1beta1"],
                "sideEffects": "None",
                "timeoutSeconds": asking.timeout_seconds,
                "failurePolicy": asking.failure_policy,
                "matchPolicy": "Equivalent",
                "clientConfig": reached | {"caBundle": bundle},
                "namespaceSelector": {
                    "matchExpressions": [{"key": NAMESPACE_LABEL, "operator": "NotIn", "values": excluded}]
                },
                "rules": [
                    {
                        "apiGroups": [group],
                        "apiVersions": list(versions),
                        "operations": ["CREATE", "UPDATE"],
                        "resources": list(resources),
                        "scope": "Namespaced",
                    }
                    for group, versions, resources in _RESOURCES
                ],
            }
        ],
    }
