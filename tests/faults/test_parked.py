"""A worker of an older build gets policy it cannot read, is killed, and is upgraded."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.doctored import OtherBuild


def webhook(url: str) -> dict[str, Any]:
    spec = {"name": "fed.hook", "url": url, "type": "Slack", "enable": True}
    return {"kind": "webhook", "spec": spec}


async def parked(worker: Daemon) -> dict[str, int]:
    """Return what is parked: the revision by name."""
    return {e["name"]: e["revision"] for e in (await worker.get("/v1/fed/parked"))["events"]}


async def ready(master: Daemon) -> None:
    async def check() -> bool:
        return (await master.call("GET", "/readyz"))[0] == 200

    await eventually(check)


async def groups(worker: Daemon) -> dict[str, str]:
    found = (await worker.get("/v1/group?scope=fed"))["groups"]
    return {one["name"]: one["comment"] for one in found}


async def test_what_an_older_worker_cannot_read_waits_through_kills_until_it_is_upgraded(
    tmp_path: Path,
) -> None:
    worker = OtherBuild("worker", tmp_path / "worker")
    async with Daemon("master", tmp_path / "master") as master, worker:
        await promoted(master)
        await joined(master, worker, "shop")
        await apply(master, group("web", "one"), group("gone", "one"))
        await synced(master, 1)
        await worker.become(unknown=("group",))
        assert (await parked(worker), await groups(worker)) == ({"fed.gone": 1, "fed.web": 1}, {})

        await apply(master, group("web", "two"), webhook("https://example.com/1"))
        (row,) = await synced(master, 1)
        assert row["parked"] == 2
        await worker.kill()
        await apply(
            master,
            group("late", "one"),
            {"kind": "group", "op": "delete", "spec": {"name": "fed.gone"}},
        )
        await worker.start()
        await synced(master, 1)
        assert await parked(worker) == {"fed.web": 2, "fed.late": 1}

        worker.unknown = ()
        await worker.kill()
        await worker.start()

        assert await parked(worker) == {}
        assert await groups(worker) == {"fed.web": "two", "fed.late": "one"}

        async def told() -> list[dict[str, Any]]:
            # What was said before the kill was synced too: wait for the build that came after it.
            return [row for row in await synced(master, 1) if row["parked"] == 0]

        (row,) = await eventually(told)
        assert row["quarantined"] == 0


async def test_a_store_lost_while_events_are_parked_is_rebuilt_by_the_upgraded_build(tmp_path: Path) -> None:
    worker = OtherBuild("worker", tmp_path / "worker")
    async with Daemon("master", tmp_path / "master") as master, worker:
        await promoted(master)
        await joined(master, worker, "shop")
        await apply(master, group("web", "one"))
        await synced(master, 1)
        await worker.stop()
        await apply(master, group("web", "two"))

        # Not one type of policy is known to it: at its start it parks what it holds, then what comes.
        worker.unknown = ("types",)
        await worker.start()
        await synced(master, 1)
        assert await parked(worker) == {"fed.web": 2}

        (worker.directory / "store.db").rename(worker.directory / "old.db")
        await worker.become()  # upgraded, and its store lost: everything is delivered again
        await synced(master, 1)
        assert await groups(worker) == {"fed.web": "two"}
        assert await parked(worker) == {}


@pytest.mark.parametrize("lost", [None, "store.db", "bus"])
async def test_a_master_of_an_older_build_loses_nothing_that_a_newer_one_wrote(
    tmp_path: Path, lost: str | None
) -> None:
    master = OtherBuild("master", tmp_path / "master")
    async with master, Daemon("worker", tmp_path / "worker") as worker:
        await promoted(master)
        await joined(master, worker, "shop")
        await apply(master, group("web", "one"))
        await synced(master, 1)
        await master.stop()
        if lost is not None:
            for file in master.directory.glob(f"{lost}*"):
                file.rename(tmp_path / file.name)

        master.unknown = ("group",)
        await master.start()
        await ready(master)
        await apply(master, webhook("https://example.com/1"))
        await synced(master, 1)
        assert await groups(worker) == {"fed.web": "one"}

        await master.become()
        await ready(master)
        await apply(master, group("web", "two"))
        await synced(master, 1)

        async def changed() -> bool:
            return await groups(worker) == {"fed.web": "two"}

        await eventually(changed)
        assert (await master.get("/v1/group/fed.web?scope=fed"))["group"]["comment"] == "two"
