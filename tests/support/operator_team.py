"""Somebody else's NATS: an operator who runs the servers and lends a federation a key and a user."""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fedbus.bus.server import EmbeddedServer
from fedbus.bus.server_config import ServerSettings
from fedbus.bus.session import Connection, Endpoint, connect
from fedbus.pki import files, jwt
from fedbus.pki.ca import CertificateAuthority
from fedbus.pki.credentials import Credentials
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.pki.roles import Scope

LENT = Scope(
    role="master",
    publish=(
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
        "$SYS.REQ.CLAIMS.UPDATE",
    ),
    subscribe=("_INBOX_{{name()}}.>",),
)
"""What README tells the operator to let the federation's user of the system account do."""


def clock() -> float:
    return time.time()  # noqa: TID251 - the server judges by the machine's clock


def new(key_type: KeyType) -> KeyPair:
    return KeyPair.new(key_type, os.urandom(32))


class OperatorTeam:
    """Keys, a CA, the files that are lent, and the settings of a server."""

    def __init__(self, directory: Path) -> None:
        self.directory = files.make_directory(directory)
        self.operator, self.lent_key = new(KeyType.OPERATOR), new(KeyType.OPERATOR)
        self.system, self.scope, self.inside = (new(KeyType.ACCOUNT) for _ in range(3))
        self.authority = CertificateAuthority.make("theirs", now=clock(), randomness=os.urandom)
        certificate = self.authority.issue(["127.0.0.1"], now=clock(), randomness=os.urandom)
        files.write(directory / "server.pem", certificate.pem)
        files.write(directory / "ca.pem", self.authority.chain_pem)
        files.write(directory / "operator.seed", self.lent_key.seed + "\n")
        self.user("fedbus", self.scope).save(directory / "system.creds")

    def user(self, name: str, scope: KeyPair, account: KeyPair | None = None) -> Credentials:
        """Mint a user of one of their accounts, the system account unless another is given."""
        keys, account = new(KeyType.USER), account or self.system
        token = jwt.user(
            name=name, public_key=keys.public_key, account_key=account.public_key, signer=scope,
            now=clock(), expires=None,
        )  # fmt: skip
        return Credentials(token, keys.seed)

    def account(self, keys: KeyPair, scope: KeyPair, rights: Scope, **more: Any) -> str:
        """Mint an account of theirs, whose users are signed by `scope`."""
        return jwt.account(
            name="theirs", public_key=keys.public_key, signer=self.operator, now=clock(),
            scopes={scope.public_key: rights}, **more,
        )  # fmt: skip

    def settings(self, *, trusted: bool = True, **more: Any) -> ServerSettings:
        """Return their server's settings; `trusted` is whether the lent key is a signing key."""
        everything = Scope(role="master", publish=(">",), subscribe=(">",))
        system = jwt.account(
            name="SYS", public_key=self.system.public_key, signer=self.operator, now=clock(),
            scopes={self.scope.public_key: LENT, self.inside.public_key: everything},
        )  # fmt: skip
        return ServerSettings(
            directory=self.directory / "nats",
            certificate_file=self.directory / "server.pem",
            operator_jwt=jwt.operator(
                name="theirs",
                keys=self.operator,
                signing_keys=[self.lent_key.public_key] if trusted else [],
                system_account=self.system.public_key,
                now=clock(),
            ),
            system_account=self.system.public_key,
            accounts={self.system.public_key: system},
            host="127.0.0.1",
            sync_always=False,
            **more,
        )

    def lend(self, url: str) -> dict[str, object]:
        """Return the settings of a master on their bus."""
        return {
            "bus_urls": url,
            "bus_ca_file": self.directory / "ca.pem",
            "bus_operator_key_file": self.directory / "operator.seed",
            "bus_system_credentials_file": self.directory / "system.creds",
        }

    @asynccontextmanager
    async def serving(self, **more: Any) -> AsyncIterator[EmbeddedServer]:
        """Run their server."""
        async with EmbeddedServer(self.settings(**more)) as server:
            yield server

    @asynccontextmanager
    async def administration(self, url: str) -> AsyncIterator[Connection]:
        """Connect as an administrator of theirs."""
        endpoint = Endpoint((url,), self.authority.chain_pem)
        async with connect("operator", endpoint, self.user("admin", self.inside)) as connection:
            yield connection

    async def streams(self, url: str) -> int:
        """Return how many streams the server has, of all accounts."""
        async with self.administration(url) as connection:
            reply = await connection.request("$SYS.REQ.SERVER.PING.JSZ")
            return int(json.loads(reply.data)["data"]["streams"])

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Return the claims of every account that was pushed to the server."""
        found = {}
        for path in (self.directory / "nats" / "jwt").glob("*.jwt"):
            claims = jwt.decode_claims(path.read_text())
            if claims["sub"] != self.system.public_key:
                found[claims["sub"]] = claims["nats"]
        return found
