"""How a rule may write an image, and a registry."""

import pytest

from fedbus.core.admission.criteria import criterion
from fedbus.model.policy.admission import AdmissionCriterion
from tests.support.admission import pod, subject

SHA = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("value", "image", "matches"),
    [
        ("nginx", "nginx:1.25", True),
        ("nginx", "docker.io/library/nginx", True),
        ("library/nginx", "nginx", True),
        ("nginx", "ghcr.io/nginx", True),
        ("nginx", "ghcr.io/team/nginx", False),
        ("*nginx", "ghcr.io/team/nginx", True),
        ("team/*", "ghcr.io/team/nginx", True),
        ("nginx:1.25", "nginx:1.25", True),
        ("nginx:1.25", "nginx:1.26", False),
        ("nginx:latest", "nginx", True),
        ("nginx:1.*", "nginx:1.26", True),
        ("*:latest", "ghcr.io/a/b/c", True),
        ("ghcr.io/team/nginx", "ghcr.io/team/nginx:2", True),
        ("https://ghcr.io/team/nginx", "ghcr.io/team/nginx:2", True),
        ("ghcr.io/team/nginx", "quay.io/team/nginx", False),
        ("*.corp.io/team/*", "eu.corp.io/team/x", True),
        ("ghcr.io/*", "ghcr.io/a/b/c", True),
        ("registry:5000/app:1", "registry:5000/app:1", True),
        ("registry:5000/app", "registry:5001/app", False),
        ("docker.io/nginx", "nginx", True),
        ("index.docker.io/team/app", "team/app", True),
        ("registry-1.docker.io/library/nginx", "docker.io/nginx", True),
        ("Team/App", "team/app", True),
        (f"nginx@{SHA}", f"nginx@{SHA}", True),
        (f"nginx@{SHA}", f"nginx:1@{SHA}", True),
        (f"nginx:1@{SHA}", f"nginx:1@{SHA}", True),
        (f"nginx:2@{SHA}", f"nginx:1@{SHA}", False),
        ("nginx@sha256:*", "nginx:1", False),
        ("nginx:1", f"nginx:1@{SHA}", True),
        ("nginx:latest", f"nginx@{SHA}", False),
    ],
)
def test_an_image_is_matched_by_as_much_as_the_rule_says(value: str, image: str, matches: bool) -> None:
    seen = subject(pod(image))

    assert criterion(AdmissionCriterion(name="image", op="containsAny", value=value)).holds(seen) is matches
    assert (
        criterion(AdmissionCriterion(name="image", op="notContainsAny", value=value)).holds(seen)
        is not matches
    )


@pytest.mark.parametrize(
    ("value", "image", "matches"),
    [
        ("https://ghcr.io/", "ghcr.io/a", True),
        ("ghcr.io", "ghcr.io/a", True),
        ("http://GHCR.io", "ghcr.io/a", True),
        ("dockerhub", "nginx", True),
        ("docker.io", "registry.hub.docker.com/a/b", True),
        ("https://registry-1.docker.io/", "nginx", True),
        ("https://index.docker.io/", "quay.io/a", False),
        ("*.corp.io", "eu.corp.io/a", True),
        ("registry:5000", "registry:5000/a", True),
        ("registry", "registry:5000/a", False),
    ],
)
def test_a_registry_is_matched_by_host_or_address(value: str, image: str, matches: bool) -> None:
    asked = criterion(AdmissionCriterion(name="imageRegistry", op="containsAny", value=value))

    assert asked.holds(subject(pod(image))) is matches
