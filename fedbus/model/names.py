"""Names and labels of clusters: what may be one."""

import re

from fedbus.errors import Fault, InvalidInput

CLUSTER_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
_LABEL = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")
MAX_LABELS = 32


def check_cluster(name: str) -> None:
    """Raise InvalidInput unless `name` may be a cluster's."""
    if not CLUSTER_NAME.match(name):
        message = (
            f"{name!r} is no cluster name: 1 to 63 of letters, digits, dot, underscore and hyphen, "
            "a letter or digit first"
        )
        raise InvalidInput(message, (Fault("name", message),))


def check_labels(labels: dict[str, str]) -> None:
    """Raise InvalidInput unless the labels may be a cluster's (Kubernetes' rules for keys and values)."""
    if len(labels) > MAX_LABELS:
        raise InvalidInput(f"a cluster has at most {MAX_LABELS} labels")
    for key, value in labels.items():
        if not _LABEL.match(key) or (value and not _LABEL.match(value)):
            message = f"{key}={value} is no label: 1 to 63 letters, digits, dots, hyphens, slashes"
            raise InvalidInput(message, (Fault(f"labels.{key}", message),))
