"""Versions in the order of their package managers."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.package_versions import compare, ecosystem_of

_OLDEST_FIRST = """
deb: 1.0~~ 1.0~rc1 1.0 1.0-1 1.0-1ubuntu1 1.0-1+b1 1.0a 1.0.1 1.1 1.10 1:0.1
apk: 1.0_alpha 1.0_beta2 1.0_rc1 1.0 1.0-r1 1.0-r10 1.0_p1 1.1.1k-r0 1.1.1l-r0 1.10
rpm: 1.0~rc1 1.0 1.0-1 1.0-2.el8 1.0-10.el8 1.0a 1.0.1 1.10 1:0.1
npm: 1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.2.0 1.10.0
pypi: 1.0.dev1 1.0a1 1.0b2 1.0rc1 1.0 1.0+local 1.0.post1 1.0.1 1.10 1!0.1
maven: 1.0-alpha-1 1.0-beta-1 1.0-milestone-1 1.0-rc1 1.0-SNAPSHOT 1.0 1.0-sp 1.0.1 1.10
golang: v0.0.0-20200101000000-aaaaaaaaaaaa v1.0.0-rc.1 v1.0.0 v1.2.3 v1.10.0 v2.0.0+incompatible
gem: 1.0.a 1.0.b1 1.0 1.0.1 1.10
nuget: 1.0.0-alpha 1.0.0-beta 1.0.0 1.0.0.1 1.10.0
composer: 1.0.0-alpha1 1.0.0-beta1 1.0.0-RC1 1.0.0 1.0.1 1.10.0
cargo: 0.1.0-alpha 0.1.0 0.2.0 0.10.0
other: 1.0~rc1 1.0.1 1.1.1k-r0 1.2 1.10 20240101
"""
ORDERED = {
    name: versions.split()
    for name, _, versions in (line.partition(":") for line in _OLDEST_FIRST.split("\n") if line)
}


@pytest.mark.parametrize("ecosystem", ORDERED)
def test_known_orders_are_kept(ecosystem: str) -> None:
    for older, newer in combinations(ORDERED[ecosystem], 2):
        assert compare(ecosystem, older, newer) == -1, (older, newer)
        assert compare(ecosystem, newer, older) == 1, (newer, older)
    for version in ORDERED[ecosystem]:
        assert compare(ecosystem, version, version) == 0


@pytest.mark.parametrize(
    ("ecosystem", "one", "other"),
    [
        ("deb", "0:1.0", "1.0"),
        ("rpm", "1.0", "0:1.0"),
        ("pypi", "1.0", "1.0.0"),
        ("maven", "1.0", "1"),
        ("npm", "v1.0.0", "1.0.0"),
        ("golang", "go1.20.3", "1.20.3"),
    ],
)
def test_different_texts_may_be_one_version(ecosystem: str, one: str, other: str) -> None:
    assert compare(ecosystem, one, other) == 0


@pytest.mark.parametrize("text", ["", "(devel)", "v", "latest", "1" * 1000])
@pytest.mark.parametrize("ecosystem", ["npm", "pypi", "golang", "nuget"])
def test_what_is_no_version_compares_with_nothing(ecosystem: str, text: str) -> None:
    assert compare(ecosystem, text, "1.0.0") in (None, 1)
    assert compare(ecosystem, "", "1.0.0") is None


parts = st.lists(
    st.integers(0, 30).map(str) | st.sampled_from(["a", "rc1", "beta", "~", "-r1", "_p1", "+b1", "-1", "1:"]),
    min_size=1,
    max_size=5,
).map(".".join)


@given(st.sampled_from([*ORDERED]), parts, parts, parts)
def test_versions_are_in_a_total_order(ecosystem: str, one: str, two: str, three: str) -> None:
    first, second, third = (
        compare(ecosystem, one, two),
        compare(ecosystem, two, three),
        compare(ecosystem, one, three),
    )
    if first is None or second is None or third is None:
        return
    assert compare(ecosystem, two, one) == -first
    if first <= 0 and second <= 0:
        assert third <= 0
    if first == 0 and second == 0:
        assert third == 0


@given(st.sampled_from([*ORDERED]), st.text(max_size=30), st.text(max_size=30))
def test_any_texts_are_compared_or_are_no_versions(ecosystem: str, one: str, other: str) -> None:
    assert compare(ecosystem, one, other) in (None, -1, 0, 1)


@pytest.mark.parametrize(
    ("ecosystem", "source", "found"),
    [
        ("apk", "", "apk"),
        ("", "alpine:3.17.0", "apk"),
        ("", "ubuntu:22.04", "deb"),
        ("", "rhel:9", "rpm"),
        ("", "python", "pypi"),
        ("", "jar", "maven"),
        ("PyPI", "", "pypi"),
        ("", "something", ""),
    ],
)
def test_the_ecosystem_is_the_modules_own_or_its_sources(ecosystem: str, source: str, found: str) -> None:
    assert ecosystem_of(ecosystem, source) == found
