"""The doctor against real servers: every step is made to fail once, and named with its code and remedy.

What is examined is a copy of a real member's files, so that each test can spoil its own.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from fedbus.bus import admin, topology
from fedbus.bus.server import EmbeddedServer
from fedbus.bus.server_config import ServerSettings
from fedbus.bus.session import Endpoint, connect
from fedbus.core import protocol
from fedbus.core.connectivity import TABLE
from fedbus.core.diagnosis import MAX_SKEW, Diagnosis
from fedbus.master import doctor as of_master
from fedbus.model.federation import Versions
from fedbus.model.subjects import MEMBERS_API
from fedbus.pki import files, jwt
from fedbus.pki.ca import server_context
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Keyring
from fedbus.pki.roles import SCOPES, SHARES
from fedbus.runtime import Clock
from fedbus.settings import MasterSettings, WorkerSettings
from fedbus.worker import doctor as of_worker
from fedbus.worker.doctor import Plan
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.in_process import LocalMaster, MovedClock
from tests.support.intruder import bus_port, clock, intruding
from tests.support.outages import bus_down, plaintext_impostor, plaintext_nats_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_doctor")]

DAY = 86_400
STEPS = [
    "files", "name resolution", "TCP", "TLS and pin", "credential", "permissions", "stream", "consumer",
    "master", "clock", "version", "disk",
]  # fmt: skip


class Scene(NamedTuple):
    """A federation."""

    master: LocalMaster
    worker: Daemon

    @property
    def keyring(self) -> Keyring:
        return Keyring.load(self.master.directory / "keyring")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("doctor")
    async with LocalMaster(base / "master") as master, Daemon("worker", base / "worker") as worker:
        await promoted(master)
        await joined(master, worker, "shop")
        await apply(master, group("standing"))
        await synced(master, 1)
        yield Scene(master, worker)


class Patient:
    """A member whose files a test may spoil."""

    def __init__(self, of: Path, directory: Path) -> None:
        self.directory = files.make_directory(directory)
        shutil.copytree(of / "membership", directory / "membership")
        self.json = directory / "membership" / "membership.json"
        self.bus_file = directory / "membership" / "bus.creds"

    @property
    def cluster_id(self) -> str:
        return str(json.loads(self.json.read_text())["cluster_id"])

    def change(self, **fields: object) -> None:
        """Change what it knows of its membership; `server` and `port` are the bus's."""
        found = json.loads(self.json.read_text())
        found["bus"] |= {name: fields.pop(name) for name in ("server", "port") if name in fields}
        files.write(self.json, json.dumps(found | fields))

    def give(self, credentials: Credentials) -> None:
        """Give it another credential for the bus."""
        credentials.save(self.bus_file)

    async def examined(self, clock_: Clock | None = None, **settings: Any) -> Diagnosis:
        made = WorkerSettings(data_dir=self.directory, **settings)
        return await of_worker.examine(made, clock_ or Clock(), MAX_SKEW)


@pytest.fixture
def patient(scene: Scene, tmp_path: Path) -> Patient:
    return Patient(scene.worker.directory, tmp_path / "patient")


def check(found: Diagnosis, step: str, code: str) -> None:
    """Check that a step is the first to fail, with the code's remedy and exit code, and what is around it."""
    assert (found.failed, found.code) == (step, code), found
    assert found.remedy == TABLE[code].remedy
    assert found.exit_code == int(TABLE[code].step)
    at = [f.step for f in found.findings].index(step)
    assert all(f.result == "ok" for f in found.findings[:at])
    assert all(f.result != "ok" for f in found.findings[at:-3]), "what needs a failed step is not tested"


async def test_a_sound_worker_passes_every_step_and_its_daemon_does_not_notice(scene: Scene) -> None:
    before = scene.worker.log().count("bus_session_opened")

    found = await of_worker.examine(WorkerSettings(data_dir=scene.worker.directory), Clock(), MAX_SKEW)

    assert [f.step for f in found.findings] == STEPS
    assert [f.result for f in found.findings] == ["ok"] * len(STEPS), found
    assert (found.failed, found.exit_code) == ("", 0)
    await apply(scene.master, group("after-the-doctor"))
    await synced(scene.master, 1)
    assert scene.worker.log().count("bus_session_opened") == before


async def test_a_sound_master_passes_every_step(scene: Scene) -> None:
    found = await of_master.examine(MasterSettings(data_dir=scene.master.directory), Clock(), MAX_SKEW)

    assert [f.step for f in found.findings] == STEPS
    assert [f.result for f in found.findings] == ["ok"] * len(STEPS), found


# files


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    found = await of_worker.examine(WorkerSettings(data_dir=tmp_path / "nowhere"), Clock(), MAX_SKEW)

    check(found, "files", "DATA_DIRECTORY_MISSING")


async def test_a_credential_that_others_may_read(patient: Patient) -> None:
    patient.bus_file.chmod(0o644)

    found = await patient.examined()

    check(found, "files", "FILES_EXPOSED")
    assert "bus.creds" in found.findings[0].detail


async def test_a_damaged_membership(patient: Patient) -> None:
    files.write(patient.json, "{")

    check(await patient.examined(), "files", "FILES_DAMAGED")


async def test_a_worker_that_never_joined(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "new")

    found = await of_worker.examine(WorkerSettings(data_dir=tmp_path / "new"), Clock(), MAX_SKEW)

    check(found, "files", "NOT_JOINED")


async def test_a_master_that_was_never_promoted(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "new")

    found = await of_master.examine(MasterSettings(data_dir=tmp_path / "new"), Clock(), MAX_SKEW)

    check(found, "files", "NOT_PROMOTED")


# the way to the bus


async def test_a_name_that_does_not_resolve(patient: Patient) -> None:
    patient.change(server="bus.invalid")

    check(await patient.examined(), "name resolution", "NAME_UNRESOLVED")


async def test_a_closed_port(patient: Patient) -> None:
    async with plaintext_impostor() as (port, _):
        pass
    patient.change(port=port)

    check(await patient.examined(), "TCP", "TCP_REFUSED")


async def test_a_server_without_tls_that_greets(patient: Patient) -> None:
    async with plaintext_impostor() as (port, impostor):
        patient.change(port=port)
        found = await patient.examined()

    check(found, "TLS and pin", "TLS_PLAINTEXT")
    assert b"CONNECT" not in impostor.heard


async def test_a_nats_server_without_tls(patient: Patient, tmp_path: Path) -> None:
    async with plaintext_impostor() as (port, _):
        pass
    patient.change(port=port)
    async with plaintext_nats_server(tmp_path / "nats", port):
        check(await patient.examined(), "TLS and pin", "TLS_PLAINTEXT")


@asynccontextmanager
async def tls_server(certificate: Path) -> AsyncIterator[int]:
    """Listen with a certificate, and do no more."""
    server = await asyncio.start_server(
        lambda _reader, writer: writer.transport.abort(), "127.0.0.1", 0,
        ssl=server_context(certificate, certificate),
    )  # fmt: skip
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("host", "days_ago", "code"),
    [("elsewhere.example", 0, "TLS_WRONG_NAME"), ("127.0.0.1", 800, "TLS_EXPIRED")],
)
async def test_a_certificate_of_the_federation_that_is_no_good(
    scene: Scene, patient: Patient, host: str, days_ago: int, code: str
) -> None:
    certificate = patient.directory / "server.pem"
    made = scene.keyring.authority.issue([host], now=clock() - days_ago * DAY, randomness=os.urandom)
    files.write(certificate, made.pem)
    async with tls_server(certificate) as port:
        patient.change(port=port)
        check(await patient.examined(), "TLS and pin", code)


async def test_a_server_of_another_authority(patient: Patient, tmp_path: Path) -> None:
    other = Keyring.create(
        tmp_path / "keyring", federation_id="other", hosts=["127.0.0.1"], now=clock(), randomness=os.urandom
    )
    async with tls_server(other.server_file) as port:
        patient.change(port=port)
        check(await patient.examined(), "TLS and pin", "TLS_UNTRUSTED")


async def test_a_port_that_ends_every_handshake(patient: Patient) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    patient.change(port=server.sockets[0].getsockname()[1])

    check(await patient.examined(), "TLS and pin", "TLS_FAILED")
    server.close()


# the credential


async def test_an_expired_credential(scene: Scene, patient: Patient) -> None:
    held = Credentials.load(patient.bus_file)
    expired = scene.keyring.user_jwt(
        "worker", patient.cluster_id, held.public_key, now=clock() - 2 * DAY, expires=clock() - DAY
    )
    patient.give(Credentials(expired, held.seed))

    check(await patient.examined(), "credential", "CREDENTIAL_EXPIRED")


async def test_a_revoked_credential_of_a_member(tmp_path: Path) -> None:
    async with LocalMaster(tmp_path / "master") as master, Daemon("worker", tmp_path / "worker") as worker:
        await promoted(master)
        await joined(master, worker, "shop")
        await worker.stop()  # it would renew by itself
        patient = Patient(worker.directory, tmp_path / "patient")
        keyring = Keyring.load(master.directory / "keyring")
        endpoint = Endpoint((f"tls://127.0.0.1:{bus_port(master.directory)}",), keyring.ca_pem)
        held = Credentials.load(patient.bus_file)
        # Dated behind whatever the master has pushed: the server keeps the latest.
        account = keyring.members_jwt({held.public_key: held.issued + 1}, now=clock() + 60)
        async with connect("revoking", endpoint, keyring.system) as system:
            await admin.push_account(system, account)

        check(await patient.examined(), "credential", "CREDENTIAL_REVOKED")


async def test_a_federation_that_was_set_up_anew(scene: Scene, patient: Patient, tmp_path: Path) -> None:
    keyring = Keyring.create(
        tmp_path / "keyring",
        federation_id=scene.keyring.federation_id,
        hosts=["127.0.0.1"],
        now=clock(),
        randomness=os.urandom,
    )
    patient.change(ca_pem=keyring.ca_pem.decode())
    async with bare_bus(keyring, tmp_path) as server:
        patient.change(port=server.port)
        check(await patient.examined(), "credential", "CREDENTIAL_UNKNOWN")


async def test_a_cluster_that_was_removed_while_it_was_away(scene: Scene, tmp_path: Path) -> None:
    async with Daemon("worker", tmp_path / "gone") as worker:
        await joined(scene.master, worker, "gone")
        gone = Patient(worker.directory, tmp_path / "patient")
        await worker.stop()
        status, _ = await scene.master.call("DELETE", f"/v1/fed/cluster/{gone.cluster_id}")
    assert status == 200

    check(await gone.examined(), "credential", "CLUSTER_REMOVED")


@pytest.mark.parametrize(
    ("state", "code"),
    [("removed", "CLUSTER_REMOVED"), ("left", "CLUSTER_LEFT"), ("demoted", "FEDERATION_ENDED")],
)
async def test_a_membership_whose_end_is_known(patient: Patient, state: str, code: str) -> None:
    patient.change(state=state, ended_at="2026-01-01T00:00:00.000Z")

    check(await patient.examined(), "files", code)


# permissions, stream, consumer, master


async def test_a_credential_without_the_stream_permission(scene: Scene, patient: Patient) -> None:
    patient.give(scene.keyring.credentials("renew", patient.cluster_id, now=clock(), randomness=os.urandom))

    found = await patient.examined()

    check(found, "permissions", "PERMISSION_DENIED")
    assert f"{MEMBERS_API}.CONSUMER.CREATE" in next(f.detail for f in found.findings if f.result == "failed")


@asynccontextmanager
async def bare_bus(
    keyring: Keyring, directory: Path, *, jetstream: bool = True
) -> AsyncIterator[EmbeddedServer]:
    """Run a bus of the federation without a master: nobody makes streams or answers."""
    accounts = keyring.account_jwts(now=clock())
    if not jetstream:
        accounts[keyring.account] = jwt.account(
            name=keyring.federation_id,
            public_key=keyring.account,
            signer=keyring._operator_signing,
            now=clock(),
            scopes={keyring._scopes["master"].public_key: SCOPES["master"]},
            exports=SHARES,
        )
    settings = ServerSettings(
        directory=directory / "bus",
        certificate_file=keyring.server_file,
        operator_jwt=keyring.operator_jwt,
        system_account=keyring.system_account,
        accounts=accounts,
        host="127.0.0.1",
        sync_always=False,
    )
    async with EmbeddedServer(settings) as server:
        yield server


@pytest.mark.parametrize(("jetstream", "code"), [(True, "STREAM_MISSING"), (False, "JETSTREAM_OFF")])
async def test_a_bus_without_the_stream(
    scene: Scene, patient: Patient, tmp_path: Path, jetstream: bool, code: str
) -> None:
    async with bare_bus(scene.keyring, tmp_path, jetstream=jetstream) as server:
        patient.change(port=server.port)
        check(await patient.examined(), "stream", code)


@asynccontextmanager
async def streams(scene: Scene, directory: Path, change: Callable[[Any], Any]) -> AsyncIterator[int]:
    """Run a bus with the streams, one of them changed, and no master."""
    keyring = scene.keyring
    async with bare_bus(keyring, directory) as server:
        endpoint = Endpoint((server.url,), keyring.ca_pem)
        who = keyring.credentials("master", "maker", now=clock(), randomness=os.urandom)
        async with connect("maker", endpoint, who) as connection:
            for stream in topology.STREAMS:
                body = msgspec.json.encode(change(stream))
                answer = await connection.request(f"$JS.API.STREAM.CREATE.{stream.name}", body)
                assert b"error" not in answer.data
            if change(topology.STREAMS[0]).max_consumers == 1:
                config = {"durable_name": "x", "name": "x", "ack_policy": "all"}
                create = json.dumps({"stream_name": "POLICY", "config": config}).encode()
                answer = await connection.request("$JS.API.CONSUMER.CREATE.POLICY.x", create)
                assert b"error" not in answer.data
        yield server.port


async def test_a_stream_that_takes_no_more_consumers(scene: Scene, patient: Patient, tmp_path: Path) -> None:
    def full(stream: Any) -> Any:
        return msgspec.structs.replace(stream, max_consumers=1) if stream.name == "POLICY" else stream

    async with streams(scene, tmp_path, full) as port:
        patient.change(port=port)
        check(await patient.examined(), "consumer", "CONSUMER_REFUSED")


async def test_a_bus_whose_master_is_away(scene: Scene, patient: Patient, tmp_path: Path) -> None:
    async with streams(scene, tmp_path, lambda stream: stream) as port:
        patient.change(port=port)
        found = await patient.examined()

    check(found, "master", "MASTER_AWAY")
    assert [f.result for f in found.findings[-3:]] == ["not tested", "not tested", "ok"]


# clock, version, disk


@pytest.mark.parametrize("offset", [-120.0, 120.0])
async def test_a_skewed_clock(patient: Patient, offset: float) -> None:
    moved = MovedClock()
    moved.offset = offset

    found = await patient.examined(moved)

    check(found, "clock", "CLOCK_SKEW")
    assert ("ahead" if offset > 0 else "behind") in found.findings[-3].detail
    assert found.findings[-2].result == "ok"


async def test_a_master_whose_clock_is_not_its_buss(scene: Scene) -> None:
    moved = MovedClock()
    moved.offset = -120.0

    found = await of_master.examine(MasterSettings(data_dir=scene.master.directory), moved, MAX_SKEW)

    check(found, "clock", "CLOCK_SKEW")


async def test_a_protocol_that_the_master_does_not_speak(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = Versions(fedbus="9", protocol_min=8, protocol_max=9)
    # The master is in this process: the doctor alone is of another build.
    monkeypatch.setattr(
        of_worker,
        "protocol",
        SimpleNamespace(ours=lambda _: another, older=protocol.older, spoken=protocol.spoken),
    )

    check(await patient.examined(), "version", "PROTOCOL_UNSUPPORTED")


async def test_a_bus_that_is_too_old(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedbus.core.diagnosis.BUS_MINIMUM", (99, 0))

    found = await of_master.examine(MasterSettings(data_dir=scene.master.directory), Clock(), MAX_SKEW)

    check(found, "version", "BUS_VERSION_UNSUPPORTED")


async def test_too_little_room_on_the_disk(patient: Patient) -> None:
    check(await patient.examined(min_free_mb=10**9), "disk", "DISK_LOW")


async def test_the_disk_is_looked_at_even_if_the_bus_cannot_be_reached(patient: Patient) -> None:
    patient.change(server="bus.invalid")

    found = await patient.examined(min_free_mb=10**9)

    assert found.failed == "name resolution"
    assert found.findings[-1].code == "DISK_LOW"


# before a join


async def planned(plan: Plan, directory: Path, clock_: Clock | None = None) -> Diagnosis:
    settings = WorkerSettings(data_dir=directory / "not-there-yet")
    return await of_worker.examine_join(plan, settings, clock_ or Clock(), MAX_SKEW)


async def token(scene: Scene, **wanted: object) -> dict[str, Any]:
    return await scene.master.post("/v1/fed/join_token", wanted)


async def test_a_good_token_passes_and_is_not_used_up(scene: Scene, tmp_path: Path) -> None:
    made = await token(scene)

    found = [await planned(Plan(made["join_token"], name), tmp_path) for name in ("", "new", "new")]

    assert [f.exit_code for f in found] == [0, 0, 0], found
    listed = (await scene.master.get("/v1/fed/join_tokens"))["tokens"]
    assert [t["uses"] for t in listed if t["id"] == made["id"]] == [0]
    assert not (tmp_path / "not-there-yet").exists()


async def test_a_garbled_token(scene: Scene, tmp_path: Path) -> None:
    text = (await token(scene))["join_token"]

    check(await planned(Plan(text[: len(text) // 2]), tmp_path), "join token", "TOKEN_GARBLED")


async def test_a_token_that_expired(scene: Scene, tmp_path: Path) -> None:
    codes = []
    for seconds_ago in (100, 1000):  # the bus still lets the first one in, and the master explains
        scene.master.clock.offset = -60.0 - seconds_ago
        text = (await token(scene, duration_minutes=1))["join_token"]
        scene.master.clock.offset = 0.0
        found = await planned(Plan(text), tmp_path)
        codes.append((found.failed, found.code, found.exit_code))

    assert codes == [("credential", "TOKEN_EXPIRED", 21), ("join token", "TOKEN_EXPIRED", 21)]


async def test_a_revoked_token(scene: Scene, tmp_path: Path) -> None:
    made = await token(scene)
    await scene.master.call("DELETE", f"/v1/fed/join_token/{made['id']}")

    check(await planned(Plan(made["join_token"]), tmp_path), "credential", "TOKEN_REVOKED")


async def test_a_token_for_another_cluster_and_a_name_that_is_taken(scene: Scene, tmp_path: Path) -> None:
    bound, free = await token(scene, cluster_name="somebody"), await token(scene)

    check(await planned(Plan(bound["join_token"], "else"), tmp_path), "credential", "TOKEN_WRONG_CLUSTER")
    check(await planned(Plan(free["join_token"], "shop"), tmp_path), "credential", "CLUSTER_NAME_TAKEN")


async def test_a_token_whose_master_is_not_there(scene: Scene, tmp_path: Path) -> None:
    text = (await token(scene))["join_token"]
    async with plaintext_impostor() as (port, _):
        pass

    elsewhere = msgspec.structs.replace(Plan(text).server, server="127.0.0.1", port=port)

    check(await planned(Plan(text, server=elsewhere), tmp_path), "TCP", "TCP_REFUSED")


# the same words everywhere


async def test_status_log_and_doctor_give_the_same_code_and_remedy(scene: Scene) -> None:
    directory = scene.worker.directory
    async with bus_down(scene.master):

        async def told() -> dict[str, str] | None:
            error = (await scene.worker.get("/v1/fed/member"))["connection_error"]
            return error if error and error["code"] == "TCP_REFUSED" else None

        status: dict[str, str] = await eventually(told)
        found = await of_worker.examine(WorkerSettings(data_dir=directory), Clock(), MAX_SKEW)
        master = await of_master.examine(MasterSettings(data_dir=scene.master.directory), Clock(), MAX_SKEW)

        async def tried_again() -> dict[str, str] | None:
            reason = (await scene.master.call("GET", "/readyz"))[1]["reasons"].get("bus")
            return reason if reason and reason["code"] == "TCP_REFUSED" else None

        answer: dict[str, str] = await eventually(tried_again)
        lines = [json.loads(line) for line in scene.worker.log().splitlines() if "bus_session_ended" in line]

    remedy = TABLE["TCP_REFUSED"].remedy
    assert (found.code, found.remedy) == (status["code"], status["remedy"]) == ("TCP_REFUSED", remedy)
    assert (lines[-1]["code"], lines[-1]["remedy"], lines[-1]["step"]) == ("TCP_REFUSED", remedy, "TCP")
    assert (master.code, answer["code"], answer["remedy"]) == ("TCP_REFUSED", "TCP_REFUSED", remedy)

    async def over() -> bool:
        healed = await of_worker.examine(WorkerSettings(data_dir=directory), Clock(), MAX_SKEW)
        told = (await scene.worker.get("/v1/fed/member"))["connection_error"]
        again = await of_master.examine(MasterSettings(data_dir=scene.master.directory), Clock(), MAX_SKEW)
        return healed.exit_code == 0 and told is None and again.exit_code == 0

    await eventually(over)


async def test_the_command_says_it_in_a_table_in_json_and_by_its_exit_code(patient: Patient) -> None:
    patient.change(server="bus.invalid")

    code, shown, _ = await doctor("--data-dir", str(patient.directory), "-o", "json")
    found = json.loads(shown)
    also, table, said = await doctor("--data-dir", str(patient.directory))

    assert (code, also) == (22, 22)
    assert (found["failed"], found["code"], found["exit_code"]) == ("name resolution", "NAME_UNRESOLVED", 22)
    assert "not tested" in table
    assert TABLE["NAME_UNRESOLVED"].remedy in said
    assert "eyJ" not in shown + table + said


async def test_the_command_knows_a_master_by_its_directory(scene: Scene) -> None:
    code, shown, said = await doctor("--data-dir", str(scene.master.directory), "-o", "json")

    assert (code, json.loads(shown)["role"]) == (0, "master"), said


async def doctor(*arguments: str) -> tuple[int, str, str]:
    """Run the command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", "doctor", *arguments, stdout=-1, stderr=-1,
        env={k: v for k, v in os.environ.items() if not k.startswith("FEDBUS_")},
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_what_the_doctor_leaves_on_the_bus_is_nothing(scene: Scene, patient: Patient) -> None:
    await patient.examined()

    async with intruding(scene.master.directory) as intruder:
        names = (await intruder.api("$JS.API.CONSUMER.NAMES.POLICY"))["consumers"]
    assert not [name for name in names if "doctor" in name]
