"""A client of the bus with every right there is: what somebody does who stole the master's keyring.

`Intruder` speaks through fedbus's own connection, and signs with the federation's key where a test asks
for an event that only its content gives away. `raw` sends bytes that no client library would.
"""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from fedbus.bus.session import Connection, Endpoint, Message, connect
from fedbus.model import codec, events, subjects
from fedbus.model.events import Event
from fedbus.pki.ca import client_context
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Keyring
from fedbus.pki.verification import source


def clock() -> float:
    return time.time()  # noqa: TID251 - the bus judges by the machine's clock


def bus_port(master: Path) -> int:
    """Return the port of the bus of the master with this data directory."""
    return int(json.loads((master / "federation.json").read_text())["federation"]["bus"]["port"])


def bus_pid(master: Path) -> int:
    """Return the process id of its nats-server."""
    return int((master / "bus" / "nats-server.pid").read_text())


class Intruder:
    """Full rights on the bus of one federation, its signing key included."""

    def __init__(self, keyring: Keyring, port: int, connection: Connection) -> None:
        self.keyring, self.port, self.connection = keyring, port, connection

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Store a message in the stream; return its sequence."""
        answer = json.loads((await self.connection.request(subject, body, headers=headers)).data)
        assert "error" not in answer, answer
        return int(answer["seq"])

    async def put(self, event: Event, **headers: str) -> int:
        """Store an event as it is; `headers` replace some of its own (`ce_type` is `ce-type`)."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.publish(event.subject, event.body, event.headers() | changed)

    async def api(self, subject: str, **body: object) -> dict[str, Any]:
        """Call the JetStream API."""
        answer: dict[str, Any] = json.loads(
            (await self.connection.request(subject, json.dumps(body).encode() if body else b"")).data
        )
        return answer

    async def message(self, seq: int) -> Message:
        """Return a message of the policy stream as it is stored."""
        request = json.dumps({"seq": seq}).encode()
        return await self.connection.request("$JS.API.DIRECT.GET.POLICY", request)

    async def newest(self, subject: str) -> Message:
        """Return the last message of a subject."""
        return await self.connection.request(f"$JS.API.DIRECT.GET.POLICY.{subject}")

    async def last_seq(self) -> int:
        """Return the sequence of the last message of the policy stream."""
        return int((await self.api("$JS.API.STREAM.INFO.POLICY"))["state"]["last_seq"])

    def forge(
        self,
        name: str,
        payload: bytes,
        *,
        category: str = subjects.POLICY,
        kind: str = "group",
        scope: str = subjects.SCOPE_ALL,
        revision: int = 1000,
        version: int = 1,
        epoch: int = 1,
        type: str = events.POLICY_UPSERTED,  # noqa: A002 - the attribute's name
        encoding: str = codec.PLAIN,
        federation_id: str = "",
        signed: bool = True,
    ) -> Event:
        """Make an event; signed by the federation's own key unless told otherwise."""
        event = events.build(
            address=subjects.Address(scope, category, kind, name),
            type=type,
            source=source(federation_id or self.keyring.federation_id),
            id=os.urandom(8).hex(),
            time="2026-01-01T00:00:00.000Z",
            epoch=epoch,
            version=version,
            revision=revision,
            changeset=os.urandom(8).hex(),
            index=0,
            count=1,
            key_id=self.keyring.signer.key_id,
            body=payload,
            encoding=encoding,
        )
        signature = self.keyring.signer.sign(event.statement) if signed else bytes(64)
        return msgspec.structs.replace(event, signature=base64.b64encode(signature).decode())


@asynccontextmanager
async def intruding(master: Path) -> AsyncIterator[Intruder]:
    """Connect with the rights of the master whose data directory this is."""
    keyring = Keyring.load(master / "keyring")
    port = bus_port(master)
    who = keyring.credentials("master", "intruder", now=clock(), randomness=os.urandom)
    endpoint = Endpoint((f"tls://127.0.0.1:{port}",), keyring.ca_pem)
    async with connect("intruder", endpoint, who) as connection:
        yield Intruder(keyring, port, connection)


def event_headers(message: Message) -> dict[str, str]:
    """Return the headers of a stored message as its publisher gave them, without what the server added."""
    return {name: value for name, value in message.headers.items() if name.startswith("ce-")}


def seq_of(message: Message) -> int:
    """Return where the stream has a message that was asked for."""
    return int(message.headers["Nats-Sequence"])


def digest_of(body: bytes) -> str:
    """Return what `ce-fbdigest` says of a body."""
    return sha256(body).hexdigest()


class Wire:
    """A client of protocol lines: it can send what a library refuses to."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._reader, self._writer = reader, writer
        self.complaints: list[str] = []
        self.deliveries: list[bytes] = []

    async def login(self, who: Credentials) -> None:
        """Log in; raises ConnectionError, with the server's words, when it says no."""
        info = json.loads((await self._reader.readline()).removeprefix(b"INFO "))
        options = {
            "verbose": False, "pedantic": False, "protocol": 1, "tls_required": True, "headers": True,
            "no_responders": True, "jwt": who.jwt,
            "sig": base64.b64encode(who.sign(info["nonce"].encode())).decode(),
        }  # fmt: skip
        self.send(f"CONNECT {json.dumps(options)}".encode())
        await self.settled()

    def send(self, line: bytes, *parts: bytes) -> None:
        """Send one line, and then whole blocks."""
        self._writer.write(b"\r\n".join((line, *parts)) + b"\r\n")

    def publish(self, subject: bytes, body: bytes = b"", *, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish, with a block of headers exactly as given."""
        if headers:
            self.send(
                b"HPUB %b %b %d %d" % (subject, reply, len(headers), len(headers + body)), headers + body
            )
        else:
            self.send(b"PUB %b %b %d" % (subject, reply, len(body)), body)

    async def ask(self, subject: bytes, body: bytes = b"", *, headers: bytes = b"") -> bytes:
        """Publish and wait for the answer in the own inbox."""
        inbox = f"_INBOX_{self.name}.ask".encode()
        self.send(b"SUB %b 1" % inbox)
        self.publish(subject, body, reply=inbox, headers=headers)
        async with asyncio.timeout(5):
            while not self.deliveries:
                await self._line()
        self.send(b"UNSUB 1")
        return self.deliveries.pop()

    async def settled(self) -> list[str]:
        """Wait until the server has seen everything; return what it complained of since the last time."""
        self.send(b"PING")
        while await self._line() != b"PONG":
            pass
        said, self.complaints = self.complaints, []
        return said

    async def cut(self) -> str:
        """Wait until the server ends the session; return its last words."""
        try:
            while True:
                await self._line()
        except OSError:
            return " ".join(self.complaints)

    async def _line(self) -> bytes:
        line = await self._reader.readline()
        if not line:
            raise ConnectionError(" ".join(self.complaints) or "the session is over")
        if line.startswith((b"MSG ", b"HMSG ")):
            fields = line.split()
            block = (await self._reader.readexactly(int(fields[-1]) + 2))[:-2]
            self.deliveries.append(block[int(fields[-2]) :] if line.startswith(b"HMSG ") else block)
        elif line.startswith(b"-ERR"):
            self.complaints.append(line[5:].strip().decode())
        return line.strip()


@asynccontextmanager
async def wire(port: int, ca_pem: bytes, who: Credentials) -> AsyncIterator[Wire]:
    """Open a session of protocol lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context(ca_pem))
    try:
        opened = Wire(who.name, reader, writer)
        await opened.login(who)
        yield opened
    finally:
        writer.transport.abort()


def credentials_of(worker: Path) -> tuple[Credentials, Credentials, bytes]:
    """Return what a joined worker holds: its credentials for the bus and for renewal, and the CA."""
    held = worker / "membership"
    ca_pem = json.loads((held / "membership.json").read_text())["ca_pem"].encode()
    return Credentials.load(held / "bus.creds"), Credentials.load(held / "renew.creds"), ca_pem
