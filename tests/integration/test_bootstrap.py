"""Masters and workers that are what their configuration says, at every start (users' wishes 2, 4 and 6)."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.daemons import Daemon, apply, eventually, group, promoted, synced


async def new_token(master: Daemon, path: Path, **asked: object) -> Path:
    path.write_text((await master.post("/v1/fed/join_token", asked))["join_token"])
    return path


async def wrong(daemon: Daemon, code: str) -> dict[str, Any]:
    """Wait until a daemon says that it is not what it should be; return what it says."""

    async def check() -> dict[str, Any] | None:
        said = (await daemon.get("/v1/fed/member"))["bootstrap"]
        return said if said and said["code"] == code else None

    found: dict[str, Any] = await eventually(check)
    return found


async def rows(master: Daemon, name: str) -> list[dict[str, Any]]:
    return [row for row in (await master.get("/v1/fed/summary"))["clusters"] if row["name"] == name]


async def test_a_master_promotes_itself_once_and_takes_over_what_changes_while_nobody_is_in_it(
    tmp_path: Path,
) -> None:
    async with Daemon("master", tmp_path / "master", promote_name="hub") as master:

        async def federation() -> dict[str, Any] | None:
            member = await master.get("/v1/fed/member")
            return member.get("master_cluster")

        first = await eventually(federation)
        password = master.directory / "initial-password"

        async def written() -> bool:
            return password.exists()

        await eventually(written)
        assert password.stat().st_mode & 0o077 == 0
        credentials = {"password": {"username": "admin", "password": password.read_text().strip()}}
        assert (await master.call("POST", "/v1/auth", credentials))[0] == 200

        await master.stop()
        await master.start()
        assert await eventually(federation) == first  # nothing happened

        await master.stop()
        master.settings["promote_name"] = "head-office"
        await master.start()

        async def renamed() -> bool:
            found = await federation()
            return found is not None and found == first | {"name": "head-office"}

        await eventually(renamed)
        await eventually(lambda: _token(master))  # its bus is back

        async with Daemon(
            "worker",
            tmp_path / "worker",
            join_name="shop",
            join_token_file=await new_token(master, tmp_path / "token"),
            join_labels="env=prod",
        ):
            (row,) = await synced(master, 1)
            assert row["labels"] == {"env": "prod"}
            await master.stop()
            master.settings["promote_name"] = "elsewhere"
            await master.start()
            said = await wrong(master, "FEDERATION_IN_USE")
            assert "promote_name 'head-office' to 'elsewhere'" in said["message"]
            await synced(master, 1)  # and it goes on as what it is


async def test_a_member_starts_again_as_the_same_whatever_became_of_its_token(tmp_path: Path) -> None:
    async with Daemon("master", tmp_path / "master") as master:
        await promoted(master)
        await apply(master, group("web"))
        file = await new_token(master, tmp_path / "token")
        async with Daemon("worker", tmp_path / "w", join_name="shop", join_token_file=file) as worker:
            (before,) = await synced(master, 1)

            await worker.stop()
            await worker.start()
            assert (await synced(master, 1))[0]["id"] == before["id"]
            assert (await worker.get("/v1/fed/member"))["bootstrap"] is None

            await worker.stop()
            file.unlink()
            (worker.directory / "store.db").unlink()
            await worker.start()
            assert (await synced(master, 1))[0]["id"] == before["id"]
            assert (await worker.call("GET", "/v1/group/fed.web?scope=fed"))[0] == 200

            await worker.stop()
            worker.settings["join_name"] = "other"
            await worker.start()
            said = await wrong(worker, "JOIN_NAME_DIFFERS")
            assert "'other'" in said["message"]
            assert "'shop'" in said["message"]
            assert (await synced(master, 1))[0]["name"] == "shop"


async def test_a_cluster_that_was_removed_says_that_it_needs_a_new_token_and_takes_it_at_once(
    tmp_path: Path,
) -> None:
    async with Daemon("master", tmp_path / "master") as master:
        await promoted(master)
        await apply(master, group("web"))
        file = await new_token(master, tmp_path / "token")
        async with Daemon("worker", tmp_path / "w", join_name="shop", join_token_file=file) as worker:
            (before,) = await synced(master, 1)
            await worker.stop()
            assert (await master.call("DELETE", f"/v1/fed/cluster/{before['id']}"))[0] == 200
            await worker.start()

            said = await wrong(worker, "NEW_TOKEN_NEEDED")
            assert "was removed" in said["message"]
            assert "new token" in said["remedy"]
            await worker.stop()
            await worker.start()
            await wrong(worker, "NEW_TOKEN_NEEDED")

            await new_token(master, file)

            (after,) = await synced(master, 1)
            assert after["id"] != before["id"]
            assert (await worker.get("/v1/fed/member"))["bootstrap"] is None


async def test_a_cluster_that_lost_its_data_comes_back_under_its_id_and_the_old_copy_is_cut(
    tmp_path: Path,
) -> None:
    async with Daemon("master", tmp_path / "master") as master:
        await promoted(master)
        await apply(master, group("web"))
        file = await new_token(master, tmp_path / "token")
        settings = {"join_name": "shop", "join_token_file": file, "cluster_uid": "4711"}
        async with (
            Daemon("worker", tmp_path / "old", **settings) as old,
            Daemon("worker", tmp_path / "new", **settings) as new,
        ):
            (before,) = await synced(master, 1)
            await wrong(new, "TOKEN_USED")
            await new_token(master, file)  # for anybody: it is not enough to say whose uid one has
            await wrong(new, "CLUSTER_NAME_TAKEN")
            await new_token(master, file, cluster_name="shop")

            async def member() -> bool:
                return bool((await new.get("/v1/fed/member"))["fed_role"] == "joint")

            await eventually(member)
            (after,) = await synced(master, 1)

            assert after["id"] == before["id"]
            assert len(await rows(master, "shop")) == 1

            async def cut() -> bool:
                return bool((await old.get("/v1/fed/member"))["master_cluster"]["status"] == "disconnected")

            await eventually(cut)
            await apply(master, group("late"))
            await synced(master, 1)
            assert (await new.call("GET", "/v1/group/fed.late?scope=fed"))[0] == 200
            assert (await old.call("GET", "/v1/group/fed.late?scope=fed"))[0] == 404


async def test_with_its_keys_left_a_new_token_brings_back_the_same_cluster(tmp_path: Path) -> None:
    async with Daemon("master", tmp_path / "master") as master:
        await promoted(master)
        file = await new_token(master, tmp_path / "token")
        async with Daemon("worker", tmp_path / "w", join_name="shop", join_token_file=file) as worker:
            (before,) = await synced(master, 1)
            await worker.stop()
            (worker.directory / "membership" / "membership.json").unlink()
            await new_token(master, file)
            await worker.start()

            async def member() -> bool:
                return bool((await worker.get("/v1/fed/member"))["fed_role"] == "joint")

            await eventually(member)
            assert (await synced(master, 1))[0]["id"] == before["id"]
            assert len(await rows(master, "shop")) == 1


async def test_joining_again_with_the_same_token_does_nothing(tmp_path: Path) -> None:
    async with (
        Daemon("master", tmp_path / "master") as master,
        Daemon("worker", tmp_path / "worker") as worker,
    ):
        await promoted(master)
        token = (await master.post("/v1/fed/join_token"))["join_token"]
        first = await worker.post("/v1/fed/join", {"name": "shop", "join_token": token})
        again = await worker.post("/v1/fed/join", {"name": "shop", "join_token": token})

        assert again == {key: value for key, value in first.items() if key != "admin"}
        other = await worker.call("POST", "/v1/fed/join", {"name": "other", "join_token": token})
        assert other[0] == 409


async def test_neuvectors_fedinitcfg_sets_up_both(tmp_path: Path) -> None:
    primary, managed = tmp_path / "primary.yaml", tmp_path / "managed.yaml"
    primary.write_text("Cluster_Name: hub\nPrimary_Rest_Info: {Server: 127.0.0.1}\nUse_Proxy: ''\n")
    async with Daemon("master", tmp_path / "master", fedinitcfg=primary) as master:
        made = await eventually(lambda: _token(master))
        managed.write_text(
            f"Cluster_Name: shop\nJoin_Token: {made}\nPrimary_Rest_Info: {{Server: 127.0.0.1}}\n"
            "Managed_Rest_Info: {Server: shop.example.com, Port: 10443}\n"
        )
        async with Daemon("worker", tmp_path / "worker", fedinitcfg=managed):
            (row,) = await synced(master, 1)
            assert row["rest_info"] == {"server": "shop.example.com", "port": 10443}


async def _token(master: Daemon) -> str | None:
    status, answer = await master.call("POST", "/v1/fed/join_token", {})
    return str(answer["join_token"]) if status in (200, 201) else None


async def checked(*arguments: str, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", "config", "check", *arguments,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return await process.wait(), out.decode(), err.decode()


async def test_a_configuration_is_checked_without_starting_anything(tmp_path: Path) -> None:
    file = tmp_path / "fedbus.toml"
    file.write_text('data_dir = "/d"\nrest_prot = 1\nrest_port = "x"\n')

    code, _, err = await checked("worker", "--config", str(file))

    assert code == 2
    assert "rest_prot: there is no such setting; did you mean rest_port?" in err
    assert "rest_port: Expected `int`" in err
    file.write_text('data_dir = "/d"\n')
    code, out, _ = await checked("worker", "--config", str(file), FEDBUS_JOIN_NAME="shop")
    assert code == 0
    line = {words[0]: words[1:] for words in (line.split() for line in out.splitlines())}
    assert line["join_name"] == ["shop", "FEDBUS_JOIN_NAME"]
    assert line["data_dir"] == ["/d", f"{file}:", "data_dir"]
    assert not Path("/d").exists()
