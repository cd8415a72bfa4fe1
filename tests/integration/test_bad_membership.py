"""Memberships that end, and credentials that do: removed, left, demoted, revoked, expired (section 4)."""

import asyncio
import base64
import contextlib
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from fedbus.model import codec
from fedbus.model.federation import Dismissal, SignedDismissal
from fedbus.pki.credentials import Credentials
from fedbus.pki.signing import Signed, Signer, Verifier
from fedbus.worker import dialogue
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted
from tests.support.intruder import bus_port, clock, credentials_of, wire
from tests.support.outages import bus_down

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_bad_membership")]

JWT_SECONDS = 5.0


class Scene(NamedTuple):
    """A master whose workers' credentials live a few seconds, and a place for workers."""

    master: Daemon
    base: Path

    def worker(self, name: str) -> Daemon:
        return Daemon("worker", self.base / name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("membership")
    async with Daemon("master", base / "master", checkpoint_interval=0.5) as master:
        await promoted(master)
        await apply(master, group("standing"))
        yield Scene(master, base)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def brief(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("brief")
    days = JWT_SECONDS / 86_400
    async with Daemon("master", base / "master", checkpoint_interval=0.5, worker_jwt_days=days) as master:
        await promoted(master)
        await apply(master, group("standing"))
        yield Scene(master, base)


async def holds(worker: Daemon, name: str = "standing") -> bool:
    return (await worker.call("GET", f"/v1/group/fed.{name}?scope=fed"))[0] == 200


async def membership(worker: Daemon) -> str:
    return str((await worker.get("/v1/fed/member")).get("membership", ""))


async def purged(worker: Daemon, word: str) -> None:
    """Wait until a worker has learned how its membership ended, and holds nothing of it any more."""

    async def over() -> bool:
        return await membership(worker) == word

    await eventually(over)
    assert (await worker.get("/v1/group?scope=fed"))["groups"] == []
    assert not list((worker.directory / "membership").glob("*.creds"))


def audited(worker: Daemon) -> list[dict[str, Any]]:
    """Return what a worker wrote into its own audit log."""
    with contextlib.closing(sqlite3.connect(worker.directory / "store.db")) as store:
        return [json.loads(record) for (record,) in store.execute("SELECT record FROM audit ORDER BY id")]


async def entered(scene: Scene, worker: Daemon, name: str) -> str:
    """Join, and wait for the policy; return the id."""
    cluster: str = (await joined(scene.master, worker, name))["id"]
    await eventually(lambda: holds(worker))
    return cluster


async def remove(scene: Scene, cluster: str) -> None:
    assert (await scene.master.call("DELETE", f"/v1/fed/cluster/{cluster}"))[0] == 200


async def row(scene: Scene, cluster: str) -> dict[str, Any]:
    return await scene.master.get(f"/v1/fed/cluster/{cluster}")


async def test_a_cluster_removed_while_it_was_away_learns_it_purges_and_needs_a_new_token(
    scene: Scene,
) -> None:
    async with scene.worker("away") as worker:
        made = await scene.master.post("/v1/fed/join_token")
        body = {"name": "away", "join_token": made["join_token"]}
        cluster = (await worker.post("/v1/fed/join", body))["id"]
        await eventually(lambda: holds(worker))
        stolen, renewal, ca_pem = credentials_of(worker.directory)
        await worker.stop()
        await remove(scene, cluster)

        await worker.start()
        await purged(worker, "removed")

        port = bus_port(scene.master.directory)
        with pytest.raises(ConnectionError, match="Authorization Violation"):
            async with wire(port, ca_pem, stolen):
                pytest.fail("the revoked credential was let in")
        async with wire(port, ca_pem, renewal) as client:
            answer = json.loads(await client.ask(f"fed.v1.up.{cluster}.renew".encode(), b"{}"))
        assert set(answer) == {"dismissed"}
        status, refused = await worker.call("POST", "/v1/fed/join", body)
        assert (status, refused["reason"]) == (403, "TOKEN_USED")
        await worker.stop()
        await worker.start()
        assert await membership(worker) == "removed"  # it does not come back by a restart either

        again = await entered(scene, worker, "away")

        assert again != cluster
        assert (await row(scene, cluster))["membership"] == "removed"
        await remove(scene, again)


async def test_a_removed_cluster_is_cut_within_a_second_and_stays_out(scene: Scene) -> None:
    async with scene.worker("cut") as worker:
        cluster = await entered(scene, worker, "cut")
        stolen, _, ca_pem = credentials_of(worker.directory)
        port = bus_port(scene.master.directory)
        loop = asyncio.get_running_loop()
        async with wire(port, ca_pem, stolen) as thief:  # it does not go by itself when it is dismissed
            began = loop.time()
            cut = asyncio.ensure_future(thief.cut())  # noqa: TID251 - awaited below
            await remove(scene, cluster)
            words = await cut
            seconds = loop.time() - began

        assert "Revoked" in words
        assert seconds < 1.0
        with pytest.raises(ConnectionError, match="Authorization Violation"):
            async with wire(port, ca_pem, stolen):
                pytest.fail("the revoked credential was let in")
        await purged(worker, "removed")


async def test_a_frozen_cluster_that_is_removed_is_cut_within_a_second_and_purges_when_it_thaws(
    scene: Scene,
) -> None:
    async with scene.worker("frozen") as worker:
        cluster = await entered(scene, worker, "frozen")
        stolen, _, ca_pem = credentials_of(worker.directory)
        assert worker.process is not None
        worker.process.send_signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        try:
            async with wire(bus_port(scene.master.directory), ca_pem, stolen) as thief:
                began = loop.time()
                cut = asyncio.ensure_future(thief.cut())  # noqa: TID251 - awaited below
                await remove(scene, cluster)
                await cut
                seconds = loop.time() - began
        finally:
            worker.process.send_signal(signal.SIGCONT)

        assert seconds < 1.0
        await purged(worker, "removed")


async def test_a_cluster_that_leaves_purges_and_both_sides_write_it_down(scene: Scene) -> None:
    async with scene.worker("leaver") as worker:
        cluster = await entered(scene, worker, "leaver")

        await worker.post("/v1/fed/leave")

        await purged(worker, "left")
        assert (await row(scene, cluster))["membership"] == "left"
        log = [line for line in scene.master.log().splitlines() if cluster in line]
        assert any('"action": "left"' in line for line in log)
        federation = (await worker.get("/v1/fed/member"))["master_cluster"]["id"]

        async def written() -> bool:
            found = [(record["action"], record["object"]) for record in audited(worker)]
            return found == [("join", f"hub {federation}"), ("left", "hub")]

        await eventually(written)
        status, answer = await worker.call("POST", "/v1/fed/leave", {})
        assert (status, answer["reason"]) == (409, "NOT_JOINED")
        again = await entered(scene, worker, "leaver")  # the name is free again
        await remove(scene, again)


async def test_a_leave_that_cannot_be_told_is_refused_unless_forced(scene: Scene) -> None:
    async with scene.worker("forced") as worker:
        cluster = await entered(scene, worker, "forced")
        async with bus_down(scene.master):
            status, _ = await worker.call("POST", "/v1/fed/leave", {})
            assert status == 503
            assert await membership(worker) == "joined"
            assert await holds(worker)

            await worker.post("/v1/fed/leave", {"force": True})

            await purged(worker, "left")
        assert (await row(scene, cluster))["membership"] == "joined"  # nobody told the master
        await remove(scene, cluster)


async def test_demoted_all_workers_purge_and_one_that_was_away_keeps_enforcing(tmp_path: Path) -> None:
    async with (
        Daemon("master", tmp_path / "master") as master,
        Daemon("worker", tmp_path / "a") as a,
        Daemon("worker", tmp_path / "b") as b,
        Daemon("worker", tmp_path / "away") as away,
    ):
        await promoted(master)
        await apply(master, group("standing"))
        for name, worker in (("a", a), ("b", b), ("away", away)):
            await joined(master, worker, name)
            await eventually(lambda worker=worker: holds(worker))  # type: ignore[misc]
        await away.stop()

        await master.post("/v1/fed/demote")

        await purged(a, "demoted")
        await purged(b, "demoted")
        assert (await master.get("/v1/fed/member"))["fed_role"] == ""
        assert (await master.get("/v1/group?scope=fed"))["groups"] == []
        assert not (master.directory / "keyring").exists()
        await away.start()
        assert await membership(away) == "joined"
        assert await holds(away)
        await promoted(master, "another")  # of which the one that was away knows nothing
        assert await holds(away)


async def renewed(worker: Daemon, old: Credentials) -> bool:
    return (credentials_of(worker.directory)[0].expires or 0) > (old.expires or 0)


async def test_a_credential_is_renewed_before_it_ends_and_the_worker_stays(brief: Scene) -> None:
    async with brief.worker("steady") as worker:
        cluster = await entered(brief, worker, "steady")
        first = credentials_of(worker.directory)[0]

        await eventually(lambda: renewed(worker, first), JWT_SECONDS)

        assert clock() < (first.expires or 0)
        await apply(brief.master, group("while-renewing"))
        await eventually(lambda: holds(worker, "while-renewing"))
        assert "BUS_UNAUTHORIZED" not in worker.log()
        assert credentials_of(worker.directory)[0].public_key == first.public_key
        await remove(brief, cluster)


async def test_workers_that_slept_longer_than_their_credentials_live_renew_them_and_catch_up(
    brief: Scene,
) -> None:
    async with brief.worker("stopped") as stopped, brief.worker("frozen") as frozen:
        clusters = [await entered(brief, stopped, "stopped"), await entered(brief, frozen, "frozen")]
        olds = [credentials_of(worker.directory)[0] for worker in (stopped, frozen)]
        await stopped.stop()
        assert frozen.process is not None
        frozen.process.send_signal(signal.SIGSTOP)
        try:
            await apply(brief.master, group("meanwhile"))
            over = max(old.expires or 0 for old in olds) + 1

            async def expired() -> bool:
                return clock() > over

            await eventually(expired, JWT_SECONDS + 3)
        finally:
            frozen.process.send_signal(signal.SIGCONT)
        await stopped.start()

        for worker, old in zip((stopped, frozen), olds, strict=True):
            await eventually(lambda worker=worker: holds(worker, "meanwhile"))  # type: ignore[misc]
            assert await renewed(worker, old)
            assert "credential_renewed" in worker.log()
            assert (await worker.get("/v1/fed/member"))["refusal"] is None
        for cluster in clusters:
            await remove(brief, cluster)


async def test_a_worker_removed_while_it_slept_past_its_credential_is_dismissed_not_renewed(
    brief: Scene,
) -> None:
    async with brief.worker("late") as worker:
        cluster = await entered(brief, worker, "late")
        over = (credentials_of(worker.directory)[0].expires or 0) + 1
        await worker.stop()
        await remove(brief, cluster)

        async def expired() -> bool:
            return clock() > over

        await eventually(expired, JWT_SECONDS + 3)
        await worker.start()

        await purged(worker, "removed")


async def test_a_dismissal_counts_only_as_the_federation_signed_it_for_this_cluster() -> None:
    signer, stranger = Signer(b"f" * 32), Signer(b"s" * 32)
    verifier = Verifier(signer.public_key)
    given = Dismissal(cluster_id="c1", federation_id="f1", reason="removed", at="2026-01-01T00:00:00.000Z")

    def signed(key: Signer, dismissal: Dismissal, kind: Signed = Signed.ANSWER) -> SignedDismissal:
        text = codec.encode(dismissal)
        signature = base64.b64encode(key.sign(text, kind)).decode()
        return SignedDismissal(dismissal=text.decode(), signature=signature)

    good = signed(signer, given)
    altered = msgspec.structs.replace(good, dismissal=good.dismissal.replace("removed", "demoted"))
    for bad in (
        signed(stranger, given),
        signed(signer, given, Signed.EVENT),
        signed(signer, msgspec.structs.replace(given, cluster_id="c2")),
        altered,
        msgspec.structs.replace(good, signature="*"),
        msgspec.structs.replace(good, signature=""),
        msgspec.structs.replace(good, dismissal="{"),
    ):
        assert dialogue.dismissal(verifier, "c1", bad) is None
    assert dialogue.dismissal(verifier, "c1", good) == given
