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
from tests.integration.test_roles import ADMINISTRATION, LISTENING
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.intruder import Wire, bus_port, credentials_of, intruding, wire

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
    for subject in ADMINISTRATION:
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
                yield f"$JS.API.CONSUMER.CREATE.{stream.name}.{consumer}.{filtered}"
                yield f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{consumer}"
                yield f"$JS.API.CONSUMER.DELETE.{stream.name}.{consumer}"
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
    subject = f"$JS.API.CONSUMER.CREATE.POLICY.{scene.own}-all.fed.v1.ev.all.>"

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        answer = json.loads(await client.ask(subject.encode(), body))

    assert "error" in answer


async def steer(scene: Scene, client: Wire, towards: str) -> None:
    """Have the answer to a call of one's own, and the end of a pull, delivered somewhere else."""
    call = f"$JS.API.CONSUMER.DELETE.POLICY.{scene.own}-own".encode()
    create = f"$JS.API.CONSUMER.CREATE.POLICY.{scene.own}-own.fed.v1.ev.c.{scene.own}.>".encode()
    pull = f"$JS.API.CONSUMER.MSG.NEXT.POLICY.{scene.own}-own".encode()
    config = {
        "name": f"{scene.own}-own",
        "filter_subject": f"fed.v1.ev.c.{scene.own}.>",
        "ack_policy": "all",
        "mem_storage": True,
        "deliver_policy": "new",
    }
    await client.ask(create, json.dumps({"stream_name": "POLICY", "config": config}).encode())
    client.publish(pull, b'{"batch":1,"no_wait":true}', reply=towards.encode())
    client.publish(call, reply=towards.encode())
    assert await client.settled() == []  # the server does not mind


@pytest.mark.parametrize("what", ["leave", "renew", "report", "hb"])
async def test_an_answer_steered_to_another_clusters_subject_is_not_that_clusters_word(
    scene: Scene, what: str
) -> None:
    who, ca_pem = held(scene, "worker")

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        await steer(scene, client, subjects.up(scene.other, what))
    await apply(scene.master, group("standing", f"after {what}"))

    async def applied() -> bool:
        found = await scene.victim.get("/v1/group/fed.standing?scope=fed")
        return bool(found["group"]["comment"] == f"after {what}")

    await eventually(applied)
    assert (await scene.victim.get("/v1/fed/member"))["membership"] == "joined"
    row = await scene.master.get(f"/v1/fed/cluster/{scene.other}")
    assert (row["membership"], row["link"]["state"]) == ("joined", "online")
    if what in {"leave", "renew"}:
        assert "steered_message" in scene.master.log()


async def test_an_answer_steered_into_the_policy_stream_is_set_aside(scene: Scene) -> None:
    who, ca_pem = held(scene, "worker")
    before = (await scene.victim.get("/v1/group?scope=fed"))["groups"]
    count = (await scene.victim.get("/v1/fed/summary"))["clusters"][0]["quarantined"]
    subject = subjects.event("all", "policy", "group", "fed.standing")
    async with intruding(scene.master.directory) as master:
        good = (await master.newest(subject)).data

        async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
            await steer(scene, client, subject)

        async def set_aside() -> bool:
            row = (await scene.victim.get("/v1/fed/summary"))["clusters"][0]
            return bool(row["quarantined"] > count)

        async def covered() -> bool:
            return (await master.newest(subject)).data == good

        await eventually(set_aside)
        await eventually(covered)
    assert (await scene.victim.get("/v1/group?scope=fed"))["groups"] == before


async def test_a_policy_stream_deleted_by_a_steered_answer_is_made_anew_with_everything(scene: Scene) -> None:
    who, ca_pem = held(scene, "worker")
    await apply(scene.master, group("kept", "acknowledged"))
    before = await scene.master.get("/v1/group?scope=fed")
    epoch = (await scene.master.get("/v1/fed/summary"))["federation"]["epoch"]

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        await steer(scene, client, "$JS.API.STREAM.DELETE.POLICY")

    async def made_anew() -> bool:
        return bool((await scene.master.get("/v1/fed/summary"))["federation"]["epoch"] > epoch)

    await eventually(made_anew)
    await apply(scene.master, group("kept-after"))
    await synced(scene.master, 2)
    assert (await scene.victim.get("/v1/group/fed.kept?scope=fed"))["group"]["comment"] == "acknowledged"
    wanted = {g["name"] for g in before["groups"]} | {"fed.kept-after"}
    assert {g["name"] for g in (await scene.victim.get("/v1/group?scope=fed"))["groups"]} == wanted


async def test_the_renewal_credential_alone_renews_nothing_for_another_key(scene: Scene) -> None:
    who, ca_pem = held(scene, "renew")

    async with wire(bus_port(scene.master.directory), ca_pem, who) as client:
        answer = json.loads(await client.ask(subjects.up(scene.own, "renew").encode(), b"{}"))

    bus, renew, _ = credentials_of(scene.thief.directory)
    assert Credentials(answer["renewed"]["jwt"]).public_key == bus.public_key
    assert Credentials(answer["renewed"]["renew_jwt"]).public_key == renew.public_key
