"""Which roles give away a cluster, and which of them a service account is bound to.

Roles and bindings are Kubernetes objects of `rbac.authorization.k8s.io` as their API gives them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fedbus.core.manifest import Field
from fedbus.model.review import RiskyRole

_WORKLOADS = frozenset(
    {
        "pods",
        "deployments",
        "cronjobs",
        "jobs",
        "daemonsets",
        "statefulsets",
        "replicasets",
        "replicationcontrollers",
        "*",
    }
)
_RBAC = frozenset({"roles", "clusterroles", "rolebindings", "clusterrolebindings", "*"})
_TAGS: Mapping[RiskyRole, tuple[frozenset[str], frozenset[str]]] = {
    "risky_role_view_secret": (frozenset({"*", "get", "list", "watch"}), frozenset({"secrets", "*"})),
    "risky_role_any_action_workload": (frozenset({"*"}), _WORKLOADS),
    "risky_role_any_action_rbac": (frozenset({"*"}), _RBAC),
    "risky_role_create_pod": (frozenset({"*", "create"}), _WORKLOADS),
    "risky_role_exec_into_container": (frozenset({"*", "create"}), frozenset({"pods/exec"})),
}
"""What tags a role: one of its rules has one of the verbs on one of the resources."""

Document = Mapping[str, Any]


def tags_of_role(role: Document) -> tuple[RiskyRole, ...]:
    """Return the tags of a Role or ClusterRole: every one of its rules counts.

    Raises InvalidInput (MANIFEST_INVALID).
    """
    tags: set[RiskyRole] = set()
    for rule in Field(role)["rules"].items():
        verbs, resources = rule["verbs"].texts(), rule["resources"].texts()
        for tag, (risky_verbs, risky_resources) in _TAGS.items():
            if not (risky_verbs.isdisjoint(verbs) or risky_resources.isdisjoint(resources)):
                tags.add(tag)
    return tuple(sorted(tags))


def tags_of_account(
    namespace: str,
    account: str,
    bindings: Iterable[Document],
    roles: Mapping[tuple[str, str], Sequence[RiskyRole]],
) -> tuple[RiskyRole, ...]:
    """Return the tags of all roles that a service account is bound to, by itself or by a group of its own.

    `roles` has the tags of roles by namespace and name, cluster roles with an empty namespace.
    Raises InvalidInput (MANIFEST_INVALID).
    """
    tags: set[RiskyRole] = set()
    for binding in bindings:
        for key in _bound(Field(binding), namespace, account or "default"):
            tags.update(roles.get(key, ()))
    return tuple(sorted(tags))


def _bound(binding: Field, namespace: str, account: str) -> Iterator[tuple[str, str]]:
    """Yield the role of a binding if the account is among its subjects and it holds in the namespace."""
    home = binding.at("metadata", "namespace").text()
    if home and home != namespace:
        return  # a RoleBinding gives rights in its own namespace only
    groups = {"system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"}
    for subject in binding["subjects"].items():
        kind, name = subject["kind"].text(), subject["name"].text()
        its_account = (kind, name, subject["namespace"].text() or home) == (
            "ServiceAccount",
            account,
            namespace,
        )
        if its_account or (kind == "Group" and name in groups):
            role = binding["roleRef"]
            yield (home if role["kind"].text() == "Role" else "", role["name"].text())
            return
