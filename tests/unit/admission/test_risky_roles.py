"""Roles that give away a cluster, and the accounts that have them."""

from typing import Any

import pytest

from fedbus.core.admission.risky_roles import tags_of_account, tags_of_role
from fedbus.errors import InvalidInput

VIEW, PODS, WORK, RBAC, EXEC = (
    "risky_role_view_secret",
    "risky_role_create_pod",
    "risky_role_any_action_workload",
    "risky_role_any_action_rbac",
    "risky_role_exec_into_container",
)


def role(*rules: tuple[str, str]) -> dict[str, Any]:
    return {"rules": [{"verbs": verbs.split(), "resources": resources.split()} for verbs, resources in rules]}


@pytest.mark.parametrize(
    ("rules", "tags"),
    [
        ([], set()),
        ([("get", "configmaps")], set()),
        ([("watch", "secrets")], {VIEW}),
        ([("create", "deployments")], {PODS}),
        ([("*", "jobs")], {PODS, WORK}),
        ([("*", "rolebindings")], {RBAC}),
        ([("create", "pods/exec")], {EXEC}),
        ([("*", "pods/exec")], {EXEC}),
        ([("*", "*")], {VIEW, PODS, WORK, RBAC}),
        ([("list", "secrets"), ("get", "configmaps")], {VIEW}),
        ([("list", "secrets"), ("create", "pods/exec")], {VIEW, EXEC}),
    ],
)
def test_every_rule_of_a_role_counts(rules: list[tuple[str, str]], tags: set[str]) -> None:
    assert set(tags_of_role(role(*rules))) == tags


def binding(kind: str, name: str, subject: dict[str, str], namespace: str = "") -> dict[str, Any]:
    home = {"namespace": namespace} if namespace else {}
    return {"metadata": home, "roleRef": {"kind": kind, "name": name}, "subjects": [subject]}


ACCOUNT = {"kind": "ServiceAccount", "name": "ci", "namespace": "shop"}


@pytest.mark.parametrize(
    ("bound", "tags"),
    [
        (binding("ClusterRole", "viewer", ACCOUNT), (VIEW,)),
        (binding("ClusterRole", "viewer", ACCOUNT, "shop"), (VIEW,)),
        (binding("Role", "maker", {"kind": "ServiceAccount", "name": "ci"}, "shop"), (PODS,)),
        (binding("Role", "maker", ACCOUNT, "bank"), ()),
        (binding("ClusterRole", "viewer", {**ACCOUNT, "name": "cd"}), ()),
        (binding("ClusterRole", "viewer", {**ACCOUNT, "namespace": "bank"}), ()),
        (binding("ClusterRole", "viewer", {"kind": "Group", "name": "system:serviceaccounts:shop"}), (VIEW,)),
        (binding("ClusterRole", "viewer", {"kind": "Group", "name": "system:serviceaccounts:bank"}), ()),
        (binding("ClusterRole", "viewer", {"kind": "User", "name": "ci"}), ()),
    ],
)
def test_an_account_has_the_tags_of_the_roles_it_is_bound_to(
    bound: dict[str, Any], tags: tuple[str, ...]
) -> None:
    roles = {("", "viewer"): (VIEW,), ("shop", "maker"): (PODS,)}

    assert tags_of_account("shop", "ci", [bound], roles) == tags  # type: ignore[arg-type]


def test_what_is_no_role_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidInput, match=r"rules\[0\]\.verbs"):
        tags_of_role({"rules": [{"verbs": "get"}]})
