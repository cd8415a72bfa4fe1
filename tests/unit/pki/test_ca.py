"""The certificate authority, judged by the TLS stack of the standard library."""

import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fedbus.errors import ConfigError, InvalidInput
from fedbus.pki import ca
from fedbus.pki.ca import DAY, CertificateAuthority, Issued, client_context, server_context

AUTHORITY_MADE = 1_700_000_000.0


@pytest.fixture(scope="module")
def now() -> float:
    import time

    return time.time()  # noqa: TID251 - OpenSSL judges validity by the machine's clock


@pytest.fixture(scope="module")
def authority(now: float) -> CertificateAuthority:
    return CertificateAuthority.make("fedbus f1", now=now, randomness=os.urandom)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> str | None:
    """Run a TLS handshake in memory; return the version, or raise what the client raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    a = client.wrap_bio(to_client, to_server, server_hostname=host)
    b = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (a, b):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return a.version()


def serving(issued: Issued, tmp_path: Path) -> ssl.SSLContext:
    file = tmp_path / "server.pem"
    file.write_bytes(issued.pem)
    return server_context(file, file)


@pytest.mark.parametrize("host", ["bus.example", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_ca_accepts_each_host_of_the_certificate(
    authority: CertificateAuthority, now: float, tmp_path: Path, host: str
) -> None:
    issued = authority.issue(["bus.example", "127.0.0.1", "::1"], now=now, randomness=os.urandom)

    version = handshake(serving(issued, tmp_path), client_context(authority.chain_pem), host)

    assert version == "TLSv1.3"


def test_another_host_is_refused(authority: CertificateAuthority, now: float, tmp_path: Path) -> None:
    issued = authority.issue(["bus.example"], now=now, randomness=os.urandom)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|mismatch"):
        handshake(serving(issued, tmp_path), client_context(authority.chain_pem), "evil.example")


def test_a_certificate_of_another_ca_of_the_same_name_is_refused(
    authority: CertificateAuthority, now: float, tmp_path: Path
) -> None:
    impostor = CertificateAuthority.make("fedbus f1", now=now, randomness=os.urandom)
    issued = impostor.issue(["bus.example"], now=now, randomness=os.urandom)

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(serving(issued, tmp_path), client_context(authority.chain_pem), "bus.example")


def test_an_expired_certificate_is_refused(
    authority: CertificateAuthority, now: float, tmp_path: Path
) -> None:
    issued = authority.issue(["bus.example"], now=now - 3 * DAY, days=2, randomness=os.urandom)

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(serving(issued, tmp_path), client_context(authority.chain_pem), "bus.example")


def test_old_tls_is_refused(authority: CertificateAuthority, now: float, tmp_path: Path) -> None:
    issued = authority.issue(["bus.example"], now=now, randomness=os.urandom)

    assert serving(issued, tmp_path).minimum_version == ssl.TLSVersion.TLSv1_2
    assert client_context(authority.chain_pem).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_worker_whose_clock_is_a_day_behind_can_connect(
    authority: CertificateAuthority, now: float
) -> None:
    issued = authority.issue(["bus.example"], now=now, randomness=os.urandom)

    for certificate in (authority.certificate, issued.certificate):
        assert certificate.not_valid_before_utc.timestamp() <= now - DAY


def test_the_ca_may_sign_servers_and_no_other_ca(authority: CertificateAuthority, now: float) -> None:
    issued = authority.issue(["bus.example"], now=now, randomness=os.urandom)

    assert authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value == (
        x509.BasicConstraints(ca=True, path_length=0)
    )
    assert not issued.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert isinstance(issued.certificate.public_key(), ec.EllipticCurvePublicKey)


def test_a_ca_survives_its_files_and_can_still_issue(authority: CertificateAuthority, now: float) -> None:
    again = CertificateAuthority(authority.chain_pem, authority.key_pem)

    issued = again.issue(["bus.example"], now=now, randomness=os.urandom)

    issued.certificate.verify_directly_issued_by(authority.certificate)


def test_the_same_randomness_gives_the_same_key() -> None:
    first, second = (
        CertificateAuthority.make("x", now=AUTHORITY_MADE, randomness=lambda size: b"r" * size)
        for _ in range(2)
    )

    assert first.key_pem == second.key_pem


def test_it_is_known_which_hosts_a_certificate_covers(authority: CertificateAuthority, now: float) -> None:
    issued = authority.issue(["b.example", "a.example", "10.0.0.1"], now=now, randomness=os.urandom)

    assert issued.covers(["10.0.0.1", "a.example", "b.example"])
    assert not issued.covers(["a.example", "b.example"])
    assert not issued.covers(["10.0.0.1", "a.example", "b.example", "c.example"])


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "a..b", "a/b", "ü.example", "-a", "x" * 64, "a." * 127 + "bb"]
)
def test_what_is_no_host_gets_no_certificate(authority: CertificateAuthority, host: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        authority.issue([host], now=AUTHORITY_MADE, randomness=os.urandom)

    assert caught.value.code == "HOST_INVALID"


def test_a_certificate_for_nobody_is_refused(authority: CertificateAuthority) -> None:
    with pytest.raises(InvalidInput):
        authority.issue([], now=AUTHORITY_MADE, randomness=os.urandom)


def test_binary_and_text_form_are_the_same_certificate(authority: CertificateAuthority) -> None:
    assert ca.der_to_pem(ca.pem_to_der(authority.chain_pem)) == authority.chain_pem


def test_files_that_hold_no_certificate_or_key_are_refused(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_bytes(b"odd")

    with pytest.raises(InvalidInput):
        client_context(b"odd")
    with pytest.raises(ConfigError):
        server_context(odd, odd)
    with pytest.raises(ConfigError):
        Issued.parse(authority.chain_pem)
    with pytest.raises(ConfigError):
        Issued.parse(authority.key_pem)
    with pytest.raises(ConfigError):
        CertificateAuthority(authority.chain_pem, b"odd")


def test_the_key_is_not_in_a_repr(authority: CertificateAuthority) -> None:
    assert "PRIVATE" not in repr(authority)
