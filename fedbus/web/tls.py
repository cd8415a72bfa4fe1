"""The daemon's own certificate authority and its servers' certificates, in `<data>/tls/`.

    ca.pem          what clients trust; safe to hand out
    ca-key.pem      the authority: certificate and key
    server.pem      what the REST server presents: chain and key
    webhook.pem     what the admission webhook presents

Certificate and key lie in one file each, so that a crash cannot leave a pair that does not match.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from fedbus.errors import ConfigError
from fedbus.pki import ca, files
from fedbus.runtime import first

CHECK_SECONDS = 6 * 3600.0

_log = structlog.get_logger("fedbus.web")


class RestTls:
    """Keeps the certificate of one server: made at first start, renewed 30 days before its end.

    `hosts` are the names and addresses it is for; others than last time make a new one. `server` is the
    name of its file. Raises ConfigError when a file is damaged, InvalidInput when a host is no name and
    no address.
    """

    def __init__(
        self,
        data_dir: Path,
        hosts: Sequence[str],
        *,
        now: float,
        randomness: Callable[[int], bytes],
        server: str = "server",
    ) -> None:
        directory = files.make_directory(data_dir / "tls")
        self.ca_file = directory / "ca.pem"
        self._authority_file = directory / "ca-key.pem"
        self._server_file = directory / f"{server}.pem"
        self._hosts = tuple(hosts)
        self._randomness = randomness
        self._authority = self._load_or_make_authority(now)
        files.write(self.ca_file, self._authority.chain_pem)
        self._issue_when_due(now)
        self.context: ssl.SSLContext = ca.server_context(self._server_file, self._server_file)

    @property
    def expires(self) -> float:
        """When the certificate ends, in Unix seconds."""
        return ca.Issued(*_split(self._server_file)).expires()

    def refresh(self, now: float) -> bool:
        """Renew the certificate when it is due, for new connections; say whether it was."""
        due = self._issue_when_due(now)
        if due:
            self.context.load_cert_chain(self._server_file)
        return due

    async def keep(self, now: Callable[[], float], stop: asyncio.Event) -> None:
        """Renew the certificate whenever it is due, until `stop`: a service of the daemon."""
        while not stop.is_set():
            self.refresh(now())
            await first(stop.wait(), timeout=CHECK_SECONDS)

    def _load_or_make_authority(self, now: float) -> ca.CertificateAuthority:
        if self._authority_file.exists():
            return ca.CertificateAuthority(*_split(self._authority_file))
        made = ca.CertificateAuthority.make("fedbus REST CA", now=now, randomness=self._randomness)
        files.write(self._authority_file, made.chain_pem + made.key_pem)
        return made

    def _issue_when_due(self, now: float) -> bool:
        if self._server_file.exists():
            held = ca.Issued(*_split(self._server_file))
            mine = held.certificate.issuer == self._authority.certificate.subject
            if mine and held.covers(self._hosts) and held.expires() - now > ca.RENEW_DAYS * ca.DAY:
                return False
        issued = self._authority.issue(self._hosts, now=now, randomness=self._randomness)
        files.write(self._server_file, issued.chain_pem + issued.key_pem)
        _log.info("certificate_issued", server=self._server_file.stem, hosts=list(self._hosts))
        return True


def _split(file: Path) -> tuple[bytes, bytes]:
    chain, marker, key = file.read_bytes().partition(b"-----BEGIN PRIVATE KEY-----")
    if not (chain.strip() and marker):
        raise ConfigError(
            f"{file} is damaged",
            code="TLS_UNUSABLE",
            remedy=f"Delete {file.parent}: it is made anew at the next start",
        )
    return chain, marker + key


def rest_hosts(host: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return what a server's certificate is for: this machine, its own address, and more names."""
    anywhere = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    own = () if host in anywhere else (host,)
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", *own, *names)))
