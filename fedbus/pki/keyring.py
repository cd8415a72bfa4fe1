"""The federation's private material: one directory, all of it or nothing.

    keyring/
      keyring.json         federation id, public keys of operator and accounts
      operator.jwt         the trust anchor of every server
      system-account.jwt
      system.creds         a user of the system account: pushes account JWTs
      operator-signing.seed    signs the account JWTs
      scope-<role>.seed    signs the users of that role
      signing.key          signs events
      ca.pem ca.key        certificate authority
      server.pem           the server's certificate chain and key, in one file: a crash leaves no odd pair
      offline/             identity seeds of the operator and the accounts: nothing here reads them

`offline/` is needed to replace a signing key, and for nothing else: move it to a safe place.
Everything is mode 0600 in directories of mode 0700. The directory appears by one rename, so a
crash while it is made leaves no half keyring.

A federation on a bus of somebody else's operator has no operator, system account, CA and server of its
own: those files are not there, and what the operator lent (`Operator`) takes their place.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

from fedbus.errors import ConfigError, Conflict, FedbusError
from fedbus.pki import ca, files, jwt
from fedbus.pki.ca import CertificateAuthority, Issued, Randomness
from fedbus.pki.credentials import Credentials
from fedbus.pki.nkeys import SEED_BYTES, KeyPair, KeyType
from fedbus.pki.roles import ANSWERED, MEMBERS, SCOPES, SHARES, Role, Scope
from fedbus.pki.signing import KEY_BYTES, Signer

_INDEX: Final = "keyring.json"
_SERVER: Final = "server.pem"
_LENT: Final = "bus_operator_key_file, bus_system_credentials_file and bus_ca_file"
SYSTEM_ACCOUNT_NAME: Final = "SYS"
_FORMAT: Final = 2
"""1 had one account for the master and its members; it was never released."""


class Operator(msgspec.Struct, frozen=True):
    """What the operator of an external bus lends a federation. Nothing of it is ever in a repr."""

    signing: KeyPair
    """A signing key of the operator's: it signs the federation's two accounts."""
    system: Credentials
    """A user of the system account: it pushes them."""
    ca_pem: bytes
    """The CA of the servers' certificates."""

    def __repr__(self) -> str:
        return f"Operator({self.signing.public_key})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("signing", self.signing.public_key)]


class _Index(msgspec.Struct, frozen=True):
    """What keyring.json holds; nothing in it is secret."""

    federation_id: str
    operator: str
    account: str
    system_account: str
    members_account: str = ""
    format: int = 1
    lent: bool = False
    """Whether the bus is of somebody else's operator."""


class Keyring:
    """The loaded keyring. No secret of it is ever in a repr."""

    def __init__(
        self,
        directory: Path,
        index: _Index,
        *,
        operator: Operator,
        scopes: Mapping[Role, KeyPair],
        signer: Signer,
        own: "_Own | None",
    ) -> None:
        """Take loaded parts; use `create` or `load`."""
        self.directory = directory
        self.federation_id = index.federation_id
        self.account = index.account
        """The public key of the federation's account: streams and master."""
        self.members_account = index.members_account
        """The public key of the account that everybody else is in."""
        self.system = operator.system
        """A user of the system account."""
        self.signer = signer
        self.ca_pem = operator.ca_pem
        """The CA certificate that clients pin."""
        self._own = own
        self._operator_signing = operator.signing
        self._scopes = dict(scopes)

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        federation_id: str,
        hosts: Iterable[str],
        now: float,
        randomness: Randomness,
        operator: Operator | None = None,
    ) -> Self:
        """Make every key of a new federation; `hosts` are the names and addresses of its server.

        With `operator` it has accounts of that operator and no server of its own.
        Raises Conflict when the directory exists: a keyring is never overwritten.
        """
        if directory.exists():
            raise Conflict(f"{directory} exists", code="KEYRING_EXISTS", remedy="demote first")
        files.make_directory(directory.parent)
        draft = directory.with_name(f".{directory.name}.new")
        if draft.exists():  # left by a creation that did not finish
            shutil.rmtree(draft)
        files.make_directory(draft)
        if operator is None:
            _make(draft, federation_id, hosts, now, randomness)
        else:
            _make_accounts(draft, _Index(federation_id, "", "", "", lent=True), randomness)
        draft.rename(directory)
        files.sync_directory(directory.parent)
        return cls.load(directory, operator)

    @classmethod
    def load(cls, directory: Path, operator: Operator | None = None) -> Self:
        """Read a keyring; `operator` is whose bus the federation is on, unless it is its own.

        Raises ConfigError when a part is missing or damaged, naming it, or it is for the other kind of bus.
        """
        try:
            index = msgspec.json.decode((directory / _INDEX).read_bytes(), type=_Index)
            _check_format(directory, index)
            _check_operator(directory, index, operator)
            own = None if operator is not None else _Own.load(directory, index)
            return cls(
                directory,
                index,
                operator=operator or _own_operator(directory),
                scopes={role: KeyPair(_text(directory / f"scope-{role}.seed")) for role in SCOPES},
                signer=Signer.parse(_text(directory / "signing.key")),
                own=own,
            )
        except FileNotFoundError as error:
            raise ConfigError(f"the keyring has no {error.filename}", code="KEYRING_UNUSABLE") from error
        except ConfigError:
            raise
        except (FedbusError, OSError, ValueError) as error:
            raise ConfigError(
                f"the keyring {directory} cannot be read: {error}", code="KEYRING_UNUSABLE"
            ) from error

    @property
    def own(self) -> "_Own":
        """What only a bus of the federation's own operator has. Raises ConfigError on somebody else's."""
        if self._own is None:
            raise ConfigError(
                "the federation is on a bus of somebody else's operator, who has the keys of its servers",
                code="KEYRING_UNUSABLE",
            )
        return self._own

    @property
    def lent(self) -> bool:
        """Whether the bus is of somebody else's operator."""
        return self._own is None

    @property
    def operator_jwt(self) -> str:
        """The trust anchor of the federation's own servers."""
        return self.own.operator_jwt

    @property
    def system_account(self) -> str:
        """The public key of their system account."""
        return self.own.system_account

    @property
    def system_account_jwt(self) -> str:
        """Its JWT."""
        return self.own.system_account_jwt

    @property
    def authority(self) -> CertificateAuthority:
        """The CA of their certificates."""
        return self.own.authority

    @property
    def server(self) -> Issued:
        """The embedded server's certificate."""
        return self.own.server

    @property
    def server_file(self) -> Path:
        """The server's certificate, CA and key, for the server's configuration."""
        return self.directory / _SERVER

    def account_jwt(self, *, now: float) -> str:
        """Mint the JWT of the federation's account, to be pushed to `$SYS.REQ.CLAIMS.UPDATE`."""
        return jwt.account(
            name=self.federation_id,
            public_key=self.account,
            signer=self._operator_signing,
            now=now,
            scopes=self._scopes_of(set(SCOPES) - set(MEMBERS)),
            jetstream=True,
            exports=SHARES,
            imports=ANSWERED,
            imports_from=jwt.Exporter(self.members_account, self._scopes["worker"]),
        )

    def members_jwt(self, revocations: Mapping[str, int], *, now: float) -> str:
        """Mint the JWT of the members' account, to be pushed the same way.

        `revocations` maps user public keys to a time in seconds: JWTs issued up to then are dead.
        A push replaces what the server holds, even a newer one: let one writer push, always all revocations.
        """
        return jwt.account(
            name=f"{self.federation_id}-members",
            public_key=self.members_account,
            signer=self._operator_signing,
            now=now,
            scopes=self._scopes_of(MEMBERS),
            revocations=revocations,
            exports=ANSWERED,
            imports=SHARES,
            imports_from=jwt.Exporter(self.account, self._scopes["master"]),
        )

    def closed_jwts(self, *, now: float) -> dict[str, str]:
        """Mint the JWTs that end both accounts: nobody can log in any more."""
        names = {self.account: self.federation_id, self.members_account: f"{self.federation_id}-members"}
        return {
            key: jwt.account(name=name, public_key=key, signer=self._operator_signing, now=now, closed=True)
            for key, name in names.items()
        }

    def account_jwts(self, *, now: float) -> dict[str, str]:
        """Return what a server needs to start with: each account's public key and JWT, nobody revoked."""
        return {
            self.system_account: self.system_account_jwt,
            self.account: self.account_jwt(now=now),
            self.members_account: self.members_jwt({}, now=now),
        }

    def _scopes_of(self, roles: Iterable[Role]) -> dict[str, Scope]:
        return {self._scopes[role].public_key: SCOPES[role] for role in roles}

    def user_jwt(self, role: Role, name: str, public_key: str, *, now: float, expires: float | None) -> str:
        """Mint a user JWT for a key that somebody else holds.

        `name` is the cluster id for `worker` and `renew`, the token id for `join`; `expires` is in
        seconds, None for never. Raises InvalidInput for a name or key that NATS could misread.
        """
        return jwt.user(
            name=name,
            public_key=public_key,
            account_key=self.members_account if role in MEMBERS else self.account,
            signer=self._scopes[role],
            now=now,
            expires=expires,
        )

    def credentials(
        self, role: Role, name: str, *, now: float, randomness: Randomness, expires: float | None = None
    ) -> Credentials:
        """Make a new key and its JWT: the master's own session, an auditor's file, tests."""
        keys = KeyPair.new(KeyType.USER, randomness(SEED_BYTES))
        token = self.user_jwt(role, name, keys.public_key, now=now, expires=expires)
        return Credentials(jwt=token, seed="" if SCOPES[role].bearer else keys.seed)

    def renew_server_certificate(self, hosts: Iterable[str], *, now: float, randomness: Randomness) -> bool:
        """Issue the server's certificate anew when it ends within 30 days or names other hosts.

        Returns whether it did; the server then has to reload.
        """
        hosts = tuple(hosts)
        if self.server.expires() - now > ca.RENEW_DAYS * ca.DAY and self.server.covers(hosts):
            return False
        self.own.server = self.authority.issue(hosts, now=now, randomness=randomness)
        files.write(self.server_file, self.server.pem)
        return True

    def __repr__(self) -> str:
        return f"Keyring({self.federation_id}, {self.directory})"


class _Own(msgspec.Struct):
    """The part of a keyring that is for servers of the federation's own."""

    operator_jwt: str
    system_account: str
    system_account_jwt: str
    authority: CertificateAuthority
    server: Issued

    @classmethod
    def load(cls, directory: Path, index: _Index) -> Self:
        """Read it. Raises OSError, FedbusError."""
        return cls(
            operator_jwt=_text(directory / "operator.jwt"),
            system_account=index.system_account,
            system_account_jwt=_text(directory / "system-account.jwt"),
            authority=CertificateAuthority(
                (directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes()
            ),
            server=Issued.parse((directory / _SERVER).read_bytes()),
        )


def _own_operator(directory: Path) -> Operator:
    return Operator(
        signing=KeyPair(_text(directory / "operator-signing.seed")),
        system=Credentials.load(directory / "system.creds"),
        ca_pem=(directory / "ca.pem").read_bytes(),
    )


def _make(
    directory: Path, federation_id: str, hosts: Iterable[str], now: float, randomness: Randomness
) -> None:
    def new(key_type: KeyType) -> KeyPair:
        return KeyPair.new(key_type, randomness(SEED_BYTES))

    operator, operator_signing = new(KeyType.OPERATOR), new(KeyType.OPERATOR)
    system_account, system = new(KeyType.ACCOUNT), new(KeyType.USER)
    operator_jwt = jwt.operator(
        name=federation_id,
        keys=operator,
        signing_keys=[operator_signing.public_key],
        system_account=system_account.public_key,
        now=now,
    )
    system_account_jwt = jwt.account(
        name=SYSTEM_ACCOUNT_NAME, public_key=system_account.public_key, signer=operator_signing, now=now
    )
    system_jwt = jwt.system_user(
        name="master", public_key=system.public_key, account_keys=system_account, now=now
    )
    authority = CertificateAuthority.make(f"fedbus {federation_id}", now=now, randomness=randomness)
    _make_accounts(
        directory, _Index(federation_id, operator.public_key, "", system_account.public_key), randomness
    )
    files.write(directory / "operator.jwt", operator_jwt)
    files.write(directory / "system-account.jwt", system_account_jwt)
    Credentials(jwt=system_jwt, seed=system.seed).save(directory / "system.creds")
    files.write(directory / "operator-signing.seed", operator_signing.seed)
    files.write(directory / "ca.pem", authority.chain_pem)
    files.write(directory / "ca.key", authority.key_pem)
    files.write(directory / _SERVER, authority.issue(hosts, now=now, randomness=randomness).pem)
    for name, keys in {"operator": operator, "system-account": system_account}.items():
        files.write(directory / "offline" / f"{name}.seed", keys.seed)


def _make_accounts(directory: Path, index: _Index, randomness: Randomness) -> None:
    """Make what every federation has of its own: two accounts, a key for each role, the signing key."""
    accounts = {
        name: KeyPair.new(KeyType.ACCOUNT, randomness(SEED_BYTES)) for name in ("account", "members-account")
    }
    index = msgspec.structs.replace(
        index,
        account=accounts["account"].public_key,
        members_account=accounts["members-account"].public_key,
        format=_FORMAT,
    )
    files.write(directory / _INDEX, msgspec.json.format(msgspec.json.encode(index)))
    for role in SCOPES:
        role_keys = KeyPair.new(KeyType.ACCOUNT, randomness(SEED_BYTES))
        files.write(directory / f"scope-{role}.seed", role_keys.seed)
    files.write(directory / "signing.key", Signer(randomness(KEY_BYTES)).dump())
    offline = files.make_directory(directory / "offline")
    for name, keys in accounts.items():
        files.write(offline / f"{name}.seed", keys.seed)


def _check_operator(directory: Path, index: _Index, operator: Operator | None) -> None:
    if index.lent == (operator is not None):
        return
    other = (
        f"is for a bus of somebody else's operator: set {_LENT}"
        if index.lent
        else f"is for a bus of its own operator: unset {_LENT}"
    )
    raise ConfigError(
        f"the keyring {directory} {other}",
        code="KEYRING_UNUSABLE",
        remedy="a federation does not move between operators: demote, then promote there",
    )


def _check_format(directory: Path, index: _Index) -> None:
    if index.format != _FORMAT:
        raise ConfigError(
            f"the keyring {directory} has format {index.format}, this version needs {_FORMAT}",
            code="KEYRING_UNUSABLE",
            remedy="demote with the version that made it, then promote and let the clusters join again",
        )


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
