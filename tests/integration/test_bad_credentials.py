"""What a joined worker really holds, tried on everything that is not its own (guarantee 5).

`test_roles.py` shows what each role may do on a bare server. Here it is the credentials that a join gave,
on the real streams of a federation with another member, and what the master makes of what gets through.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from fedbus.bus.topology import STREAMS
from fedbus.model import subjects
from fedbus.pki.credentials import Credentials
from fedbus.pki.roles import RENEW, WORKER, Scope
from tests.integration.test_roles import ADMINISTRATION, LISTENING, in_members_words
from tests.support.daemons import Daemon, apply, group, joined, promoted, synced
from tests.support.intruder import bus_port, credentials_of, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_bad_credentials")]


class Scene(NamedTuple):
    """Two members; the first one's credentials are in the wrong hands."""

    master: Daemon
    thief: Daemon
    victim: Daemon
    own: str
    other: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("credentials")
    async with (
        Daemon("master", base / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", base / "thief") as thief,
        Daemon("worker", base / "victim") as victim,
    ):
        await promoted(master)
        own = (await joined(master, thief, "thief"))["id"]
        other = (await joined(master, victim, "victim"))["id"]
        await apply(master, group("standing"))
        await synced(master, 2)
        yield Scene(master, thief, victim, own, other)


def held(scene: Scene, role: str) -> tuple[Credentials, bytes]:
    bus, renew, ca_pem = credentials_of(scene.thief.directory)
    return (bus if role == "worker" else renew), ca_pem


def universe(scene: Scene) -> Iterator[str]:
    """Return every subject of the federation, of the real streams and consumers, and of administration."""
    names = {"c1": scene.own, "c2": scene.other}
    for subject in (*ADMINISTRATION, *in_members_words(ADMINISTRATION)):
        tokens = [names.get(token, token) for token in subject.split(".")]
        tokens = [token.replace("c1-", f"{scene.own}-").replace("c2-", f"{scene.other}-") for token in tokens]
        for name in [stream.name for stream in STREAMS] if "S" in tokens else [""]:
            yield ".".join(name if token == "S" else token for token in tokens)
    for name in (scene.own, scene.other):
        yield from (subjects.up(name, what) for what in ("hb", "renew", "leave", "report", "other"))
        yield subjects.join(name)
        yield subjects.control(name, "dismissed")
        for stream in STREAMS:
            for consumer, filtered in (
                (f"{name}-all", "fed.v1.ev.all.>"),
                (f"{name}-own", f"fed.v1.ev.c.{name}.>"),
                (f"{name}-own", "fed.v1.ev.m.>"),
            ):
                for api in (subjects.JETSTREAM_API, subjects.MEMBERS_API):
                    yield f"{api}.CONSUMER.CREATE.{stream.name}.{consumer}.{filtered}"
                    yield f"{api}.CONSUMER.MSG.NEXT.{stream.name}.{consumer}"
                    yield f"{api}.CONSUMER.DELETE.{stream.name}.{consumer}"
                yield f"$JS.ACK.{stream.name}.{consumer}.1.1.1.1.0"
    yield from (subjects.audit(category) for category in ("policy", "membership", "security"))
    yield from (subjects.event("m", "record", kind, "x") for kind in ("cluster", "token", "federation"))


def allowed(scope: Scope, name: str, subject: str, *, listening: bool) -> bool:
    patterns = scope.subscribe if listening else scope.publish
    return any(subjects.matches(pattern.replace("{{name()}}", name), subject) for pattern in patterns)


@pytest.mark.parametrize("role", ["worker", "renew"])
async def test_a_workers_own_credential_publishes_nothing_but_its_own(scene: Scene, role: str) -> None:
    who, ca_pem = held(scene, role)
    scope = WORKER if role == "worker" else RENEW
    tried = sorted(set(universe(scene)))
    # what is its own is tried elsewhere: a leave would be one
    refused = [s for s in tried if not allowed(scope, scene.own, s, listening=False)]
    passed = []

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        for subject in refused:
            client.publish(subject.encode(), b"{}", reply=f"_INBOX_{scene.own}.x".encode())
            if not await client.settled():
                passed.append(subject)

    assert passed == []
    assert 150 < len(refused) < len(tried)
    await synced(scene.master, 2)


@pytest.mark.parametrize("role", ["worker", "renew"])
async def test_a_workers_own_credential_hears_nothing_but_its_own(scene: Scene, role: str) -> None:
    who, ca_pem = held(scene, role)
    scope = WORKER if role == "worker" else RENEW
    tried = [s.replace("c1", scene.own).replace("c2", scene.other) for s in LISTENING]
    verdicts = {}

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        for number, subject in enumerate(tried, start=1):
            client.send(f"SUB {subject} {number}".encode())
            verdicts[subject] = not await client.settled()
            client.send(f"UNSUB {number}".encode())

    assert verdicts == {s: allowed(scope, scene.own, s, listening=True) for s in tried}


@pytest.mark.parametrize(
    "lie",
    [
        {"filter_subject": "fed.v1.ev.m.>"},
        {"filter_subject": "fed.v1.ev.>"},
        {"filter_subject": ""},
        {"filter_subject": "", "filter_subjects": ["fed.v1.ev.m.>"]},
        {"durable_name": "master-guard", "name": "master-guard"},
    ],
)
async def test_its_own_consumer_cannot_be_talked_into_the_masters_records(
    scene: Scene, lie: dict[str, object]
) -> None:
    who, ca_pem = held(scene, "worker")
    config = {"name": f"{scene.own}-all", "filter_subject": "fed.v1.ev.all.>", "ack_policy": "all"} | lie
    body = json.dumps({"stream_name": "POLICY", "config": config}).encode()
    subject = f"{subjects.MEMBERS_API}.CONSUMER.CREATE.POLICY.{scene.own}-all.fed.v1.ev.all.>"

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        answer = json.loads(await client.ask(subject.encode(), body))

    assert "error" in answer


async def test_the_renewal_credential_alone_renews_nothing_for_another_key(scene: Scene) -> None:
    who, ca_pem = held(scene, "renew")

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        answer = json.loads(await client.ask(subjects.up(scene.own, "renew").encode(), b"{}"))

    bus, renew, _ = credentials_of(scene.thief.directory)
    assert Credentials(answer["renewed"]["jwt"]).public_key == bus.public_key
    assert Credentials(answer["renewed"]["renew_jwt"]).public_key == renew.public_key
