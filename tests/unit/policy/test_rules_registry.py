"""NeuVector's rules for registries, and ours: credentials are never federated."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

FaultsIn = Callable[[str, Mapping[str, object]], dict[str, str]]

DOCKER, AWS, OPENSHIFT, GITHUB = (
    "Docker Registry",
    "Amazon ECR Registry",
    "OpenShift Registry",
    "GitHub Container Registry",
)


def registry(kind: str = DOCKER, **fields: object) -> dict[str, Any]:
    base = {"name": "fed.r", "registry": "https://r.example.com/", "filters": ["a/b:*"]}
    return {**base, "registry_type": kind, **fields}


def test_a_registry_has_an_address_except_where_the_account_tells_it(faults_in: FaultsIn) -> None:
    assert set(faults_in("registry", registry(registry=""))) == {"registry"}
    assert set(faults_in("registry", registry(registry="r.example.com"))) == {"registry"}
    assert set(faults_in("registry", registry(registry="https://user:word@r.example.com"))) == {"registry"}
    assert faults_in("registry", registry(AWS, registry="")) == {}
    assert set(faults_in("registry", registry(AWS, registry="aws"))) == {"registry"}


def test_gitlab_is_https_and_needs_its_external_address(faults_in: FaultsIn) -> None:
    assert set(faults_in("registry", registry("Gitlab"))) == {"gitlab_external_url"}
    assert faults_in("registry", registry("Gitlab", gitlab_external_url="****")) == {}
    found = faults_in(
        "registry", registry("Gitlab", registry="http://r/", gitlab_external_url="https://gitlab.example.com")
    )
    assert set(found) == {"registry"}


def test_artifactory_needs_its_mode(faults_in: FaultsIn) -> None:
    assert set(faults_in("registry", registry("JFrog Artifactory"))) == {"jfrog_mode"}
    assert faults_in("registry", registry("JFrog Artifactory", jfrog_mode="Subdomain")) == {}


@pytest.mark.parametrize(
    "text",
    ["*", "*:*", "alpine", "alpine:3.[8|9].*", "org/repo:tag", "org/team/*:1.*", "my_org.x-1/*", "a:latest"],
)
def test_a_filter_selects_repositories_and_tags(faults_in: FaultsIn, text: str) -> None:
    assert faults_in("registry", registry(filters=[text])) == {}


@pytest.mark.parametrize(
    "text", ["", " ", "org/", "o*g/repo", "a b/c", "repo:", ":tag", "re[po", "repo:(", "org/:tag"]
)
def test_other_filters_are_refused(faults_in: FaultsIn, text: str) -> None:
    assert set(faults_in("registry", registry(filters=[text]))) == {"filters[0]"}


def test_filters_by_registry_type(faults_in: FaultsIn) -> None:
    assert set(faults_in("registry", registry(filters=[]))) == {"filters"}
    assert set(faults_in("registry", registry(GITHUB, filters=["*"]))) == {"filters[0]"}
    assert faults_in("registry", registry(GITHUB, filters=["org/*"])) == {}
    assert set(faults_in("registry", registry(OPENSHIFT, filters=["repo"]))) == {"filters[0]"}
    assert faults_in("registry", registry(OPENSHIFT, filters=["*", "org/repo"])) == {}


@pytest.mark.parametrize(
    ("kind", "schedule", "interval", "field"),
    [
        (DOCKER, "manual", 0, None),
        (DOCKER, "periodical", 300, None),
        (DOCKER, "periodical", 604_800, None),
        (DOCKER, "periodical", 299, "interval"),
        (DOCKER, "periodical", 604_801, "interval"),
        (DOCKER, "auto", 0, "schedule"),
        (OPENSHIFT, "auto", 0, None),
        (OPENSHIFT, "manual", 0, None),
        (OPENSHIFT, "periodical", 300, "schedule"),
    ],
)
def test_schedules_by_registry_type(
    faults_in: FaultsIn, kind: str, schedule: str, interval: int, field: str | None
) -> None:
    found = faults_in("registry", registry(kind, schedule={"schedule": schedule, "interval": interval}))

    assert set(found) == ({f"schedule.{field}"} if field else set())


SECRETS = [
    {"username": "u"},
    {"password": "p"},
    {"auth_token": "t"},
    {"gitlab_private_token": "t"},
    {"ibm_cloud_account": "a"},
    {"ibm_cloud_token_url": "https://u"},
    {"aws_key": {"id": "1"}},
    {"aws_key": {"access_key_id": "1"}},
    {"aws_key": {"secret_access_key": "1"}},
    {"gcr_key": {"json_key": "{}"}},
]


@pytest.mark.parametrize("secret", SECRETS, ids=str)
def test_a_credential_is_refused_and_its_mask_is_not(faults_in: FaultsIn, secret: dict[str, Any]) -> None:
    found = faults_in("registry", registry(**secret))
    masked: dict[str, Any] = {
        field: dict.fromkeys(value, "****") if isinstance(value, dict) else "****"
        for field, value in secret.items()
    }

    assert len(found) == 1
    assert "never federated" in next(iter(found.values()))
    assert faults_in("registry", registry(**masked)) == {}


def test_a_fault_does_not_repeat_the_credential(faults_in: FaultsIn) -> None:
    assert "hunter2" not in str(faults_in("registry", registry(password="hunter2")))


def test_a_federated_registry_belongs_to_no_namespace(faults_in: FaultsIn) -> None:
    assert set(faults_in("registry", registry(domains=["team-a"]))) == {"domains"}
