"""Events that a client with every right on the bus injects: each harms itself only (guarantees 3, 4, 8).

Refused and set aside with its reason by the worker, which goes on; covered by the master on the stream, so
that a worker that comes new reads what was signed last.
"""

import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
import zstandard

from fedbus.bus.session import Message
from fedbus.bus.topology import MAX_MESSAGE
from fedbus.model import codec, events, subjects
from fedbus.model.federation import DISMISSED, SIGNATURE, Checkpoint, Dismissal, ScopeState
from fedbus.pki.signing import Signer
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.intruder import Intruder, clock, digest_of, event_headers, intruding, seq_of, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_bad_events")]


class Scene(NamedTuple):
    """A federation with one worker, and somebody who stole the master's keyring."""

    master: Daemon
    worker: Daemon
    intruder: Intruder
    cluster_id: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("events")
    async with (
        Daemon("master", base / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", base / "worker") as worker,
    ):
        await promoted(master)
        cluster = await joined(master, worker, "victim")
        await apply(master, group("bystander"))
        await synced(master, 1)
        async with intruding(master.directory) as intruder:
            yield Scene(master, worker, intruder, cluster["id"])


def subject_of(name: str) -> str:
    return subjects.event(subjects.SCOPE_ALL, subjects.POLICY, "group", f"fed.{name}")


async def held(daemon: Daemon, name: str) -> dict[str, Any] | None:
    """Return the group that a daemon holds."""
    status, answer = await daemon.call("GET", f"/v1/group/fed.{name}?scope=fed")
    return answer["group"] if status == 200 else None


async def quarantined(worker: Daemon, seq: int) -> list[str]:
    """Return the codes that a worker refused the message at a place in the stream with."""
    events = (await worker.get("/v1/fed/quarantine"))["events"]
    return [event["code"] for event in events if event["seq"] == seq]


async def published(scene: Scene, name: str, comment: str = "as the master wrote it") -> Message:
    """Have the master write a group twice and the worker apply it; return its message."""
    await apply(scene.master, group(name, "first"))
    await apply(scene.master, group(name, comment))

    async def applied() -> bool:
        found = await held(scene.worker, name)
        return found is not None and found["comment"] == comment

    await eventually(applied)
    return await scene.intruder.newest(subject_of(name))


Attack = Callable[[Scene, str, Message], Awaitable[int]]


async def unsigned(scene: Scene, name: str, message: Message) -> int:
    headers = event_headers(message) | {"ce-fbrevision": "9"}
    del headers["ce-fbsig"]
    return await scene.intruder.publish(subject_of(name), message.data, headers)


async def without_attributes(scene: Scene, name: str, _: Message) -> int:
    return await scene.intruder.publish(subject_of(name), b'{"name":"x"}', {})


async def body_altered(scene: Scene, name: str, message: Message) -> int:
    body = message.data.replace(b"shop", b"bank")
    return await scene.intruder.publish(subject_of(name), body, event_headers(message))


async def body_and_digest_altered(scene: Scene, name: str, message: Message) -> int:
    body = message.data.replace(b"shop", b"bank")
    headers = event_headers(message) | {"ce-fbdigest": digest_of(body)}
    return await scene.intruder.publish(subject_of(name), body, headers)


async def header_altered(scene: Scene, name: str, message: Message) -> int:
    headers = event_headers(message) | {"ce-fbrevision": "9"}
    return await scene.intruder.publish(subject_of(name), message.data, headers)


async def header_added(scene: Scene, name: str, message: Message) -> int:
    headers = event_headers(message) | {"ce-fbencoding": "zstd"}
    return await scene.intruder.publish(subject_of(name), message.data, headers)


async def header_run_into_the_next(scene: Scene, name: str, message: Message) -> int:
    headers = event_headers(message)
    headers["ce-datacontenttype"] += "\nce-fbchangeset:" + headers.pop("ce-fbchangeset")
    return await raw(scene, subject_of(name).encode(), message.data, headers)


async def moved_to_another_subject(scene: Scene, name: str, _: Message) -> int:
    stolen = await scene.intruder.newest(subject_of("bystander"))
    return await scene.intruder.publish(subject_of(name), stolen.data, event_headers(stolen))


async def moved_from_another_cluster(scene: Scene, name: str, _: Message) -> int:
    event = scene.intruder.forge(f"fed.{name}", GOOD, scope=subjects.own_scope("f" * 32))
    return await scene.intruder.publish(subject_of(name), event.body, event.headers())


async def signature_of_zeros(scene: Scene, name: str, _: Message) -> int:
    return await scene.intruder.put(scene.intruder.forge(f"fed.{name}", GOOD, signed=False))


async def signature_no_base64(scene: Scene, name: str, message: Message) -> int:
    headers = event_headers(message) | {"ce-fbsig": "*"}
    return await scene.intruder.publish(subject_of(name), message.data, headers)


async def another_key(scene: Scene, name: str, _: Message) -> int:
    event = scene.intruder.forge(f"fed.{name}", GOOD)
    key = Signer(bytes(32))
    headers = event.headers() | {"ce-fbkeyid": key.key_id}
    headers["ce-fbsig"] = base64.b64encode(key.sign(event.statement)).decode()
    return await scene.intruder.publish(subject_of(name), event.body, headers)


async def older_revision_on_top(scene: Scene, name: str, message: Message) -> int:
    old = await scene.intruder.message(seq_of(message) - 1)
    assert old.headers["Nats-Subject"] == subject_of(name)
    return await scene.intruder.publish(subject_of(name), old.data, event_headers(old))


def signed(payload: bytes, **attributes: Any) -> Attack:
    """Return the attack with an event that only its content gives away."""

    async def attack(scene: Scene, name: str, _: Message) -> int:
        return await scene.intruder.put(scene.intruder.forge(f"fed.{name}", payload, **attributes))

    return attack


def another_subject(subject: bytes) -> Attack:
    """Return the attack with a message on a subject that no event has."""

    async def attack(scene: Scene, _name: str, message: Message) -> int:
        return await raw(scene, subject, message.data, event_headers(message))

    return attack


GOOD = json.dumps(group("forged")["spec"]).encode()
BOMB = zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))
OVERSIZE = b'{"name":"fed.x","comment":"' + b"x" * (codec.MAX_BODY + 1) + b'"}'

ATTACKS: dict[str, tuple[Attack, str]] = {
    "unsigned": (unsigned, "UNSIGNED"),
    "without attributes": (without_attributes, "ATTRIBUTE_MISSING"),
    "body altered": (body_altered, "DIGEST_MISMATCH"),
    "body and digest altered": (body_and_digest_altered, "SIGNATURE_INVALID"),
    "header altered": (header_altered, "SIGNATURE_INVALID"),
    "header added": (header_added, "SIGNATURE_INVALID"),
    "header run into the next": (header_run_into_the_next, "ATTRIBUTE_INVALID"),
    "moved from another subject": (moved_to_another_subject, "SIGNATURE_INVALID"),
    "moved from another cluster": (moved_from_another_cluster, "SIGNATURE_INVALID"),
    "signature of zeros": (signature_of_zeros, "SIGNATURE_INVALID"),
    "signature no base64": (signature_no_base64, "SIGNATURE_INVALID"),
    "another key": (another_key, "KEY_UNKNOWN"),
    "another federation": (signed(GOOD, federation_id="f" * 32), "SOURCE_UNKNOWN"),
    "older revision on top": (older_revision_on_top, "REPLAYED"),
    "older epoch": (signed(GOOD, epoch=0), "REPLAYED"),
    "no json": (signed(b'{"name":'), "PAYLOAD_UNDECODABLE"),
    "no utf-8": (signed(b'{"name":"\xff"}'), "PAYLOAD_UNDECODABLE"),
    "wrong types": (signed(b'{"name":5,"criteria":[]}'), "PAYLOAD_UNDECODABLE"),
    "nested deeply": (signed(b'{"name":"fed.x","zzz":' + b"[" * 100_000), "PAYLOAD_UNDECODABLE"),
    "unknown encoding": (signed(GOOD, encoding="br"), "ENCODING_UNKNOWN"),
    "corrupt compression": (signed(GOOD, encoding="zstd"), "PAYLOAD_CORRUPT"),
    "decompression bomb": (signed(BOMB, encoding="zstd"), "PAYLOAD_TOO_LARGE"),
    "oversize": (signed(OVERSIZE), "BODY_TOO_LARGE"),
    "unknown category": (another_subject(b"fed.v1.ev.all.secrets.group.x"), "SUBJECT_UNKNOWN"),
    "subject not canonical": (another_subject(b"fed.v1.ev.all.policy.group.%41"), "SUBJECT_UNKNOWN"),
    "subject no text": (another_subject(b"fed.v1.ev.all.policy.group.\xff\xfe"), "SUBJECT_UNKNOWN"),
    "subject with a tab": (another_subject(b"fed.v1.ev.all.policy.group.a\x0bb\x0c"), "SUBJECT_UNKNOWN"),
}


async def raw(scene: Scene, subject: bytes, body: bytes, headers: dict[str, str]) -> int:
    """Store a message as no library would send it; return its sequence."""
    keyring = scene.intruder.keyring
    who = keyring.credentials("master", "raw", now=clock(), randomness=os.urandom)
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    async with wire(scene.intruder.port, keyring.ca_pem, who) as client:
        answer = await client.ask(subject, body, headers=f"NATS/1.0\r\n{lines}\r\n".encode())
    return int(json.loads(answer)["seq"])


async def covered(scene: Scene, message: Message, seq: int) -> bool:
    """Tell whether the newest message of a subject is the master's own again, above a foreign one."""
    newest = await scene.intruder.newest(message.headers["Nats-Subject"])
    same = event_headers(newest) == event_headers(message) and newest.data == message.data
    return bool(same and seq_of(newest) > seq)


@pytest.mark.parametrize("what", ATTACKS)
async def test_a_bad_event_is_set_aside_and_harms_nothing_else(scene: Scene, what: str) -> None:
    attack, code = ATTACKS[what]
    name = what.replace(" ", "-")
    message = await published(scene, name)
    before = await held(scene.worker, name)

    seq = await attack(scene, name, message)

    assert await eventually(lambda: quarantined(scene.worker, seq)) == [code]
    if not what.startswith(("subject", "unknown category")):
        await eventually(lambda: covered(scene, message, seq))
    assert await held(scene.worker, name) == before == await held(scene.master, name)
    await published(scene, f"{name}-after")  # the next good one is applied
    await published(scene, name, "changed")  # the same object can be changed


async def test_an_event_of_an_unknown_type_is_parked_by_both_and_changes_nothing(scene: Scene) -> None:
    await published(scene, "future")
    event = scene.intruder.forge("fed.future", GOOD, type="io.fedbus.policy.painted.v7")

    seq = await scene.intruder.put(event)

    async def parked() -> bool:
        listed = (await scene.worker.get("/v1/fed/parked"))["events"]
        return [one["name"] for one in listed] == ["fed.future"]

    await eventually(parked)
    assert await quarantined(scene.worker, seq) == []
    found = await held(scene.worker, "future")
    assert found is not None
    assert found["comment"] == "as the master wrote it"
    await synced(scene.master, 1)
    await published(scene, "future", "changed")
    assert not await parked()


async def test_the_newest_event_played_again_changes_nothing_and_alarms_nobody(scene: Scene) -> None:
    message = await published(scene, "echo")
    count = len((await scene.worker.get("/v1/fed/quarantine"))["events"])

    await scene.intruder.publish(subject_of("echo"), message.data, event_headers(message))
    await published(scene, "echo-after")

    assert len((await scene.worker.get("/v1/fed/quarantine"))["events"]) == count
    found = await held(scene.worker, "echo")
    assert found is not None
    assert found["comment"] == "as the master wrote it"
    await published(scene, "echo", "changed")
    await synced(scene.master, 1)


async def test_a_deleted_object_stays_deleted_when_its_last_event_is_played_again(scene: Scene) -> None:
    message = await published(scene, "ghost")
    await apply(scene.master, {"kind": "group", "op": "delete", "spec": {"name": "fed.ghost"}})
    tombstone = await scene.intruder.newest(subject_of("ghost"))

    seq = await scene.intruder.publish(subject_of("ghost"), message.data, event_headers(message))

    assert await eventually(lambda: quarantined(scene.worker, seq)) == ["REPLAYED"]
    await eventually(lambda: covered(scene, tombstone, seq))
    assert await held(scene.worker, "ghost") is None
    assert await held(scene.master, "ghost") is None


async def test_a_message_over_the_limit_of_the_stream_never_gets_in(scene: Scene) -> None:
    body = bytes(MAX_MESSAGE + 1)

    answer = await scene.intruder.connection.request(subject_of("bystander"), body, headers={"a": "b"})

    assert json.loads(answer.data)["error"]["err_code"] == 10054


async def test_a_new_worker_reads_what_the_master_signed_whatever_stands_above_it(
    scene: Scene, tmp_path: Path
) -> None:
    names = [f"all-{number}" for number in range(len(ATTACKS))]
    messages = [await published(scene, name) for name in names]
    covering = []
    for name, message, (what, (attack, _)) in zip(names, messages, ATTACKS.items(), strict=True):
        seq = await attack(scene, name, message)
        if not what.startswith(("subject", "unknown category")):
            covering.append((message, seq))
    for message, seq in covering:
        await eventually(partial(covered, scene, message, seq))

    async with Daemon("worker", tmp_path / "new") as new:
        await joined(scene.master, new, "new")
        await synced(scene.master, 2)
        wanted = (await scene.master.get("/v1/group?scope=fed"))["groups"]
        found = (await new.get("/v1/group?scope=fed"))["groups"]
        await new.post("/v1/fed/leave")

    assert sorted(found, key=_name) == sorted(wanted, key=_name)
    assert {f"fed.{name}" for name in names} <= {_name(each) for each in found}


def _name(found: dict[str, Any]) -> str:
    return str(found["name"])


@pytest.mark.parametrize("lie", ["unsigned", "signed for another cluster"])
async def test_a_forged_dismissal_purges_nothing(scene: Scene, lie: str) -> None:
    dismissal = Dismissal(
        cluster_id=scene.cluster_id,
        federation_id=scene.intruder.keyring.federation_id,
        reason="removed",
        at="2026-01-01T00:00:00.000Z",
    )
    event = scene.intruder.forge(
        "-",
        codec.encode(dismissal),
        scope=subjects.own_scope(scene.cluster_id if lie == "unsigned" else "f" * 32),
        category=subjects.CONTROL,
        kind=DISMISSED,
        type=events.CONTROL,
        signed=lie != "unsigned",
    )
    subject = subjects.control(scene.cluster_id, DISMISSED)

    seq = await scene.intruder.publish(subject, event.body, event.headers())

    assert await eventually(lambda: quarantined(scene.worker, seq)) == ["SIGNATURE_INVALID"]
    assert (await scene.worker.get("/v1/fed/member"))["membership"] == "joined"
    assert await held(scene.worker, "bystander") is not None


async def test_a_forged_checkpoint_sweeps_nothing(scene: Scene) -> None:
    empty = Checkpoint(
        federation_id=scene.intruder.keyring.federation_id,
        epoch=99,
        time=clock(),
        scopes={subjects.SCOPE_ALL: ScopeState(epoch=99, version=10**9)},
    )
    body = codec.encode(empty)
    before = (await scene.worker.get("/v1/fed/summary"))["scopes"]
    for signature in (bytes(64), scene.intruder.keyring.signer.sign(body)):  # none, and one for an event
        headers = {SIGNATURE: base64.b64encode(signature).decode()}
        await scene.intruder.connection.publish(subjects.CHECKPOINT, body, headers=headers)
    await published(scene, "after-the-checkpoint")

    after = (await scene.worker.get("/v1/fed/summary"))["scopes"]
    assert after["all"]["epoch"] == before["all"]["epoch"]
    assert after["all"]["objects"] == before["all"]["objects"] + 1
    assert scene.worker.log().count("checkpoint_refused") >= 2
