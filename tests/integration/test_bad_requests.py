"""Requests that must be refused, and what must be untouched after: REST of both daemons."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from fedbus.core.connectivity import TABLE, Step
from fedbus.model.policy import FED_RULE_IDS, KINDS
from fedbus.web.app import MAX_BODY
from fedbus.web.policy_reads import ADMISSION_STATE, PATHS, SYSTEM_CONFIG, WEBHOOK
from tests.support.daemons import Daemon, apply, group, joined, promoted, synced
from tests.support.intruder import Intruder, intruding
from tests.support.outages import bus_down

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_bad_requests")]


class Scene(NamedTuple):
    master: Daemon
    worker: Daemon


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("requests")
    async with (
        Daemon("master", base / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", base / "worker") as worker,
    ):
        await promoted(master)
        await joined(master, worker, "worker")
        await apply(master, group("standing"))
        await synced(master, 1)
        yield Scene(master, worker)


class Everything(NamedTuple):
    """What a refused request must leave as it is."""

    groups: list[Any]
    version: int
    messages: int


async def everything(master: Daemon, intruder: Intruder) -> Everything:
    """Return the master's policy, the federation's version, and where the stream ends."""
    listed = await master.get("/v1/group?scope=fed")
    summary = await master.get("/v1/fed/summary")
    return Everything(listed["groups"], summary["federation"]["head_version"], await intruder.last_seq())


async def send(daemon: Daemon, *documents: dict[str, Any], key: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"Idempotency-Key": key} if key else {}
    return await daemon.call("POST", "/v1/fed/apply", {"documents": list(documents)}, headers=headers)


async def test_a_stale_revision_is_a_conflict_that_names_the_current_one(scene: Scene) -> None:
    await apply(scene.master, group("stale", "1"))
    await apply(scene.master, group("stale", "2"))
    async with intruding(scene.master.directory) as intruder:
        before = await everything(scene.master, intruder)

        status, answer = await send(scene.master, group("beside"), group("stale", "3") | {"revision": 1})

        assert (status, answer["reason"]) == (409, "REVISION_STALE")
        assert answer["current_revision"] == 2
        assert await everything(scene.master, intruder) == before
    status, answer = await send(scene.master, group("stale", "3") | {"revision": 2})
    assert (status, answer["changes"][0]["revision"]) == (200, 3)


@pytest.mark.parametrize("revision", [1, 7])
async def test_a_revision_expected_of_what_does_not_exist_is_a_conflict(scene: Scene, revision: int) -> None:
    status, answer = await send(scene.master, group("never") | {"revision": revision})

    assert (status, answer["current_revision"]) == (409, 0)


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no fed prefix": (group("x") | {"spec": group("x")["spec"] | {"name": "web"}}, "name"),
    "unknown operator": (
        {"kind": "group", "spec": {"name": "fed.x", "criteria": [{"key": "image", "op": "~", "value": "x"}]}},
        "criteria[0].op",
    ),
    "unknown field": ({"kind": "group", "spec": {"name": "fed.x", "colour": "red"}}, "colour"),
    "wrong type": ({"kind": "group", "spec": {"name": "fed.x", "criteria": "all"}}, "criteria"),
    "missing field": ({"kind": "group", "spec": {"comment": "x"}}, "name"),
    "unknown kind": ({"kind": "spell", "spec": {}}, "kind"),
    "unknown attribute of a document": ({"kind": "group", "spec": {"name": "fed.x"}, "force": True}, ""),
    "dangling reference": (
        {
            "kind": "network_rule",
            "spec": {"from": "fed.nobody", "to": "fed.standing", "ports": "any", "action": "allow"},
        },
        "from",
    ),
    "nothing to delete": ({"kind": "group", "op": "delete", "spec": {"name": "fed.nobody"}}, "spec"),
    "registry with a password": (
        {
            "kind": "registry",
            "spec": {
                "name": "fed.r",
                "registry_type": "Docker Registry",
                "registry": "https://r.example/",
                "filters": ["*"],
                "password": "secret",
            },
        },
        "password",
    ),
}


@pytest.mark.parametrize("what", INVALID)
async def test_invalid_policy_names_the_field_and_nothing_of_its_changeset_applies(
    scene: Scene, what: str
) -> None:
    document, field = INVALID[what]
    async with intruding(scene.master.directory) as intruder:
        before = await everything(scene.master, intruder)

        status, answer = await send(scene.master, group("good"), group("standing", "changed"), document)

        assert status == 422, answer
        named = [(fault["document"], _last(fault["field"])) for fault in answer["errors"]]
        assert named == [(2, _last(field))]
        assert await everything(scene.master, intruder) == before


def _last(field: str) -> str:
    return field.rpartition("spec.")[2]


async def test_every_fault_of_a_request_is_named_at_once(scene: Scene) -> None:
    status, answer = await send(scene.master, *(document for document, _ in INVALID.values()))

    assert status == 422
    named = {fault["document"] for fault in answer["errors"]}
    assert len(named) > 5


@pytest.mark.parametrize("role", ["master", "worker"])
async def test_a_body_over_the_limit_is_refused_and_nothing_changes(scene: Scene, role: str) -> None:
    daemon = scene.master if role == "master" else scene.worker
    path = "/v1/fed/apply" if role == "master" else "/v1/fed/join"
    big = io.BytesIO(json.dumps({"documents": [group("big", "x" * MAX_BODY)]}).encode())

    status, answer = await daemon.call("POST", path, data=big, headers={"Content-Type": "application/json"})

    assert (status, answer["reason"]) == (413, "TOO_LARGE")
    assert (await scene.master.call("GET", "/v1/group/fed.big"))[0] == 404


def federated_writes() -> list[tuple[str, str, dict[str, Any] | None]]:
    """Return every way there is to write something federated: method, path and body."""
    writes: list[tuple[str, str, dict[str, Any] | None]] = []
    for kind, paths in PATHS.items():
        name = str(FED_RULE_IDS.start) if KINDS[kind].ordered else "fed.standing"
        config = {"id": int(name)} if name.isdecimal() else {"name": name, "group": name}
        item = paths.item_path.replace("{name}", name)
        if kind == "vulnerability_profile":
            item += "?scope=fed"  # there is one of that name in each scope
        writes += [(method, item, None) for method in ("PATCH", "PUT", "DELETE", "POST")]
        writes += [(method, paths.list_path, {"config": config}) for method in ("POST", "PUT")]
        writes += [(method, f"{paths.list_path}?scope=fed", {}) for method in ("POST", "PATCH", "DELETE")]
    for path in (ADMISSION_STATE, SYSTEM_CONFIG, WEBHOOK):
        writes += [(method, f"{path}?scope=fed", {"config": {}}) for method in ("POST", "PATCH")]
    writes += [(method, f"{WEBHOOK}/fed.hook", {}) for method in ("PATCH", "DELETE")]
    writes += [("POST", "/v1/fed/apply", {"documents": [group("mine")]}), ("POST", "/v1/fed/apply", None)]
    return writes


async def test_no_way_to_write_a_federated_object_is_open_on_a_worker(scene: Scene) -> None:
    before = await scene.worker.get("/v1/group?scope=fed")
    refused = {}

    for method, path, body in federated_writes():
        status, answer = await scene.worker.call(method, path, body)
        refused[method, path, json.dumps(body)] = (status, answer["reason"], answer["code"])

    open_ = {k: v for k, v in refused.items() if v != (403, "FEDERATED_READ_ONLY", 46)}
    for (method, path, sent), answered in open_.items():
        # What nobody offers anywhere is no way in either.
        assert answered[:2] == (405, "METHOD_NOT_ALLOWED"), (method, path, open_)
        assert (await scene.master.call(method, path, json.loads(sent)))[0] == 405
    assert len(refused) - len(open_) > 35
    assert await scene.worker.get("/v1/group?scope=fed") == before


async def test_a_write_with_the_bus_down_changes_nothing_and_works_when_it_is_back(scene: Scene) -> None:
    async with intruding(scene.master.directory) as intruder:
        before = await everything(scene.master, intruder)

    async with bus_down(scene.master):
        status, answer = await send(scene.master, group("down"))
        assert status == 503
        assert TABLE[answer["reason"]].step is Step.TCP
        assert answer["remedy"]
        assert (await scene.master.call("GET", "/v1/group/fed.down"))[0] == 404
        token, _ = await scene.master.call("POST", "/v1/fed/join_token", {})
        assert token == 503

    async with intruding(scene.master.directory) as intruder:
        assert await everything(scene.master, intruder) == before
    await apply(scene.master, group("down", "up again"))
    await synced(scene.master, 1)
    assert (await scene.worker.get("/v1/group/fed.down"))["group"]["comment"] == "up again"


async def test_the_same_request_with_the_same_key_is_done_once(scene: Scene) -> None:
    first = await send(scene.master, group("once", "1"), key="key-once")
    await apply(scene.master, group("once", "2"))

    again = await send(scene.master, group("once", "1"), key="key-once")

    assert first[0] == 200
    assert again == first
    assert (await scene.master.get("/v1/group/fed.once"))["group"]["comment"] == "2"


async def test_many_requests_with_the_same_key_at_once_get_one_answer(scene: Scene) -> None:
    answers = await asyncio.gather(
        *(send(scene.master, group("flood", "1"), key="key-flood") for _ in range(8))
    )

    assert {status for status, _ in answers} == {200}
    assert {answer["changeset"] for _, answer in answers} == {answers[0][1]["changeset"]}


async def test_a_key_used_for_another_request_is_refused(scene: Scene) -> None:
    await send(scene.master, group("keyed", "1"), key="key-other")

    status, answer = await send(scene.master, group("keyed", "2"), key="key-other")

    assert (status, answer["reason"]) == (422, "KEY_REUSED")
    assert (await scene.master.get("/v1/group/fed.keyed"))["group"]["comment"] == "1"


async def test_a_refused_request_does_not_use_its_key_up(scene: Scene) -> None:
    bad = {"kind": "group", "spec": {"name": "web"}}
    assert (await send(scene.master, bad, key="key-free"))[0] == 422

    assert (await send(scene.master, group("free"), key="key-free"))[0] == 200


async def test_a_key_of_a_write_that_never_got_in_does_it_when_asked_again(scene: Scene) -> None:
    async with bus_down(scene.master):
        status, _ = await send(scene.master, group("retried", "1"), key="key-retried")
        assert status == 503
    await apply(scene.master, group("retried", "2"))
    await apply(scene.master, group("retried", "3"))

    status, answer = await send(scene.master, group("retried", "1"), key="key-retried")

    assert (status, answer["changes"][0]["revision"]) == (200, 3)
    assert (await scene.master.get("/v1/group/fed.retried"))["group"]["comment"] == "1"


async def test_a_key_is_as_long_as_a_key_may_be(scene: Scene) -> None:
    assert (await send(scene.master, group("long"), key="k" * 129))[0] == 422


@pytest.mark.parametrize("role", ["master", "worker"])
async def test_unknown_configuration_keys_are_all_listed_and_nothing_starts(
    role: str, tmp_path: Path
) -> None:
    file = tmp_path / "fedbus.toml"
    file.write_text('rest_prot = 1\nbus_hots = "x"\nrest_port = "many"\n')
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", role, "--config", str(file), "--data-dir", str(tmp_path / "data"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaint = await process.communicate()

    assert process.returncode == 2
    for name in (b"rest_prot", b"bus_hots", b"rest_port"):
        assert name in complaint
    assert not (tmp_path / "data").exists()


async def test_a_write_that_neuvector_does_not_have_is_not_offered(scene: Scene) -> None:
    for method, path in (("PUT", "/v1/group/fed.standing"), ("DELETE", "/v1/process_profile/fed.standing")):
        status, answer = await scene.master.call(method, path)

        assert (status, answer["reason"]) == (405, "METHOD_NOT_ALLOWED")
    assert (await scene.master.call("GET", "/v1/group/fed.standing"))[0] == 200
