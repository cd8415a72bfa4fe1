"""The federation's certificate authority: P-256, one CA, server certificates for names and addresses.

Clients trust this CA alone, from the join token or from disk, never the machine's store of CAs.
Times are seconds since 1970; randomness is an argument, `os.urandom` in production.
"""

import contextlib
import datetime as dt
import ipaddress
import re
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedbus.errors import ConfigError, InvalidInput

Randomness = Callable[[int], bytes]

CA_DAYS: Final = 3650
SERVER_DAYS: Final = 365
RENEW_DAYS: Final = 30
DAY: Final = 86_400.0
# A certificate is valid from a day ago: a worker whose clock is behind can still connect.
_BACKDATE: Final = DAY
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_KEY_MARKER: Final = b"-----BEGIN PRIVATE KEY-----"
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Issued:
    """A certificate with its key, as PEM. The key is never in a repr."""

    __slots__ = ("certificate", "chain_pem", "key_pem")

    def __init__(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Take a certificate, followed by those that lead to its CA, and its key.

        Raises ConfigError when there is no certificate.
        """
        self.chain_pem = chain_pem
        self.key_pem = key_pem
        try:
            self.certificate = x509.load_pem_x509_certificates(chain_pem)[0]
        except ValueError as error:
            raise ConfigError("there is no PEM certificate", code="TLS_UNUSABLE") from error

    @classmethod
    def parse(cls, pem: bytes) -> Self:
        """Take certificate and key from one file. Raises ConfigError when either is missing."""
        chain, marker, key = pem.partition(_KEY_MARKER)
        if not marker:
            raise ConfigError("there is no PEM key", code="TLS_UNUSABLE")
        return cls(chain, marker + key)

    @property
    def pem(self) -> bytes:
        """Chain and key for one file; secret."""
        return self.chain_pem + self.key_pem

    def expires(self) -> float:
        """When it ends, in seconds since 1970."""
        return self.certificate.not_valid_after_utc.timestamp()

    def covers(self, hosts: Iterable[str]) -> bool:
        """Whether it names exactly these hosts."""
        names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(names) == set(_alternative_names(hosts))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.certificate.subject.rfc4514_string()})"


class CertificateAuthority(Issued):
    """A CA that can issue."""

    __slots__ = ("_key",)

    def __init__(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Take the CA's certificate and key. Raises ConfigError when one is unusable."""
        super().__init__(chain_pem, key_pem)
        try:
            key = serialization.load_pem_private_key(key_pem, password=None)
        except ValueError:
            raise ConfigError("the CA key is not a PEM key", code="TLS_UNUSABLE") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError("the CA key is not an elliptic-curve key", code="TLS_UNUSABLE")
        self._key = key

    @classmethod
    def make(cls, name: str, *, now: float, randomness: Randomness) -> Self:
        """Make a self-signed CA of ten years that may sign servers and no other CA."""
        key = _new_key(randomness)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(key, now, CA_DAYS, randomness)
            .subject_name(subject)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
        )
        return cls(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))

    def issue(
        self,
        hosts: Iterable[str],
        *,
        now: float,
        randomness: Randomness,
        days: int = SERVER_DAYS,
        peer: bool = False,
    ) -> Issued:
        """Issue a server certificate for DNS names and IP addresses; the chain holds the CA too.

        That of a `peer` also lets it call the other servers of its cluster.
        Raises InvalidInput when there is no host, or one that is neither a name nor an address.
        """
        names = _alternative_names(hosts)
        key = _new_key(randomness)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if peer else [])]
        issuer_key_id = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _builder(key, now, days, randomness)
            # the host is in the alternative names, where clients look; a long one would not fit here
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedbus server")]))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
            )
        )
        return Issued(_pem(builder.sign(self._key, hashes.SHA256())) + self.chain_pem, _key_pem(key))


def server_context(chain_file: Path, key_file: Path) -> ssl.SSLContext:
    """Build a server's TLS context. Raises ConfigError when the files do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(chain_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use the certificate {chain_file}: {error}", code="TLS_UNUSABLE") from error
    return context


def client_context(ca_pem: bytes) -> ssl.SSLContext:
    """Build a client's TLS context that trusts this CA alone and checks the host name.

    Raises InvalidInput when it is not a certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise InvalidInput("the CA is not a PEM certificate", code="CA_MALFORMED") from error
    return context


def pem_to_der(pem: bytes) -> bytes:
    """Return the first certificate of a PEM file in its binary form."""
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def der_to_pem(der: bytes) -> bytes:
    """Return a binary certificate as PEM. Raises InvalidInput when it is not a certificate."""
    try:
        return _pem(x509.load_der_x509_certificate(der))
    except (ValueError, x509.InvalidVersion) as error:
        raise InvalidInput("not a certificate", code="CA_MALFORMED") from error


def _new_key(randomness: Randomness) -> ec.EllipticCurvePrivateKey:
    # 16 bytes more than the order has: the remainder's bias is below 2^-128 (FIPS 186-5, A.2.1)
    secret = int.from_bytes(randomness(48)) % (_P256_ORDER - 1) + 1
    return ec.derive_private_key(secret, ec.SECP256R1())


def _builder(
    key: ec.EllipticCurvePrivateKey, now: float, days: int, randomness: Randomness
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key.public_key())
        .serial_number(int.from_bytes(randomness(20)) >> 1 | 1)  # 159 bits, positive (RFC 5280, 4.1.2.2)
        .not_valid_before(_moment(now - _BACKDATE))
        .not_valid_after(_moment(now + days * DAY))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(seconds), tz=dt.UTC)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names = [_alternative_name(host) for host in dict.fromkeys(hosts)]
    if not names:
        raise InvalidInput("a certificate needs at least one host", code="HOST_INVALID")
    return names


def _alternative_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.removeprefix("*.").split(".")):
        raise InvalidInput(f"{host!r} is neither a host name nor an address", code="HOST_INVALID")
    return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
