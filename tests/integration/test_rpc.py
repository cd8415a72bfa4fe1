"""What makes a worker answer, and what does not: everything but the master's own question, once, in time."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from fedbus.bus.session import Endpoint, Message, connect
from fedbus.core.requests import Questions
from fedbus.errors import FedbusError, Unavailable
from fedbus.master.calls import Calls
from fedbus.model import codec, subjects
from fedbus.model.federation import SIGNATURE
from fedbus.model.rpc import ASSESS, ENCODING, RpcAnswer, RpcRequest
from fedbus.pki.signing import Signed, Signer, Verifier
from fedbus.runtime import Clock
from fedbus.worker.answering import AT_ONCE, Answering
from tests.support.daemons import Daemon, joined, promoted
from tests.support.intruder import Intruder, clock, credentials_of, intruding

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_rpc")]

SILENT = 0.5
"""Seconds after which nobody answers any more: a worker that does, does so within milliseconds."""


class Scene(NamedTuple):
    """A worker, and somebody with every right on the bus."""

    master: Daemon
    worker: Daemon
    id: str
    intruder: Intruder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("rpc")
    async with (
        Daemon("master", base / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", base / "shop") as worker,
    ):
        await promoted(master)
        cluster = (await joined(master, worker, "shop"))["id"]
        async with intruding(master.directory) as intruder:
            yield Scene(master, worker, cluster, intruder)


def question(scene: Scene, **fields: Any) -> RpcRequest:
    given: dict[str, Any] = {
        "federation_id": scene.intruder.keyring.federation_id,
        "cluster_id": scene.id,
        "id": os.urandom(16).hex(),
        "at": clock(),
        "method": ASSESS,
        "params": b"[]",
    } | fields
    given["params"] = json.loads(given["params"])
    return codec.decode(codec.encode(given), RpcRequest)


async def ask(
    scene: Scene,
    body: bytes,
    *,
    signer: Signer | None = None,
    kind: Signed = Signed.REQUEST,
    encoding: str = "",
) -> RpcAnswer | None:
    signature = (signer or scene.intruder.keyring.signer).sign(body, kind)
    headers = {SIGNATURE: base64.b64encode(signature).decode()} | ({ENCODING: encoding} if encoding else {})
    try:
        reply = await scene.intruder.connection.request(
            subjects.rpc(scene.id), body, headers=headers, timeout=SILENT
        )
    except Unavailable as error:
        if error.code != "BUS_TIMEOUT":
            raise
        return None
    return codec.decode(codec.unpack(reply.data, reply.headers.get(ENCODING, "")), RpcAnswer)


async def test_the_masters_question_is_answered_once(scene: Scene) -> None:
    asked = question(scene)
    answer = await ask(scene, codec.encode(asked))
    again = await ask(scene, codec.encode(asked))

    assert answer is not None
    assert (answer.id, answer.refused) == (asked.id, None)
    assert json.loads(bytes(answer.result))["results"] == []
    assert again is None


@pytest.mark.parametrize(
    "fields",
    [
        {"cluster_id": "c2"},
        {"federation_id": "f2"},
        {"at": 0.0},
        {"at": 9e9},
    ],
    ids=["another cluster's", "another federation's", "an old one", "one of the future"],
)
async def test_what_was_not_asked_of_it_now_is_not_answered(scene: Scene, fields: dict[str, Any]) -> None:
    assert await ask(scene, codec.encode(question(scene, **fields))) is None


async def test_nobody_but_the_federation_has_it_answer(scene: Scene) -> None:
    body = codec.encode(question(scene))
    bomb, encoding = codec.pack(b"[" + b"0," * (codec.MAX_PAYLOAD // 2) + b"0]")

    assert await ask(scene, body, signer=Signer(os.urandom(32))) is None
    for kind in (Signed.EVENT, Signed.CHECKPOINT, Signed.ANSWER):
        assert await ask(scene, body, kind=kind) is None
    for noise in (b"", b"{}", b"\xff", b'{"id":"x"}', body[:-1]):
        assert await ask(scene, noise) is None
    assert await ask(scene, bomb, encoding=encoding) is None
    assert await ask(scene, body, encoding="gzip") is None
    for headers in ({}, {SIGNATURE: "?"}, {SIGNATURE: base64.b64encode(bytes(64)).decode()}):
        with pytest.raises(Unavailable, match="no answer"):
            await scene.intruder.connection.request(
                subjects.rpc(scene.id), body, headers=headers, timeout=SILENT
            )
    assert await ask(scene, body) is not None  # and it is there still


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "format the disk"}, "METHOD_UNKNOWN"),
        ({"params": b'{"documents": 7}'}, "PARAMS_INVALID"),
        ({"params": b'[{"index": "x"}]'}, "PARAMS_INVALID"),
    ],
)
async def test_what_it_cannot_do_is_answered_with_why(
    scene: Scene, fields: dict[str, Any], code: str
) -> None:
    answer = await ask(scene, codec.encode(question(scene, **fields)))

    assert answer is not None
    assert answer.refused is not None
    assert answer.refused.code == code


async def test_the_credentials_of_a_worker_ask_no_other_worker(scene: Scene, tmp_path: Path) -> None:
    async with Daemon("worker", tmp_path / "thief") as thief:
        await joined(scene.master, thief, "thief")
        held, _, ca_pem = credentials_of(thief.directory)
    endpoint = Endpoint((f"tls://127.0.0.1:{scene.intruder.port}",), ca_pem)
    async with connect("thief", endpoint, held) as connection:
        body = codec.encode(question(scene))
        signature = base64.b64encode(scene.intruder.keyring.signer.sign(body, Signed.REQUEST)).decode()
        with pytest.raises(FedbusError) as caught:  # even with a signature that it cannot have
            await connection.request(subjects.rpc(scene.id), body, headers={SIGNATURE: signature})
        assert caught.value.code == "PERMISSION_DENIED"


async def test_a_hundred_clusters_are_asked_at_once_and_those_that_are_away_do_not_hold_it_up(
    scene: Scene,
) -> None:
    keyring = scene.intruder.keyring
    verifier = Verifier(keyring.signer.public_key)
    endpoint = Endpoint((f"tls://127.0.0.1:{scene.intruder.port}",), keyring.ca_pem)
    present, away = [f"w{n}" for n in range(100)], [f"away{n}" for n in range(20)]

    async def echo(name: str, params: bytes) -> bytes:
        await asyncio.sleep(0)
        return codec.encode({"name": name, "params": json.loads(params)})

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        serving = []
        for name in present:
            credentials = keyring.credentials("worker", name, now=clock(), randomness=os.urandom)
            connection = await stack.enter_async_context(connect(name, endpoint, credentials))
            answering = Answering(
                {"echo": lambda params, name=name: echo(name, params)},  # type: ignore[misc]
                verifier,
                Questions(keyring.federation_id, name),
                clock,
            )
            serving.append(group.create_task(answering.serve(connection, name)))
            await asyncio.sleep(0)
            await connection.flush()
        calls = Calls(keyring.signer, keyring.federation_id, lambda: scene.intruder.connection, Clock())
        began = time.monotonic()
        answers = await calls.ask_all([*present, *away], "echo", b'{"n":7}')
        took = time.monotonic() - began
        for task in serving:
            task.cancel()

    for name in present:
        answer = answers[name]
        assert not isinstance(answer, FedbusError), answer
        assert json.loads(bytes(answer)) == {"name": name, "params": {"n": 7}}
    assert {getattr(answers[name], "code", "") for name in away} == {"BUS_NO_RESPONDERS"}
    assert took < 10


async def test_a_worker_works_on_some_questions_at_once_and_refuses_the_next(scene: Scene) -> None:
    keyring = scene.intruder.keyring
    going_on, started = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(_params: bytes) -> bytes:
        started.release()
        await going_on.wait()
        return b"{}"

    answering = Answering(
        {"slow": slow}, Verifier(keyring.signer.public_key), Questions(keyring.federation_id, "busy"), clock
    )
    endpoint = Endpoint((f"tls://127.0.0.1:{scene.intruder.port}",), keyring.ca_pem)
    credentials = keyring.credentials("worker", "busy", now=clock(), randomness=os.urandom)
    calls = Calls(keyring.signer, keyring.federation_id, lambda: scene.intruder.connection, Clock())
    async with connect("busy", endpoint, credentials) as connection, asyncio.TaskGroup() as group:
        serving = group.create_task(answering.serve(connection, "busy"))
        await asyncio.sleep(0)
        await connection.flush()
        asked = [group.create_task(calls.ask("busy", "slow", b"{}")) for _ in range(AT_ONCE)]
        for _ in range(AT_ONCE):
            await started.acquire()
        with pytest.raises(FedbusError) as caught:
            await calls.ask("busy", "slow", b"{}")
        going_on.set()
        for one in asked:
            assert bytes(await one) == b"{}"
        serving.cancel()

    assert caught.value.code == "BUSY"


async def test_an_answer_to_another_question_is_no_answer(scene: Scene) -> None:
    keyring = scene.intruder.keyring
    credentials = keyring.credentials("worker", "liar", now=clock(), randomness=os.urandom)
    endpoint = Endpoint((f"tls://127.0.0.1:{scene.intruder.port}",), keyring.ca_pem)
    calls = Calls(keyring.signer, keyring.federation_id, lambda: scene.intruder.connection, Clock())
    lies = [
        codec.encode(RpcAnswer(id="another", result=msgspec.Raw(b"{}"))),
        b"",
        b"\xff",
        b"[]",
        bytes(600_000),
    ]
    async with connect("liar", endpoint, credentials) as connection:

        async def lie(message: Message) -> None:
            await connection.publish(message.reply, lies.pop())

        async with connection.subscription(subjects.rpc("liar"), lie):
            await connection.flush()
            while lies:
                with pytest.raises(Unavailable) as caught:
                    await calls.ask("liar", ASSESS, b"[]")
                assert caught.value.code == "ANSWER_INVALID"
