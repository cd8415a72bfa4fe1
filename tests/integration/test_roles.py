"""Every role against the real server: it may do exactly what its scope says, and nothing else.

The expectation is computed from the scopes by an independent subject matcher, over every subject that any
role may use, under the own name and another's, and every administrative call that we could think of.
The client speaks the protocol itself: nats-py's `flush` sends its ping before what waits to be sent.
"""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from fedbus.bus import admin
from fedbus.bus.server import EmbeddedServer
from fedbus.bus.server_config import ServerSettings
from fedbus.bus.session import Endpoint, connect
from fedbus.model.subjects import JETSTREAM_API, MEMBERS_API
from fedbus.pki.ca import client_context
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Keyring
from fedbus.pki.roles import SCOPES, Role

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_roles")]

OWN, OTHER = "c1", "c2"
LIMITED: tuple[Role, ...] = ("join", "worker", "renew", "auditor")

# What nobody but the master may do, in the words of JetStream and the server. `S` is each stream.
ADMINISTRATION = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.CREATE.S",
    "$JS.API.STREAM.UPDATE.S",
    "$JS.API.STREAM.INFO.S",
    "$JS.API.STREAM.DELETE.S",
    "$JS.API.STREAM.PURGE.S",
    "$JS.API.STREAM.SNAPSHOT.S",
    "$JS.API.STREAM.RESTORE.S",
    "$JS.API.STREAM.MSG.GET.S",
    "$JS.API.STREAM.MSG.DELETE.S",
    "$JS.API.DIRECT.GET.S",
    "$JS.API.DIRECT.GET.S.fed.v1.ev.c.c2.policy.group.x",
    "$JS.API.CONSUMER.CREATE.S",  # unnamed: its body may carry any filter
    "$JS.API.CONSUMER.CREATE.S.c1-all",  # named, but no filter
    "$JS.API.CONSUMER.CREATE.S.c1-own",
    "$JS.API.CONSUMER.CREATE.S.c1-own.fed.v1.ev.c.c2.>",
    "$JS.API.CONSUMER.CREATE.S.c1-own.>",
    "$JS.API.CONSUMER.CREATE.S.c1-scans.fed.v1.ev.m-scans.>",
    "$JS.API.CONSUMER.CREATE.S.c1-scans.>",
    "$JS.API.CONSUMER.CREATE.S.c1-scans",
    "$JS.API.CONSUMER.CREATE.S.c1-all.fed.v1.ev.>",
    "$JS.API.CONSUMER.CREATE.S.aud-c1",
    "$JS.API.CONSUMER.CREATE.S.aud-c1.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.S.c1-own",
    "$JS.API.CONSUMER.NAMES.S",
    "$JS.API.CONSUMER.LIST.S",
    "$JS.API.CONSUMER.INFO.S.c2-own",
    "$JS.API.CONSUMER.PAUSE.S.c1-own",
    "$JS.API.CONSUMER.LEADER.STEPDOWN.S.c1-own",
    "$JS.ACK.S.c2-own.1.1.1.1.0",
    "$JS.FC.S.c2-own.x",
    "fed.v1.live.checkpoint",
    "fed.v1.live.other",
    "fed.v1.audit.policy",
    "fed.v1.ev.all.policy.group.x",
    "fed.v1.ev.c.c1.policy.group.x",
    "fed.v1.ev.scans.scan.report.x",
    "fed.v1.ev.m-scans.scan.report.x",
    "$JS.API.DIRECT.GET.S.$O.scans.M.x",
    "$JS.API.DIRECT.GET.S.fed.v1.ev.m-scans.scan.report.x",
    "$O.scans.C.x",
    "$O.scans.M.x",
    "$O.m-scans.C.x",
    "fed.v1.up.c1.other",
    "fed.v1.up.c1",
    "fed.v1.rpc.c1",
    "fed.v1.rpc.c2",
    "fed.v1.up.c1.inventory.x",
    "_R_.abcdef.0123456789abcd",
    "_INBOX_c1.reply",
    "_INBOX_c2.reply",
    "_INBOX.reply",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.A.INFO",
    "$SYS.REQ.USER.AUTH",
    "$SYS._INBOX.x",
    "$KV.lease.master",
    "$O.large.C.x",
    "anything",
)


def in_members_words(calls: Iterable[str]) -> list[str]:
    """Return the calls of JetStream under the name that the members' account has for them."""
    return [call.replace(JETSTREAM_API, MEMBERS_API) for call in calls if call.startswith(JETSTREAM_API)]


LISTENING = (
    ">",
    "*.>",
    "fed.>",
    "fed.v1.>",
    "fed.v1.up.>",
    "fed.v1.up.c1.hb",
    "fed.v1.up.*.renew",
    "fed.v1.join.>",
    "fed.v1.join.c1",
    "fed.v1.join.c2",
    "fed.v1.audit.>",
    "fed.v1.ev.all.>",
    "fed.v1.ev.c.c1.>",
    "fed.v1.ev.c.c2.>",
    "fed.v1.ev.scans.>",
    "fed.v1.ev.m-scans.>",
    "fed.v1.live.checkpoint",
    "fed.v1.live.*",
    "fed.v1.live.>",
    "fed.v1.rpc.c1",
    "fed.v1.rpc.c2",
    "fed.v1.rpc.*",
    "fed.v1.rpc.>",
    "_INBOX.>",
    "_INBOX_c1.>",
    "_INBOX_c1.a.b",
    "_INBOX_c1",
    "_INBOX_c2.>",
    "*",
    "$JS.>",
    "$JS.ACK.>",
    "$JS.API.>",
    "fed.v1.js.>",
    "_R_.>",
    "$JS.EVENT.ADVISORY.>",
    "$SYS.>",
    "$SYS.ACCOUNT.>",
    "$KV.>",
    "$O.>",
)


class Refusal(Exception):
    """The server ended the session, or never began one; its words."""


class Delivery(NamedTuple):
    """A message as it came."""

    subject: str
    reply: str
    data: bytes


class Wire:
    """One client, in protocol lines."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.info: dict[str, Any] = {}
        self.complaints: list[str] = []
        self.deliveries: list[Delivery] = []
        self._reader, self._writer = reader, writer
        self._last_sid = 0

    async def login(self, credentials: Credentials) -> None:
        self.info = json.loads((await self._reader.readline()).removeprefix(b"INFO "))
        options = {
            "verbose": False,
            "pedantic": False,  # else a filter with a wildcard is an invalid subject to publish to
            "protocol": 1,
            "tls_required": True,
            "headers": True,
            "no_responders": True,
            "jwt": credentials.jwt,
            "sig": base64.b64encode(credentials.sign(self.info["nonce"].encode())).decode(),
        }
        self._send(f"CONNECT {json.dumps(options)}")
        await self.refusals()

    def publish(self, subject: str, data: bytes = b"", reply: str = "") -> None:
        self._send(f"PUB {subject} {reply} {len(data)}", data)

    def subscribe(self, subject: str, queue: str = "") -> int:
        self._last_sid += 1
        self._send(f"SUB {subject} {queue} {self._last_sid}")
        return self._last_sid

    def unsubscribe(self, sid: int) -> None:
        self._send(f"UNSUB {sid}")

    async def refusals(self) -> list[str]:
        """Return what the server refused of all sent before this call."""
        self._send("PING")
        while await self._line() != "PONG":
            pass
        said, self.complaints = self.complaints, []
        return said

    async def delivery(self) -> Delivery:
        """Wait for the next message."""
        async with asyncio.timeout(5):
            while not self.deliveries:
                await self._line()
        return self.deliveries.pop(0)

    async def ask(self, subject: str, data: bytes = b"") -> Delivery:
        """Send with a private reply subject and wait for what comes first."""
        inbox = f"_INBOX_{self.name}.ask.{self._last_sid}"
        sid = self.subscribe(inbox)
        self.publish(subject, data, inbox)
        answer = await self.delivery()
        self.unsubscribe(sid)
        return answer

    async def call(self, subject: str, **body: object) -> dict[str, Any]:
        """Call the JetStream API."""
        answer: dict[str, Any] = json.loads((await self.ask(subject, json.dumps(body).encode())).data)
        return answer

    async def _line(self) -> str:
        line = (await self._reader.readline()).decode()
        operation, _, rest = line.strip().partition(" ")
        if not line:
            raise Refusal(" ".join(self.complaints))
        if operation == "-ERR":
            self.complaints.append(rest)
        elif operation == "INFO":
            self.info = json.loads(rest)
        elif operation == "MSG":
            subject, _sid, *reply, size = rest.split()
            data = (await self._reader.readexactly(int(size) + 2))[:-2]
            self.deliveries.append(Delivery(subject, reply[0] if reply else "", data))
        elif operation == "HMSG":
            subject, _sid, *reply, size_of_head, size = rest.split()
            data = (await self._reader.readexactly(int(size) + 2))[int(size_of_head) : -2]
            self.deliveries.append(Delivery(subject, reply[0] if reply else "", data))
        return operation

    def _send(self, line: str, data: bytes | None = None) -> None:
        self._writer.write(line.encode() + b"\r\n" + (data + b"\r\n" if data is not None else b""))


class Bus:
    """A running server and the keys to it."""

    def __init__(self, keyring: Keyring, server: EmbeddedServer) -> None:
        self.keyring = keyring
        self.server = server

    def credentials(self, role: Role, name: str, *, age: float = 0, life: float | None = None) -> Credentials:
        now = clock()
        expires = None if life is None else now + life
        return self.keyring.credentials(role, name, now=now - age, expires=expires, randomness=os.urandom)

    @asynccontextmanager
    async def connect(self, role: Role, name: str) -> AsyncIterator[Wire]:
        async with self.connect_with(self.credentials(role, name)) as wire:
            yield wire

    @asynccontextmanager
    async def connect_with(self, credentials: Credentials) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.server.port, ssl=client_context(self.keyring.ca_pem)
        )
        try:
            wire = Wire(credentials.name, reader, writer)
            await wire.login(credentials)
            yield wire
        finally:
            writer.transport.abort()


def clock() -> float:
    return time.time()  # noqa: TID251 - the server judges by the machine's clock


EVENTS = (
    "fed.v1.ev.all.policy.group.x",
    "fed.v1.ev.c.c1.policy.group.x",
    "fed.v1.ev.c.c2.policy.group.x",
    "fed.v1.ev.scans.scan.report.x",
    "fed.v1.ev.m-scans.scan.report.x",
    "$O.scans.C.x",
    "$O.m-scans.C.x",
    "fed.v1.audit.policy",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    """Run a server with the streams and one event for everybody, c1, c2, the master and auditors."""
    directory: Path = tmp_path_factory.mktemp("roles")
    keyring = Keyring.create(
        directory / "keyring", federation_id="f1", hosts=["127.0.0.1"], now=clock(), randomness=os.urandom
    )
    settings = ServerSettings(
        directory=directory / "bus",
        certificate_file=keyring.server_file,
        operator_jwt=keyring.operator_jwt,
        system_account=keyring.system_account,
        accounts=keyring.account_jwts(now=clock()),
        host="127.0.0.1",
        sync_always=False,
    )
    async with EmbeddedServer(settings) as server:
        running = Bus(keyring, server)
        async with running.connect("master", "master") as master:
            for stream, subjects in STREAMS.items():
                made = await master.call(
                    f"$JS.API.STREAM.CREATE.{stream}", name=stream, subjects=subjects, allow_direct=True
                )
                assert "error" not in made
            for subject in EVENTS:
                await master.call(subject)
        yield running


def own(patterns: tuple[str, ...], name: str) -> list[str]:
    return [pattern.replace("{{name()}}", name) for pattern in patterns]


def matches(pattern: str, subject: str) -> bool:
    """Whether all that `subject` stands for lies within `pattern`; NATS's rules, written anew."""
    theirs, ours = subject.split("."), pattern.split(".")
    for at, token in enumerate(ours):
        if token == ">":
            return len(theirs) > at
        if at >= len(theirs) or theirs[at] == ">" or (token not in {"*", theirs[at]}):
            return False
    return len(theirs) == len(ours)


def spoken(pattern: str) -> str:
    """One subject that the pattern allows; a filter in a create call stays as it is, wildcard and all."""
    if ".CONSUMER.CREATE." in pattern:
        return pattern
    return ".".join({"*": "x", ">": "x.y"}.get(token, token) for token in pattern.split("."))


STREAMS = {
    "POLICY": ["fed.v1.ev.all.>", "fed.v1.ev.c.>", "fed.v1.ev.m.>"],
    "SCANS": ["fed.v1.ev.scans.>", "fed.v1.ev.m-scans.>"],
    "OBJ_scans": ["$O.scans.>"],
    "OBJ_m-scans": ["$O.m-scans.>"],
    "AUDIT": ["fed.v1.audit.>"],
}


def publish_universe() -> Iterator[str]:
    for scope in SCOPES.values():
        if scope.role != "master":
            for name in (OWN, OTHER):
                yield from (spoken(pattern) for pattern in own(scope.publish, name))
    for subject in (*ADMINISTRATION, *in_members_words(ADMINISTRATION)):
        tokens = subject.split(".")
        for stream in (*STREAMS, "OBJ_m-scans") if "S" in tokens else ("",):
            yield ".".join(stream if token == "S" else token for token in tokens)


PUBLISHED = tuple(sorted(set(publish_universe())))


@pytest.mark.parametrize("role", LIMITED)
async def test_a_role_publishes_exactly_what_its_scope_allows(bus: Bus, role: Role) -> None:
    allowed = own(SCOPES[role].publish, OWN)
    verdicts = {}

    async with bus.connect(role, OWN) as client:
        for subject in PUBLISHED:
            client.publish(subject, b"{}", reply=f"_INBOX_{OWN}.reply")
            verdicts[subject] = not await client.refusals()

    assert verdicts == {subject: any(matches(p, subject) for p in allowed) for subject in PUBLISHED}
    assert 0 < sum(verdicts.values()) < len(verdicts)


@pytest.mark.parametrize("role", LIMITED)
async def test_a_role_listens_exactly_to_what_its_scope_allows(bus: Bus, role: Role) -> None:
    allowed = own(SCOPES[role].subscribe, OWN)
    verdicts = {}

    async with bus.connect(role, OWN) as client:
        for subject in LISTENING:
            for queue in ("", "workers"):
                sid = client.subscribe(subject, queue)
                verdicts[subject, queue] = not await client.refusals()
                client.unsubscribe(sid)

    assert verdicts == {
        (subject, queue): any(matches(p, subject) for p in allowed)
        for subject in LISTENING
        for queue in ("", "workers")
    }


async def test_the_master_is_refused_nothing_inside_the_account(bus: Bus) -> None:
    async with bus.connect("master", "master") as client:
        for subject in PUBLISHED:
            if not subject.startswith(("$SYS", "$JS.API.STREAM", "fed.v1.ev", "fed.v1.audit", "$O")):
                client.publish(subject)
                assert await client.refusals() == [], subject
        for subject in LISTENING:
            client.subscribe(subject)
            assert await client.refusals() == [], subject


async def test_the_master_is_not_in_the_system_account(bus: Bus) -> None:
    async with bus.connect("master", "master") as client:
        assert (await client.ask("$SYS.REQ.CLAIMS.UPDATE", b"x")).data == b""  # nobody there


async def create(client: Wire, stream: str, name: str, subject: str, /, **config: object) -> dict[str, Any]:
    """Make a consumer by the named and filtered call, with whatever the body says."""
    given = {"name": name, "filter_subject": subject, "ack_policy": "all", "mem_storage": True}
    return await client.call(
        f"{MEMBERS_API}.CONSUMER.CREATE.{stream}.{name}.{subject}", stream_name=stream, config=given | config
    )


@pytest.mark.parametrize(
    ("role", "stream", "consumer", "subject", "event"),
    [
        ("worker", "POLICY", "c1-all", "fed.v1.ev.all.>", "fed.v1.ev.all.policy.group.x"),
        ("worker", "POLICY", "c1-own", "fed.v1.ev.c.c1.>", "fed.v1.ev.c.c1.policy.group.x"),
        ("worker", "SCANS", "c1-scans", "fed.v1.ev.scans.>", "fed.v1.ev.scans.scan.report.x"),
        ("auditor", "AUDIT", "aud-c1", "fed.v1.audit.>", "fed.v1.audit.policy"),
    ],
)
async def test_a_role_makes_reads_acknowledges_and_drops_its_own_consumer(  # noqa: PLR0917 - one row each
    bus: Bus, role: Role, stream: str, consumer: str, subject: str, event: str
) -> None:
    async with bus.connect(role, OWN) as client, bus.connect("master", "master") as master:
        assert "error" not in await create(client, stream, consumer, subject)
        message = await client.ask(f"{MEMBERS_API}.CONSUMER.MSG.NEXT.{stream}.{consumer}")
        client.publish(message.reply, b"+ACK")
        assert await client.refusals() == []
        state = await master.call(f"$JS.API.CONSUMER.INFO.{stream}.{consumer}")
        dropped = await client.call(f"{MEMBERS_API}.CONSUMER.DELETE.{stream}.{consumer}")

    assert message.subject == event
    assert state["ack_floor"]["consumer_seq"] == 1
    assert dropped["success"] is True


@pytest.mark.parametrize(
    "lie",
    [
        {"name": "c2-own"},
        {"durable_name": "c2-own"},
        {"filter_subject": "fed.v1.ev.c.c2.>"},
        {"filter_subject": ""},
        {"filter_subject": "", "filter_subjects": ["fed.v1.ev.c.c2.>", "fed.v1.ev.all.>"]},
        {"filter_subjects": ["fed.v1.ev.c.c2.>"]},
    ],
)
async def test_a_create_call_whose_body_says_other_than_its_subject_gives_no_other_consumer(
    bus: Bus, lie: dict[str, object]
) -> None:
    async with bus.connect("worker", OWN) as client, bus.connect("master", "master") as master:
        answer = await create(client, "POLICY", "c1-own", "fed.v1.ev.c.c1.>", **lie)
        listed = (await master.call("$JS.API.CONSUMER.LIST.POLICY"))["consumers"]
        await client.call(f"{MEMBERS_API}.CONSUMER.DELETE.POLICY.c1-own")

    consumers = [c for c in listed if c["name"].startswith(("c1-", "c2-"))]  # others are of other tests
    if lie == {"name": "c2-own"}:  # the name in the subject is the one that counts
        assert [(c["name"], c["config"]["filter_subject"]) for c in consumers] == [
            ("c1-own", "fed.v1.ev.c.c1.>")
        ]
    else:
        assert "error" in answer
        assert consumers == []


async def test_a_worker_reads_the_bucket_of_large_reports_and_no_other(bus: Bus) -> None:
    async with bus.connect("worker", OWN) as client:
        found = await client.ask(f"{MEMBERS_API}.DIRECT.GET.OBJ_scans", b'{"last_by_subj":"$O.scans.C.x"}')
        stray = await client.ask(f"{MEMBERS_API}.DIRECT.GET.OBJ_scans", b'{"last_by_subj":"$O.m-scans.C.x"}')

    assert found.data == b"{}"
    assert stray.data == b""


async def test_a_narrower_filter_than_the_own_one_is_still_the_own_one(bus: Bus) -> None:
    async with bus.connect("worker", OWN) as client:
        made = await create(client, "POLICY", "c1-own", "fed.v1.ev.c.c1.control.>")
        await client.call(f"{MEMBERS_API}.CONSUMER.DELETE.POLICY.c1-own")

    assert "error" not in made


async def test_a_reply_reaches_its_inbox_and_no_other_cluster_hears_it(bus: Bus) -> None:
    async with (
        bus.connect("worker", OWN) as worker,
        bus.connect("worker", OTHER) as other,
        bus.connect("master", "master") as master,
    ):
        other.subscribe("_INBOX_c1.>")
        master.subscribe("fed.v1.up.*.report")
        assert len(await other.refusals()) == 1
        await master.refusals()
        worker.subscribe("_INBOX_c1.>")
        worker.publish("fed.v1.up.c1.report", b"", "_INBOX_c1.x")
        request = await master.delivery()
        master.publish(request.reply, b"private")
        reply = await worker.delivery()
        await other.refusals()

    assert reply.data == b"private"
    assert other.deliveries == []


async def test_a_worker_answers_what_the_master_asks_it_once_and_nobody_else_hears_or_answers(
    bus: Bus,
) -> None:
    async with (
        bus.connect("worker", OWN) as worker,
        bus.connect("worker", OTHER) as other,
        bus.connect("master", "master") as master,
    ):
        worker.subscribe("fed.v1.rpc.c1")
        other.subscribe("fed.v1.rpc.c2")
        master.subscribe("_INBOX_master.>")
        for client in (worker, other, master):
            assert await client.refusals() == []
        master.publish("fed.v1.rpc.c1", b"question", "_INBOX_master.x")
        request = await worker.delivery()
        other.publish(request.reply, b"not from c1")
        assert len(await other.refusals()) == 1
        worker.publish(request.reply, b"answer")
        assert await worker.refusals() == []
        answer = await master.delivery()
        worker.publish(request.reply, b"a second answer")
        assert len(await worker.refusals()) == 1
        await master.refusals()
        await other.refusals()

    assert (request.subject, request.data) == ("fed.v1.rpc.c1", b"question")
    assert (answer.subject, answer.data) == ("_INBOX_master.x", b"answer")
    assert other.deliveries == []
    assert master.deliveries == []


async def test_who_asks_a_worker_that_is_away_is_told_at_once(bus: Bus) -> None:
    async with bus.connect("master", "master") as master:
        answer = await master.ask("fed.v1.rpc.c7", b"question")

    assert answer.data == b""  # nobody there


@pytest.mark.parametrize("role", LIMITED)
async def test_no_member_calls_a_worker(bus: Bus, role: Role) -> None:
    async with bus.connect("worker", OTHER) as victim, bus.connect(role, OWN) as client:
        victim.subscribe("fed.v1.rpc.c2")
        await victim.refusals()
        client.publish("fed.v1.rpc.c2", b"do it", f"_INBOX_{OWN}.x")
        assert len(await client.refusals()) == 1
        await victim.refusals()

    assert victim.deliveries == []


async def test_a_join_token_connects_without_a_key_and_its_answer_comes_back(bus: Bus) -> None:
    async with bus.connect("join", "t1") as joiner, bus.connect("master", "master") as master:
        master.subscribe("fed.v1.join.*")
        await master.refusals()
        joiner.subscribe("_INBOX_t1.>")
        joiner.publish("fed.v1.join.t1", b"public key", "_INBOX_t1.x")
        request = await master.delivery()
        master.publish(request.reply, b"welcome")

        assert request.subject == "fed.v1.join.t1"
        assert (await joiner.delivery()).data == b"welcome"


@pytest.mark.parametrize("role", ["join", "renew"])
async def test_a_message_over_the_limit_of_its_role_ends_the_session(bus: Bus, role: Role) -> None:
    subject = "fed.v1.join.t1" if role == "join" else "fed.v1.up.t1.renew"
    async with bus.connect(role, "t1") as client:
        client.publish(subject, bytes(8192))
        assert await client.refusals() == []
        assert client.info["max_payload"] == 8192
        client.publish(subject, bytes(8193))
        with pytest.raises(Refusal, match="Maximum Payload Violation"):
            await client.refusals()


async def test_a_join_token_cannot_pile_up_subscriptions(bus: Bus) -> None:
    async with bus.connect("join", "t1") as client:
        for at in range(5):
            client.subscribe(f"_INBOX_t1.{at}")
        assert await client.refusals() == []
        client.subscribe("_INBOX_t1.more")
        assert await client.refusals() == ["'maximum subscriptions exceeded'"]


async def test_a_stolen_jwt_is_worth_nothing_without_its_seed(bus: Bus) -> None:
    victim, thief = bus.credentials("worker", OWN), bus.credentials("worker", OTHER)

    for seed in (thief.seed, ""):
        with pytest.raises(Refusal, match="Authorization Violation"):
            async with bus.connect_with(Credentials(jwt=victim.jwt, seed=seed)):
                pytest.fail("connected")


async def test_a_jwt_signed_by_nobody_we_know_is_refused(bus: Bus, tmp_path: Path) -> None:
    forger = Keyring.create(
        tmp_path / "keyring", federation_id="f1", hosts=["x"], now=clock(), randomness=os.urandom
    )
    forger.account = bus.keyring.account
    forged = forger.credentials("master", "master", now=clock(), randomness=os.urandom)

    with pytest.raises(Refusal, match="Authorization Violation"):
        async with bus.connect_with(forged):
            pytest.fail("connected")


@pytest.mark.parametrize("role", LIMITED)
async def test_an_expired_jwt_is_refused(bus: Bus, role: Role) -> None:
    with pytest.raises(Refusal, match="Authorization Violation"):
        async with bus.connect_with(bus.credentials(role, OWN, age=60, life=-1)):
            pytest.fail("connected")


async def test_a_jwt_that_ends_during_a_session_ends_the_session(bus: Bus) -> None:
    async with bus.connect_with(bus.credentials("worker", OWN, life=1.5)) as client:
        with pytest.raises(Refusal, match="User Authentication Expired"):
            await client.delivery()


async def test_a_pull_that_waits_is_answered_after_others_were_revoked(bus: Bus) -> None:
    who, subject = "c9", "fed.v1.ev.c.c9.policy.group.x"
    pull = f"{MEMBERS_API}.CONSUMER.MSG.NEXT.POLICY.{who}-own"
    endpoint = Endpoint((bus.server.url,), bus.keyring.ca_pem)
    async with (
        bus.connect("worker", who) as worker,
        bus.connect("master", "master") as master,
        connect("system", endpoint, bus.keyring.system) as system,
    ):
        await create(worker, "POLICY", f"{who}-own", f"fed.v1.ev.c.{who}.>")
        worker.subscribe(f"_INBOX_{who}.>")
        worker.publish(pull, b'{"batch":9,"expires":20000000000}', f"_INBOX_{who}.x")
        await worker.refusals()
        for _ in range(2):
            revoked = {bus.credentials("worker", "gone").public_key: int(clock())}
            await admin.push_account(system, bus.keyring.members_jwt(revoked, now=clock()))
            await master.call(subject)

            assert (await worker.delivery()).subject == subject


async def test_a_worker_is_asked_after_the_members_account_was_pushed_again(bus: Bus) -> None:
    endpoint = Endpoint((bus.server.url,), bus.keyring.ca_pem)
    async with (
        bus.connect("worker", "c8") as worker,
        bus.connect("master", "master") as master,
        connect("system", endpoint, bus.keyring.system) as system,
    ):
        worker.subscribe("fed.v1.rpc.c8")
        await worker.refusals()
        for number in range(3):
            revoked = {bus.credentials("worker", f"gone{number}").public_key: int(clock())}
            await admin.push_account(system, bus.keyring.members_jwt(revoked, now=clock()))
            master.publish("fed.v1.rpc.c8", b"question", "_INBOX_master.x")
            await master.refusals()
            assert (await worker.delivery()).data == b"question"
