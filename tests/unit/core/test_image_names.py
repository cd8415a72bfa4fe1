"""Names of images, as people and runtimes write them."""

import pytest

from fedbus.core import image_names
from fedbus.core.image_names import ImageName

D = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io", "library/nginx", "latest", ""),
        ("nginx:1.25", "docker.io", "library/nginx", "1.25", ""),
        ("index.docker.io/nginx", "docker.io", "library/nginx", "latest", ""),
        ("team/app:1", "docker.io", "team/app", "1", ""),
        ("localhost/app", "localhost", "app", "latest", ""),
        ("https://Reg.Example.com:5000/a/b:1", "reg.example.com:5000", "a/b", "1", ""),
        (f"reg.example.com/a@{D}", "reg.example.com", "a", "", D),
        (f"reg.example.com/a:1@{D}", "reg.example.com", "a", "1", D),
    ],
)
def test_a_name_is_taken_apart(text: str, registry: str, repository: str, tag: str, digest: str) -> None:
    assert image_names.parse(text) == ImageName(
        registry=registry, repository=repository, tag=tag, digest=digest
    )


@pytest.mark.parametrize("text", ["", " ", "reg.example.com/", "app:", "@sha256:aa"])
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no image"):
        image_names.parse(text)


def test_a_registry_has_all_its_names() -> None:
    assert "index.docker.io" in image_names.hosts("docker.io")
    assert image_names.hosts("https://Reg.example.com:5000/") == {"reg.example.com:5000"}
    assert image_names.hosts("") == frozenset()
