"""Joins that must be refused, each with its own word for why (design section 4)."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from fedbus.bus.session import Endpoint, connect
from fedbus.model import codec, subjects
from fedbus.model.federation import PROOF, RENEW_PROOF, BusReply, JoinRequest, Versions
from fedbus.pki.credentials import Credentials
from fedbus.pki.join_token import JoinToken
from fedbus.pki.nkeys import KeyPair, KeyType
from tests.support.daemons import Daemon, joined, promoted
from tests.support.in_process import LocalMaster

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_bad_tokens")]

Answer = tuple[int, dict[str, Any]]


class Scene(NamedTuple):
    """A master, a cluster that is in, and one that is not and tries."""

    master: LocalMaster
    member: Daemon
    candidate: Daemon


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("tokens")
    async with (
        LocalMaster(base / "master") as master,
        Daemon("worker", base / "member") as member,
        Daemon("worker", base / "candidate") as candidate,
    ):
        await promoted(master, "hub")
        await joined(master, member, "member")
        yield Scene(master, member, candidate)


async def token(scene: Scene, **wanted: object) -> dict[str, Any]:
    return await scene.master.post("/v1/fed/join_token", wanted)


async def attempt(worker: Daemon, text: str, name: str = "candidate", **more: object) -> Answer:
    return await worker.call("POST", "/v1/fed/join", {"name": name, "join_token": text} | more)


async def entered(worker: Daemon, text: str, name: str = "candidate") -> None:
    """Join, and leave again."""
    status, answer = await attempt(worker, text, name)
    assert status == 200, answer
    await worker.post("/v1/fed/leave")


async def expired(scene: Scene, seconds_ago: int) -> str:
    """Return a token that a master made long enough ago."""
    scene.master.clock.offset = -60.0 - seconds_ago
    try:
        return str((await token(scene, duration_minutes=1))["join_token"])
    finally:
        scene.master.clock.offset = 0.0


async def used(scene: Scene) -> str:
    text = str((await token(scene))["join_token"])
    await entered(scene.candidate, text)
    return text


async def revoked(scene: Scene) -> str:
    made = await token(scene)
    assert (await scene.master.call("DELETE", f"/v1/fed/join_token/{made['id']}"))[0] == 200
    return str(made["join_token"])


async def of_another_cluster(scene: Scene) -> str:
    return str((await token(scene, cluster_name="somebody-else"))["join_token"])


async def test_the_five_ways_a_token_is_no_good_are_told_apart(scene: Scene) -> None:
    good = (await token(scene))["join_token"]
    answers = [
        await attempt(scene.candidate, text)
        for text in (
            await expired(scene, 100),
            await used(scene),
            await revoked(scene),
            good[: len(good) // 2],
            await of_another_cluster(scene),
        )
    ]

    assert [(status, answer["reason"]) for status, answer in answers] == [
        (403, "TOKEN_EXPIRED"),
        (403, "TOKEN_USED"),
        (403, "TOKEN_REVOKED"),
        (403, "TOKEN_GARBLED"),
        (403, "TOKEN_WRONG_CLUSTER"),
    ]
    assert len({answer["detail"] for _, answer in answers}) == 5
    assert all(answer["remedy"] for _, answer in answers)


async def test_an_expired_token_is_explained_by_the_master_while_the_bus_lets_it_in(scene: Scene) -> None:
    text = await expired(scene, 100)

    status, answer = await attempt(scene.candidate, text)

    assert (status, answer["reason"]) == (403, "TOKEN_EXPIRED")
    assert "last second" not in answer["detail"]
    listed = (await scene.master.get("/v1/fed/join_tokens"))["tokens"]
    (record,) = (t for t in listed if t["id"] == JoinToken.decode(text).token_id)
    assert (record["state"], record["uses"]) == ("expired", 0)


async def test_a_token_that_the_bus_lets_in_no_more_is_explained_by_the_worker(scene: Scene) -> None:
    status, answer = await attempt(scene.candidate, await expired(scene, 1000))

    assert (status, answer["reason"]) == (403, "TOKEN_EXPIRED")
    assert "last second" in answer["detail"]


async def test_a_token_is_listed_for_a_week_after_it_expired_and_then_forgotten(scene: Scene) -> None:
    week = 7 * 86_400.0
    scene.master.clock.offset = -week - 3700.0
    try:
        old = (await token(scene, duration_minutes=1))["id"]
        scene.master.clock.offset = -week + 3600.0
        listed = (await token(scene))["id"]
    finally:
        scene.master.clock.offset = 0.0
    new = (await token(scene))["id"]

    ids = {found["id"] for found in (await scene.master.get("/v1/fed/join_tokens"))["tokens"]}
    assert old not in ids
    assert {listed, new} <= ids


async def test_a_token_is_good_until_its_last_second_and_not_longer(scene: Scene) -> None:
    early, late = await token(scene, duration_minutes=1), await token(scene, duration_minutes=1)
    try:
        scene.master.clock.offset = 50.0
        await entered(scene.candidate, early["join_token"])
        scene.master.clock.offset = 61.0
        status, answer = await attempt(scene.candidate, late["join_token"])
    finally:
        scene.master.clock.offset = 0.0

    assert (status, answer["reason"]) == (403, "TOKEN_EXPIRED")


async def test_a_second_use_of_a_token_is_a_security_alert(
    scene: Scene, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    text = await used(scene)
    capfd.readouterr()

    status, answer = await attempt(scene.candidate, text)

    said = caplog.text + "".join(capfd.readouterr())
    assert (status, answer["reason"]) == (403, "TOKEN_USED")
    assert "somebody else may have it" in answer["detail"]
    assert "security" in said
    assert "TOKEN_USED" in said


async def test_a_token_of_two_uses_takes_two_clusters_and_no_third(scene: Scene) -> None:
    text = (await token(scene, uses=2))["join_token"]
    await entered(scene.candidate, text, "first")
    await entered(scene.candidate, text, "second")

    status, answer = await attempt(scene.candidate, text, "third")

    assert (status, answer["reason"]) == (403, "TOKEN_USED")


async def test_a_revoked_token_of_many_uses_takes_nobody_more_and_keeps_who_is_in(scene: Scene) -> None:
    made = await token(scene, uses=5)
    await attempt(scene.candidate, made["join_token"])
    await scene.master.call("DELETE", f"/v1/fed/join_token/{made['id']}")

    assert (await scene.candidate.get("/v1/fed/member"))["membership"] == "joined"
    await scene.candidate.post("/v1/fed/leave")
    status, answer = await attempt(scene.candidate, made["join_token"])
    assert (status, answer["reason"]) == (403, "TOKEN_REVOKED")


async def test_a_token_for_one_cluster_is_used_up_by_a_try_under_another_name(scene: Scene) -> None:
    text = await of_another_cluster(scene)
    status, answer = await attempt(scene.candidate, text)
    assert (status, answer["reason"]) == (403, "TOKEN_WRONG_CLUSTER")
    assert "somebody-else" in answer["detail"]

    status, answer = await attempt(scene.candidate, text, "somebody-else")

    assert (status, answer["reason"]) == (403, "TOKEN_USED")


def _nonsense() -> str:
    return base64.b64encode(b'{"s":"127.0.0.1","p":1,"f":"x","c":"AA==","k":"AA==","t":"a.b.c"}').decode()


GARBLED = {
    "empty": lambda _: "",
    "words": lambda _: "let me in please",
    "cut short": lambda good: good[:-9],
    "one character gone": lambda good: good[:100] + good[101:],
    "doubled": lambda good: good + good,
    "very long": lambda good: "A" * 1_000_000,
    "not ours": lambda _: _nonsense(),
    "null bytes": lambda good: "\0" + good,
    "no ASCII": lambda good: good[:50] + "é" + good[51:],
}


@pytest.mark.parametrize("what", GARBLED)
async def test_what_is_no_token_is_called_so_and_nothing_is_asked(scene: Scene, what: str) -> None:
    good = (await token(scene))["join_token"]

    status, answer = await attempt(scene.candidate, GARBLED[what](good))

    assert (status, answer["reason"]) == (403, "TOKEN_GARBLED")
    assert good[40:80] not in json.dumps(answer)


async def test_a_token_survives_being_wrapped_by_a_terminal(scene: Scene) -> None:
    good = (await token(scene))["join_token"]

    await entered(scene.candidate, "  " + "\n".join(good[i : i + 70] for i in range(0, len(good), 70)) + "\n")


async def test_a_token_with_a_jwt_of_another_federation_is_unknown(scene: Scene) -> None:
    good = JoinToken.decode((await token(scene))["join_token"])
    head, claims, signature = good.jwt.split(".")
    other = head + "." + claims + "." + ("A" if signature[5] != "A" else "B") * len(signature)

    status, answer = await attempt(scene.candidate, msgspec.structs.replace(good, jwt=other).encode())

    assert (status, answer["reason"]) == (403, "TOKEN_UNKNOWN")


async def test_of_two_workers_that_race_for_one_token_exactly_one_wins(scene: Scene, tmp_path: Path) -> None:
    async with Daemon("worker", tmp_path / "rival") as rival:
        for round_ in range(3):
            text = (await token(scene))["join_token"]
            answers = await asyncio.gather(
                attempt(scene.candidate, text, f"racer-{round_}a"), attempt(rival, text, f"racer-{round_}b")
            )

            assert sorted(status for status, _ in answers) == [200, 403]
            assert [a["reason"] for status, a in answers if status == 403] == ["TOKEN_USED"]
            members = (await scene.master.get("/v1/fed/member"))["joint_clusters"]
            assert sum(m["name"].startswith(f"racer-{round_}") for m in members) == 1
            winner = scene.candidate if answers[0][0] == 200 else rival
            await winner.post("/v1/fed/leave")


@pytest.mark.parametrize("name", ["member", "hub"])
async def test_a_taken_name_is_a_conflict_also_when_it_is_the_masters(scene: Scene, name: str) -> None:
    text = (await token(scene))["join_token"]

    status, answer = await attempt(scene.candidate, text, name)

    assert (status, answer["reason"], answer["code"]) == (409, "CLUSTER_NAME_TAKEN", 41)
    members = (await scene.master.get("/v1/fed/member"))["joint_clusters"]
    assert [m["name"] for m in members] == ["member"]
    assert (await scene.candidate.get("/v1/fed/member"))["fed_role"] == ""


async def test_two_workers_that_race_for_one_name_do_not_both_get_it(scene: Scene, tmp_path: Path) -> None:
    texts = [(await token(scene))["join_token"] for _ in range(2)]
    async with Daemon("worker", tmp_path / "rival") as rival:
        answers = await asyncio.gather(
            attempt(scene.candidate, texts[0], "same"), attempt(rival, texts[1], "same")
        )

        assert sorted(status for status, _ in answers) == [200, 409]
        await (scene.candidate if answers[0][0] == 200 else rival).post("/v1/fed/leave")


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 64, "a/b", "a\nb", "ü"])
async def test_what_may_be_no_name_is_refused_before_the_token_is_spent(scene: Scene, name: str) -> None:
    text = (await token(scene))["join_token"]

    status, answer = await attempt(scene.candidate, text, name)

    assert status == 422
    assert answer["errors"][0]["field"] == "name"
    await entered(scene.candidate, text)


async def test_a_join_that_does_not_prove_its_keys_is_refused_and_costs_no_use(scene: Scene) -> None:
    good = JoinToken.decode((await token(scene))["join_token"])
    mine, stolen = (KeyPair.new(KeyType.USER, os.urandom(32)) for _ in range(2))
    body = codec.encode(
        JoinRequest(
            name="thief",
            nkey=stolen.public_key,
            renew_nkey=mine.public_key,
            versions=Versions(fedbus="0"),
        )
    )
    proof = base64.b64encode(mine.sign(body)).decode()
    endpoint = Endpoint((f"tls://{good.server}:{good.port}",), good.ca_pem)
    async with connect("thief", endpoint, Credentials(good.jwt)) as connection:
        answer = await connection.request(
            subjects.join(good.token_id), body, headers={PROOF: proof, RENEW_PROOF: proof}
        )

    reply = codec.decode(answer.data, BusReply)
    assert reply.refused is not None
    assert reply.refused.code == "PROOF_INVALID"
    await entered(scene.candidate, good.encode())


async def test_a_worker_of_another_protocol_is_refused(scene: Scene) -> None:
    good = JoinToken.decode((await token(scene))["join_token"])
    keys = KeyPair.new(KeyType.USER, os.urandom(32))
    versions = Versions(fedbus="9.0", protocol_min=7, protocol_max=9)
    request = JoinRequest(name="future", nkey=keys.public_key, renew_nkey=keys.public_key, versions=versions)
    body = codec.encode(request)
    proof = base64.b64encode(keys.sign(body)).decode()
    endpoint = Endpoint((f"tls://{good.server}:{good.port}",), good.ca_pem)
    async with connect("future", endpoint, Credentials(good.jwt)) as connection:
        answer = await connection.request(
            subjects.join(good.token_id), body, headers={PROOF: proof, RENEW_PROOF: proof}
        )

    reply = codec.decode(answer.data, BusReply)
    assert reply.refused is not None
    assert reply.refused.code == "PROTOCOL_UNSUPPORTED"


async def test_a_member_joins_no_second_federation(scene: Scene) -> None:
    text = (await token(scene))["join_token"]

    status, answer = await attempt(scene.member, text, "again")

    assert (status, answer["reason"]) == (409, "ALREADY_JOINED")
    await entered(scene.candidate, text)


async def test_no_token_is_in_any_log(scene: Scene) -> None:
    text = (await token(scene))["join_token"]
    await entered(scene.candidate, text)
    await attempt(scene.candidate, text)
    await attempt(scene.candidate, text[:-9])

    secret = JoinToken.decode(text).jwt
    for log in (scene.candidate.log(), scene.member.log()):
        assert text[:60] not in log
        assert secret not in log
