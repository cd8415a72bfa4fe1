"""A federation on a bus of somebody else's operator, who lends it a signing key and a system user."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fedbus import config
from fedbus.bus import lent as lent_bus
from fedbus.bus.session import Endpoint, connect
from fedbus.errors import FedbusError
from fedbus.master.operator_files import lent
from fedbus.model.subjects import rpc
from fedbus.pki import files, jwt
from fedbus.pki.nkeys import KeyType
from fedbus.pki.roles import ANSWERED, SHARES, Scope
from tests.support.daemons import Daemon, apply, assessed_by, eventually, group, joined, promoted, synced
from tests.support.operator_team import OperatorTeam, new


@pytest.fixture
def team(tmp_path: Path) -> OperatorTeam:
    return OperatorTeam(tmp_path / "theirs")


async def test_it_is_promoted_serves_survives_a_restart_and_leaves_nothing_behind(
    tmp_path: Path, team: OperatorTeam
) -> None:
    async with team.serving() as server, Daemon("worker", tmp_path / "a") as worker:
        async with Daemon("master", tmp_path / "master", **team.lend(server.url)) as master:
            made = await promoted(master)
            assert (made["server"], made["port"]) == ("127.0.0.1", server.port)
            await joined(master, worker, "a")
            await apply(master, group("before"))
            await synced(master, 1)
            await assessed_by(master, "a")
            assert len(team.accounts()) == 2
            await master.stop()
        async with Daemon("master", tmp_path / "master", **team.lend(server.url)) as master:
            await synced(master, 1)
            await apply(master, group("after"))
            await synced(master, 1)
            await assessed_by(master, "a")
            names = {g["name"] for g in (await worker.get("/v1/group?scope=fed"))["groups"]}
            assert names == {"fed.before", "fed.after"}
            assert await team.streams(server.url) > 0

            await master.post("/v1/fed/demote")

            assert await team.streams(server.url) == 0
            assert [claims["limits"]["conn"] for claims in team.accounts().values()] == [0, 0]
            assert not (tmp_path / "master" / "keyring").exists()


@pytest.mark.parametrize("until", ["keyring", "federation.json", "accounts"])
async def test_a_master_killed_while_it_is_promoted_serves_after_a_start_or_can_be_promoted(
    tmp_path: Path, team: OperatorTeam, until: str
) -> None:
    directory = tmp_path / "master"
    async with team.serving() as server:
        async with Daemon("master", directory, **team.lend(server.url)) as master:

            async def far_enough() -> bool:
                return bool(team.accounts()) if until == "accounts" else (directory / until).exists()

            async def ask() -> None:
                with contextlib.suppress(aiohttp.ClientError):  # it is killed before it answers, or after
                    await master.call("POST", "/v1/fed/promote", {"name": "hub"})

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ask())
                await eventually(far_enough)
                await master.kill()
        async with Daemon("master", directory, **team.lend(server.url)) as master:
            status, answer = await master.call("POST", "/v1/fed/promote", {"name": "hub"})
            assert status == 200 or answer["reason"] == "ALREADY_PROMOTED", answer

            async def ready() -> bool:
                return (await master.call("GET", "/readyz"))[0] == 200

            await eventually(ready, 30.0)
            await apply(master, group("after"))
            opened = [claims for claims in team.accounts().values() if claims["limits"]["conn"]]
            assert len(opened) == 2


async def test_a_key_the_operator_does_not_trust_is_said_and_nothing_remains_until_it_is(
    tmp_path: Path, team: OperatorTeam
) -> None:
    async with team.serving(trusted=False) as server:
        port = server.port
        async with Daemon("master", tmp_path / "master", **team.lend(server.url)) as master:
            status, answer = await master.call("POST", "/v1/fed/promote", {"name": "hub"})
            assert (status, answer["reason"]) == (403, "OPERATOR_KEY_UNTRUSTED"), answer
            assert team.lent_key.public_key in answer["detail"]
            assert not (tmp_path / "master" / "keyring").exists()
            assert not (tmp_path / "master" / "federation.json").exists()
            assert team.accounts() == {}
            await server.stop()
            async with team.serving(port=port):
                await promoted(master)


async def test_a_bus_of_its_own_that_cannot_know_the_federation_yet_is_refused_at_once(
    tmp_path: Path, team: OperatorTeam
) -> None:
    async with (
        team.serving() as server,
        Daemon("master", tmp_path / "master", bus_urls=server.url) as master,
    ):
        status, answer = await master.call("POST", "/v1/fed/promote", {"name": "hub"})
        assert answer["reason"] == "BUS_OPERATOR_NEEDED", (status, answer)


async def test_another_account_of_the_operator_gets_nothing_of_the_federation(
    tmp_path: Path, team: OperatorTeam
) -> None:
    everything = Scope(role="master", publish=(">",), subscribe=(">",))
    async with (
        team.serving() as server,
        Daemon("master", tmp_path / "master", **team.lend(server.url)) as master,
        Daemon("worker", tmp_path / "a") as worker,
    ):
        await promoted(master)
        theirs = {"streams" in claims["limits"]: key for key, claims in team.accounts().items()}
        ours, members = theirs[True], theirs[False]
        thief, scope = new(KeyType.ACCOUNT), new(KeyType.ACCOUNT)
        stolen = team.account(
            thief, scope, everything, imports=SHARES, imports_from=jwt.Exporter(ours, scope)
        )
        asking = new(KeyType.ACCOUNT)
        bossy = team.account(
            asking, scope, everything, imports=ANSWERED, imports_from=jwt.Exporter(members, scope)
        )
        cluster = (await joined(master, worker, "a"))["id"]
        async with team.administration(server.url) as administration:
            for account in (stolen, bossy):
                await administration.request("$SYS.REQ.CLAIMS.UPDATE", account.encode())
        endpoint = Endpoint((server.url,), team.authority.chain_pem)
        tried = {thief: ("fed.v1.up.x.report", "fed.v1.join.x"), asking: (rpc(cluster),)}
        for account_keys, called in tried.items():
            user = team.user("thief", scope, account_keys)
            async with connect("thief", endpoint, user) as connection:
                for subject in called:
                    with pytest.raises(FedbusError) as caught:
                        await connection.request(subject, b"{}", timeout=2.0)
                    assert caught.value.code == "BUS_NO_RESPONDERS"


Spoil = Callable[[OperatorTeam], object]


def _other_ca(team: OperatorTeam) -> None:
    files.write(team.directory / "ca.pem", OperatorTeam(team.directory / "x").authority.chain_pem)


def _strangers_credentials(team: OperatorTeam) -> None:
    OperatorTeam(team.directory / "x").user("fedbus", new(KeyType.ACCOUNT)).save(
        team.directory / "system.creds"
    )


@pytest.mark.parametrize(
    ("spoil", "server", "code"),
    [
        (lambda t: (t.directory / "operator.seed").unlink(), {}, "FILES_UNREADABLE"),
        (lambda t: files.write(t.directory / "operator.seed", "SO"), {}, "FILES_DAMAGED"),
        (lambda t: files.write(t.directory / "operator.seed", t.scope.seed), {}, "FILES_DAMAGED"),
        (lambda t: files.write(t.directory / "system.creds", "nothing"), {}, "FILES_DAMAGED"),
        (lambda t: files.write(t.directory / "ca.pem", t.authority.chain_pem * 2), {}, "FILES_DAMAGED"),
        (_other_ca, {}, "TLS_UNTRUSTED"),
        (_strangers_credentials, {}, "BUS_UNAUTHORIZED"),
        (lambda _: None, {"trusted": False}, "OPERATOR_KEY_UNTRUSTED"),
        (lambda _: None, {"max_payload": 512 * 1024}, "BUS_LIMITED"),
    ],
)
async def test_each_thing_that_is_wrong_has_its_own_code(
    tmp_path: Path, team: OperatorTeam, spoil: Spoil, server: dict[str, Any], code: str
) -> None:
    async with team.serving(**server) as running:
        spoil(team)
        assert await _refusal(tmp_path, team, running.url) == code
    assert team.accounts() == {}


async def test_a_server_that_is_away_is_no_hindrance_while_another_answers(
    tmp_path: Path, team: OperatorTeam
) -> None:
    async with team.serving() as server:
        assert await _refusal(tmp_path, team, f"tls://127.0.0.1:9,{server.url}") == ""
        url = server.url
    assert await _refusal(tmp_path, team, url) == "TCP_REFUSED"


async def test_more_replicas_than_the_bus_has_servers_are_refused_before_anything_is_made(
    tmp_path: Path, team: OperatorTeam
) -> None:
    async with team.serving() as server:
        assert await _refusal(tmp_path, team, server.url, FEDBUS_BUS_REPLICAS="3") == "BUS_TOO_SMALL"


async def test_a_user_of_another_account_is_no_system_user(tmp_path: Path, team: OperatorTeam) -> None:
    other, scope = new(KeyType.ACCOUNT), new(KeyType.ACCOUNT)
    rights = Scope(role="master", publish=(">",), subscribe=(">",))
    async with team.serving() as server:
        async with team.administration(server.url) as administration:
            await administration.request(
                "$SYS.REQ.CLAIMS.UPDATE", team.account(other, scope, rights).encode()
            )
        team.user("fedbus", scope, other).save(team.directory / "system.creds")
        assert await _refusal(tmp_path, team, server.url) == "SYSTEM_ACCOUNT_NEEDED"


async def _refusal(tmp_path: Path, team: OperatorTeam, urls: str, **more: str) -> str:
    """Return the code with which a promote there would be refused; empty if it would not be."""
    environ = {f"FEDBUS_{name.upper()}": str(value) for name, value in team.lend(urls).items()} | more
    settings = config.load("master", None, environ, {"data_dir": tmp_path})
    try:
        operator = lent(settings)
        assert operator is not None
        endpoint = Endpoint(settings.bus_urls, operator.ca_pem)
        await lent_bus.check(endpoint, operator, settings.bus_replicas)
    except FedbusError as error:
        return error.code if error.remedy else f"{error.code} without a remedy"
    return ""
