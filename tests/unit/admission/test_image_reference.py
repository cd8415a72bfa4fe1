"""Image references in every form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.image_reference import host_of, hosts, image_reference
from fedbus.errors import InvalidInput

SHA = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io", "library/nginx", "latest", ""),
        ("nginx:1.25", "docker.io", "library/nginx", "1.25", ""),
        ("team/app", "docker.io", "team/app", "latest", ""),
        ("docker.io/nginx", "docker.io", "library/nginx", "latest", ""),
        ("index.docker.io/library/nginx:1", "docker.io", "library/nginx", "1", ""),
        ("registry-1.docker.io/team/app", "docker.io", "team/app", "latest", ""),
        ("registry.hub.docker.com/team/app", "docker.io", "team/app", "latest", ""),
        ("ghcr.io/nginx", "ghcr.io", "nginx", "latest", ""),
        ("host:5000/team/app", "host:5000", "team/app", "latest", ""),
        ("host:5000/app:5000", "host:5000", "app", "5000", ""),
        ("localhost/app", "localhost", "app", "latest", ""),
        ("10.1.2.3:5000/a/b/c:V1.0_x", "10.1.2.3:5000", "a/b/c", "V1.0_x", ""),
        ("[::1]:5000/app", "[::1]:5000", "app", "latest", ""),
        (f"nginx@{SHA}", "docker.io", "library/nginx", "", SHA),
        (f"nginx:1.25@{SHA}", "docker.io", "library/nginx", "1.25", SHA),
        (f"host:5000/app:1@{SHA}", "host:5000", "app", "1", SHA),
        ("Registry.Example.COM/Team/App:RC", "registry.example.com", "team/app", "RC", ""),
        ("https://registry.example.com/app", "registry.example.com", "app", "latest", ""),
        (" nginx ", "docker.io", "library/nginx", "latest", ""),
    ],
)
def test_a_reference_is_read(text: str, registry: str, repository: str, tag: str, digest: str) -> None:
    found = image_reference(text)

    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, digest)
    assert found.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        "nginx:",
        "nginx@",
        ":latest",
        "a b",
        "nginx:la test",
        "nginx:-x",
        "nginx:" + "t" * 129,
        "/nginx",
        "ghcr.io/",
        "ghcr.io//a",
        "a/../b",
        "nginx@sha256:xyz",
        "nginx@sha256:12",
        f"nginx@{SHA}@{SHA}",
        "host:port/app",
        "ümlaut",
        "a" * 5000,
    ],
)
def test_what_no_runtime_reads_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        image_reference(text, "spec.containers[2].image")

    assert refused.value.code == "IMAGE_INVALID"
    assert [fault.field for fault in refused.value.faults] == ["spec.containers[2].image"]
    assert refused.value.message.startswith("spec.containers[2].image must be")


@given(st.text(max_size=80))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        found = image_reference(text)
    except InvalidInput:
        return
    assert found.repository
    assert found.tag or found.digest


def test_docker_hub_has_many_names_and_others_one() -> None:
    assert hosts("dockerhub") == hosts("docker.io")
    assert "registry-1.docker.io" in hosts("docker.io")
    assert hosts("ghcr.io") == ("ghcr.io",)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://registry.example.com/", "registry.example.com"),
        ("HTTP://Host:5000/v2", "host:5000"),
        ("https://index.docker.io/", "docker.io"),
        ("dockerhub", "docker.io"),
        ("", ""),
    ],
)
def test_a_registry_address_names_its_host(url: str, host: str) -> None:
    assert host_of(url) == host
