"""Answers delivered where a member has no business (guarantee 5).

The server checks what a client publishes to, not where it has the answer delivered. So every call that a
member may make is made with every subject as its reply that would do harm if a message came there, by what
a joined worker really holds, a join token and an auditor; and then everything has to be as it was.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from fedbus.bus.topology import STREAMS
from fedbus.model import subjects
from fedbus.model.subjects import JETSTREAM_API, MEMBERS_API
from fedbus.pki.credentials import Credentials
from fedbus.pki.join_token import JoinToken
from fedbus.pki.keyring import Keyring
from fedbus.pki.roles import MEMBERS, Role
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.intruder import Intruder, Wire, bus_port, clock, credentials_of, intruding, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_steering")]


class Scene(NamedTuple):
    """Two members and a token; the first one's credentials are in the wrong hands."""

    master: Daemon
    victim: Daemon
    own: str
    other: str
    held: dict[Role, Credentials]
    ca_pem: bytes


class Call(NamedTuple):
    """Something that a role may publish and that is answered."""

    subject: str
    body: bytes = b""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("steering")
    async with (
        Daemon("master", base / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", base / "thief") as thief,
        Daemon("worker", base / "victim") as victim,
    ):
        await promoted(master)
        own = (await joined(master, thief, "thief"))["id"]
        other = (await joined(master, victim, "victim"))["id"]
        for number in range(5):
            await apply(master, group(f"g{number}"))
        await synced(master, 2)
        await thief.stop()  # its consumers are ours now
        worker, renew, ca_pem = credentials_of(thief.directory)
        token = JoinToken.decode((await master.post("/v1/fed/join_token"))["join_token"])
        auditor = Keyring.load(master.directory / "keyring").credentials(
            "auditor", "a1", now=clock(), randomness=os.urandom
        )
        held: dict[Role, Credentials] = {
            "worker": worker,
            "renew": renew,
            "join": Credentials(token.jwt),
            "auditor": auditor,
        }
        yield Scene(master, victim, own, other, held, ca_pem)


def calls(scene: Scene, role: Role) -> Iterator[Call]:
    """Return every kind of call that a role may make; a leave is left out, it would be one."""
    match role:
        case "worker":
            yield from consumer(f"{scene.own}-own", "POLICY", subjects.scope_filter(f"c.{scene.own}"))
            yield from consumer(f"{scene.own}-all", "POLICY", "fed.v1.ev.all.>")
            yield Call(subjects.up(scene.own, "renew"), b"{}")
            yield Call(subjects.up(scene.own, "hb"), b"{}")
            yield Call(subjects.up(scene.own, "inventory"), b"{}")
        case "renew":
            yield Call(subjects.up(scene.own, "renew"), b"{}")
        case "join":
            yield Call(subjects.join(scene.held["join"].name), b"{}")  # refused, and not used up
        case "auditor":
            yield from consumer("aud-a1", "AUDIT", "fed.v1.audit.>")


def consumer(name: str, stream: str, filter_subject: str) -> Iterator[Call]:
    """Make a consumer anew, pull what there is and more than there is, and acknowledge."""
    api, where = f"{MEMBERS_API}.CONSUMER", f"{stream}.{name}"
    config = {"name": name, "filter_subject": filter_subject, "ack_policy": "explicit", "mem_storage": True}
    create = json.dumps({"stream_name": stream, "config": config | {"durable_name": name}}).encode()
    yield Call(f"{api}.DELETE.{where}")
    yield Call(f"{api}.CREATE.{where}.{filter_subject}", create)
    for _ in range(2):
        yield Call(f"{api}.MSG.NEXT.{where}", b'{"batch":1,"no_wait":true}')
    if not name.endswith("-own"):  # it has no message to acknowledge
        yield Call(f"$JS.ACK.{where}.1.1.1.1.1", b"+ACK")
        yield Call(f"$JS.ACK.{where}.1.2.2.1.1", b'+NXT {"batch":1,"no_wait":true}')


def targets(scene: Scene) -> Iterator[str]:
    """Return the subjects where a message, whatever is in it, could do harm."""
    for stream in (stream.name for stream in STREAMS):
        for api in (JETSTREAM_API, MEMBERS_API):
            yield from (f"{api}.STREAM.{what}.{stream}" for what in ("DELETE", "PURGE", "UPDATE"))
    consumers = [f"POLICY.{scene.other}-all", f"POLICY.{scene.other}-own", "POLICY.master-guard"]
    for where in (*consumers, "HB.master-heartbeats"):
        for api in (JETSTREAM_API, MEMBERS_API):
            yield from (f"{api}.CONSUMER.{what}.{where}" for what in ("DELETE", "MSG.NEXT", "PAUSE"))
        yield f"$JS.ACK.{where}.1.1000.1000.1.1"
    for what in ("leave", "renew", "report", "hb"):
        yield from (subjects.up(name, what) for name in (scene.other, scene.own))
    yield from (subjects.up(scene.other, "inventory"), subjects.rpc(scene.other), subjects.rpc(scene.own))
    yield subjects.join(scene.held["join"].name)
    yield subjects.event("all", "policy", "group", "fed.g0")
    yield subjects.event("all", "policy", "group", "fed.evil")
    yield subjects.control(scene.other, "dismissed")
    yield subjects.event("m", "record", "cluster", scene.other)
    yield subjects.audit("security")
    yield subjects.CHECKPOINT
    yield "$SYS.REQ.CLAIMS.UPDATE"
    yield "_R_.x.y"


async def standing(scene: Scene, master: Intruder) -> dict[str, Any]:
    """Return all that no member but the one that it is of may change."""
    found: dict[str, Any] = {}
    for stream in ("POLICY", "AUDIT", "PROBE", "HB"):
        info = await master.api(f"$JS.API.STREAM.INFO.{stream}")
        found[stream] = info["created"], json.dumps(info["config"], sort_keys=True)
        if stream in {"POLICY", "AUDIT"}:
            found[stream] += info["state"]["first_seq"], info["state"]["last_seq"]
        listed = (await master.api(f"$JS.API.CONSUMER.LIST.{stream}"))["consumers"]
        found[f"consumers of {stream}"] = sorted(
            (c["name"], c["created"]) for c in listed if not c["name"].startswith((scene.own, "aud-"))
        )
    last = await master.api("$JS.API.STREAM.MSG.GET.HB", last_by_subj=subjects.up(scene.other, "hb"))
    found["heartbeat"] = len(last["message"]["data"]) > 100
    found["members"] = [
        (c["id"], c["status"] if c["id"] == scene.other else "")
        for c in (await scene.master.get("/v1/fed/member"))["joint_clusters"]
    ]
    found["row"] = (await scene.master.get(f"/v1/fed/cluster/{scene.other}"))["membership"]
    found["own row"] = (await scene.master.get(f"/v1/fed/cluster/{scene.own}"))["membership"]
    found["tokens"] = (await scene.master.get("/v1/fed/join_tokens"))["tokens"]
    found["victim"] = (await scene.victim.get("/v1/fed/member"))["membership"]
    found["held"] = (await scene.victim.get("/v1/group?scope=fed"))["groups"]
    found["quarantined"] = (await scene.victim.get("/v1/fed/summary"))["clusters"][0]["quarantined"]
    return found


async def answered(scene: Scene, client: Wire, role: Role) -> None:
    """Make every call with the own inbox as reply: what was sent before has been answered then."""
    for call in calls(scene, role):
        await client.ask(call.subject.encode(), call.body)


async def goes_on(scene: Scene, name: str) -> None:
    """Check that a change still reaches the victim."""
    await apply(scene.master, group(name))

    async def applied() -> bool:
        found = (await scene.victim.get("/v1/group?scope=fed"))["groups"]
        return any(one["name"] == f"fed.{name}" for one in found)

    await eventually(applied)
    assert (await scene.master.get(f"/v1/fed/cluster/{scene.other}"))["link"]["state"] == "online"


@pytest.mark.parametrize("role", MEMBERS)
async def test_no_answer_can_be_steered_to_where_it_does_harm(scene: Scene, role: Role) -> None:
    harm = {}
    async with (
        intruding(scene.master.directory) as master,
        wire(bus_port(scene.master.directory), scene.ca_pem, scene.held[role]) as client,
    ):
        await answered(scene, client, role)  # that they are answered is half of the test
        before = await standing(scene, master)
        for target in targets(scene):
            for call in calls(scene, role):
                client.publish(call.subject.encode(), call.body, reply=target.encode())
            # these are the only replies that the server minds
            assert bool(await client.settled()) == target.startswith(("$JS.ACK.", "_R_."))
            await answered(scene, client, role)
            if (after := await standing(scene, master)) != before:
                harm[target] = {
                    what: (before[what], after[what]) for what in after if after[what] != before[what]
                }
                before = after

    assert harm == {}
    await goes_on(scene, f"after-{role}")


async def test_the_trace_of_a_message_cannot_be_sent_to_where_it_does_harm(scene: Scene) -> None:
    async with (
        intruding(scene.master.directory) as master,
        wire(bus_port(scene.master.directory), scene.ca_pem, scene.held["worker"]) as client,
    ):
        before = await standing(scene, master)
        for target in targets(scene):
            headers = f"NATS/1.0\r\nNats-Trace-Dest: {target}\r\n\r\n".encode()
            client.publish(subjects.up(scene.own, "hb").encode(), b"{}", headers=headers)
        await client.settled()
        await answered(scene, client, "worker")

        assert await standing(scene, master) == before
