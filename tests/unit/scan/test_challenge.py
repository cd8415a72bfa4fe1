"""What a registry may ask for, and where it may send us for a token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.registry.access import Address
from fedbus.scan.oci.challenge import Challenge, check_realm, read
from fedbus.scan.oci.errors import RegistryError


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', Challenge("Basic")),
        ("basic", Challenge("Basic")),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
            Challenge("Bearer", "https://a/t", "s", "repository:a/b:pull,push"),
        ),
        ('bearer  realm="https://a/t" , error="x\\"y"', Challenge("Bearer", "https://a/t")),
        ("Bearer realm=https://a/t,service=s", Challenge("Bearer", "https://a/t", "s")),
        ('Basic realm="x", Bearer realm="https://a/t"', Challenge("Bearer", "https://a/t")),
    ],
)
def test_a_challenge_is_read(header: str, expected: Challenge) -> None:
    assert read([header]) == expected


@given(st.lists(st.text(max_size=200)))
def test_any_header_is_a_challenge_or_refused(headers: list[str]) -> None:
    try:
        found = read(headers).scheme
    except RegistryError as error:
        found = error.code
    assert found in ("Basic", "Bearer", "REGISTRY_UNAUTHORIZED")


@pytest.mark.parametrize(
    ("registry", "realm", "fine"),
    [
        (Address("https", "r.example"), "https://auth.example/t", True),
        (Address("https", "r.example"), "http://auth.example/t", False),
        (Address("https", "r.example"), "http://127.0.0.1/t", False),
        (Address("https", "127.0.0.1:5000"), "http://127.0.0.1:5001/t", True),
        (Address("https", "localhost"), "http://localhost:5001/t", True),
        (Address("http", "r.example"), "http://auth.example/t", True),
        (Address("https", "r.example"), "", False),
        (Address("https", "r.example"), "ftp://auth.example/t", False),
        (Address("https", "r.example"), "https://user:word@auth.example/t", False),
        (Address("https", "r.example"), "https://a:port/t", False),
        (Address("https", "127.0.0.1.example"), "http://auth.example/t", False),
    ],
)
def test_credentials_go_to_a_realm_with_tls(registry: Address, realm: str, fine: bool) -> None:
    if fine:
        check_realm(realm, registry)
        return
    with pytest.raises(RegistryError):
        check_realm(realm, registry)
