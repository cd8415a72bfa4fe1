"""Package URLs and references of images, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.scan.identity import Reference, reference
from fedbus.core.scan.packages import Purl, ecosystem, purl

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "wanted", "name"),
    [
        ("pkg:npm/%40angular/core@12.3.1", Purl("npm", "@angular", "core", "12.3.1"), "@angular/core"),
        ("pkg:npm/@angular/core", Purl("npm", "@angular", "core", ""), "@angular/core"),
        ("pkg:maven/org.a/b@1?type=jar#x", Purl("maven", "org.a", "b", "1", "type=jar"), "org.a:b"),
        ("pkg:deb/debian/curl@7.50.3-1?arch=i386", Purl("deb", "debian", "curl", "7.50.3-1", "arch=i386"),
         "debian/curl"),
        ("pkg:golang/github.com/a/b@v1%2Bx", Purl("golang", "github.com/a", "b", "v1+x"), "github.com/a/b"),
        ("PKG:npm/x", None, ""), ("pkg:npm", None, ""), ("pkg:/x", None, ""), ("", None, ""),
    ],
)  # fmt: skip
def test_package_urls(text: str, wanted: Purl | None, name: str) -> None:
    found = purl(text)
    assert found == wanted
    assert name == (found.name if found else "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("alpine", Reference("", "alpine")),
        ("alpine:3.10", Reference("", "alpine", "3.10")),
        ("r.example.com/a/b:1", Reference("https://r.example.com/", "a/b", "1")),
        ("localhost/a", Reference("https://localhost/", "a")),
        ("r:5000/a/b", Reference("https://r:5000/", "a/b")),
        ("team/app:1@" + DIGEST, Reference("", "team/app", "1", DIGEST)),
        ("a@sha256:short", Reference("", "a")),
        ("", Reference()),
    ],
)
def test_references(text: str, wanted: Reference) -> None:
    assert reference(text) == wanted


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_asked_about(one: str, other: str) -> None:
    purl("pkg:" + one)
    reference(one)
    assert isinstance(ecosystem(one, other), str)
