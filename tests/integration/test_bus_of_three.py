"""Three nats-servers that keep the same streams: any one may be away, and no acknowledged write is lost."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fedbus import config
from fedbus.core.diagnosis import Diagnosis
from fedbus.errors import FedbusError
from fedbus.master import doctor as of_master
from fedbus.pki.keyring import Keyring
from fedbus.runtime import Clock
from fedbus.worker import doctor as of_worker
from fedbus.worker.membership import MembershipFiles
from tests.faults.fleet import FAST, Fleet, Writer, held, history_on, journal, writing
from tests.support import validator
from tests.support.cluster import Cluster, files_for_loopback, running
from tests.support.daemons import Daemon, assessed_by, eventually, group, joined, promoted

# three servers and two daemons at a time are enough for one machine
pytestmark = pytest.mark.xdist_group("test_bus_of_three")


@asynccontextmanager
async def fleet_of_three(root: Path, *names: str) -> AsyncIterator[tuple[Fleet, Cluster]]:
    """Promote a master with its embedded bus, write the servers' files from its keyring, and move to them."""
    fleet = Fleet(root, names)
    try:
        async with Daemon("master", root / "master") as alone:
            await promoted(alone)
            await alone.stop()
        keyring = Keyring.load(root / "master" / "keyring")
        async with running(files_for_loopback(keyring, root / "bus"), keyring) as cluster:
            fleet.master = Daemon("master", root / "master", bus_urls=cluster.urls, bus_replicas=3, **FAST)
            await fleet.master.start()
            await fleet.serving()
            for name, worker in fleet.workers.items():
                await worker.start()
                fleet.ids[name] = (await joined(fleet.master, worker, name))["id"]
            await fleet.converged()
            await cluster.whole()
            yield fleet, cluster
    finally:
        await fleet.end()


async def test_a_bus_of_three_serves_with_any_one_away(tmp_path: Path) -> None:
    async with fleet_of_three(tmp_path, "a") as (fleet, cluster):
        epoch = await fleet.epoch()
        for name, server in cluster.servers.items():
            await server.end()
            writer = Writer(fleet.master)
            await writer.write(f"without {name}", f"while-{name}")
            await fleet.converged()
            await assessed_by(fleet.master, "a")
            await the_doctor_warns(tmp_path, cluster)
            await server.start()
            await cluster.whole()
        await fleet.converged()
        assert set(await held(fleet.workers["a"])) == {f"fed.while-{name}" for name in cluster.servers}
        assert await fleet.epoch() == epoch


async def the_doctor_warns(root: Path, cluster: Cluster) -> None:
    """Examine master and worker: a server that is away is a warning, and nothing fails."""
    environ = {"FEDBUS_BUS_URLS": cluster.urls, "FEDBUS_BUS_REPLICAS": "3", "FEDBUS_MIN_FREE_MB": "0"}
    master = config.load("master", None, environ, {"data_dir": root / "master"})
    worker = config.load("worker", None, environ, {"data_dir": root / "a"})

    async def sound() -> list[Diagnosis]:
        found = [
            await of_master.examine(master, Clock(), 30.0),
            await of_worker.examine(worker, Clock(), 30.0),
        ]
        return [] if any(one.failed for one in found) else found

    for found in await eventually(sound, 60.0):  # streams that nothing waited for choose a leader yet
        assert found.exit_code == 0
        warnings = {f.step: f.code for f in found.findings if f.result == "warning"}
        assert warnings["TCP"] == "TCP_REFUSED", found


async def test_a_write_that_the_bus_leaves_unanswered_gets_a_key_and_is_in_once_when_it_is_asked_again(
    tmp_path: Path,
) -> None:
    async with fleet_of_three(tmp_path, "a") as (fleet, cluster):
        body = {"documents": [group("once")]}
        for server in cluster.servers.values():
            server.send(signal.SIGSTOP)
        try:
            status, answer = await fleet.master.call("POST", "/v1/fed/apply", body)
        finally:
            for server in cluster.servers.values():
                server.send(signal.SIGCONT)
        assert (status, answer["reason"]) == (503, "OUTCOME_UNKNOWN"), answer
        key = {"Idempotency-Key": answer["idempotency_key"]}

        async def asked_again() -> bool:
            return (await fleet.master.call("POST", "/v1/fed/apply", body, headers=key))[0] == 200

        await eventually(asked_again, 60.0)
        await fleet.converged()
        async with cluster.client() as connection:
            assert [write.name for write in await history_on(connection)] == ["fed.once"]


async def test_without_a_majority_nothing_is_acknowledged_and_with_one_it_goes_on(tmp_path: Path) -> None:
    async with fleet_of_three(tmp_path, "a") as (fleet, cluster):
        leader = await cluster.leader()
        lost = [server for server in cluster.servers.values() if server is not leader]
        for server in lost:
            await server.end()
        body, key = {"documents": [group("once")]}, {"Idempotency-Key": "mine"}
        status, answer = await fleet.master.call("POST", "/v1/fed/apply", body, headers=key)
        assert status == 503, answer
        for server in lost:
            await server.start()

        async def asked_again() -> bool:
            return (await fleet.master.call("POST", "/v1/fed/apply", body, headers=key))[0] == 200

        await eventually(asked_again, 60.0)
        await fleet.converged()
        async with cluster.client() as connection:
            assert [write.name for write in await history_on(connection)] == ["fed.once"]


async def test_a_server_that_was_away_refuses_who_was_removed_meanwhile(tmp_path: Path) -> None:
    async with fleet_of_three(tmp_path, "a") as (fleet, cluster):
        worker = MembershipFiles(fleet.workers["a"].directory).bus_credentials()
        async with cluster.client("n0", who=worker):
            pass
        await cluster.servers["n0"].end()

        async def removed() -> bool:
            return (await fleet.master.call("DELETE", f"/v1/fed/cluster/{fleet.ids['a']}"))[0] == 200

        await eventually(removed, 60.0)
        await cluster.servers["n0"].start()

        async def refused() -> bool:
            try:
                async with cluster.client("n0", who=worker):
                    return False
            except FedbusError as error:
                return error.code == "BUS_UNAUTHORIZED"

        await eventually(refused, 20.0)


async def test_the_leader_killed_in_mid_write_loses_no_acknowledged_write(tmp_path: Path) -> None:
    async with fleet_of_three(tmp_path, "a") as (fleet, cluster):
        epoch = await fleet.epoch()
        for worker in fleet.workers.values():
            await worker.kill()
            validator.keep_journal(worker.directory / "store.db")
            await worker.start()
        writer = Writer(fleet.master)
        for number in range(3):
            leader = await cluster.leader()
            async with writing(writer, first_lane=2 * number) as more:
                await more(10)
                await leader.end()
                await more(10)
            await leader.start()
            await cluster.whole()
        await fleet.converged()
        await cluster.whole()
        digests = {"a": (await fleet.snapshot("a"))["all"]["digest"]}
        async with cluster.client() as connection:
            stream = await history_on(connection)
        verdict = validator.judge(
            writer.acknowledged,
            stream,
            {"a": journal(fleet.workers["a"])},
            {"master": await held(fleet.master), "a": await held(fleet.workers["a"])},
            digests,
        )
        assert verdict.ok, verdict
        assert await fleet.epoch() == epoch  # nothing was lost, so nothing was rewritten
