"""What both daemons say of their REST API, and fedbus of its bus: complete, and without dead references."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from fedbus import __version__
from fedbus.cli import schemas as files
from fedbus.model import asyncapi, subjects
from fedbus.model.policy import KINDS
from fedbus.web import openapi
from fedbus.web.app import new_app
from fedbus.web.openapi import Parameter, described, hidden
from fedbus.web.policy_reads import PATHS

from .conftest import Serve

DOCUMENTS = files.documents()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_somewhere(name: str) -> None:
    for reference in set(references(DOCUMENTS[name])):
        found: Any = DOCUMENTS[name]
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_both_describe_every_write_of_policy_and_only_the_master_promotes() -> None:
    def writes(name: str) -> set[tuple[str, str]]:
        paths = DOCUMENTS[name]["paths"]
        return {
            (path, method)
            for path, operations in paths.items()
            for method in operations.keys() - {"get"}
            if not path.startswith(("/v1/fed", "/v1/auth", "/v1/scan/result", "/v1/assess"))
        }

    described_writes = writes("openapi-master.json")
    assert described_writes - writes("openapi-worker.json") == {
        ("/v1/admission/rule/promote", "post"),
        ("/v1/policy/rules/promote", "post"),
    }
    for path, method in [
        ("/v1/group", "post"),
        ("/v1/policy/rule", "patch"),
        ("/v1/admission/state", "patch"),
    ]:
        assert (path, method) in described_writes
    assert len(described_writes) == 44


@pytest.mark.parametrize("name", ["openapi-master.json", "openapi-worker.json"])
def test_operations_have_a_summary_and_a_name_of_their_own(name: str) -> None:
    operations = [one for path in DOCUMENTS[name]["paths"].values() for one in path.values()]

    assert all(operation["summary"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert {paths.list_path for paths in PATHS.values()} <= DOCUMENTS[name]["paths"].keys()


def test_the_bus_is_described_as_the_subjects_are_built() -> None:
    channels = asyncapi.document(__version__)["channels"]
    addresses = {name: channel["address"] for name, channel in channels.items()}

    built = {
        "policyForAll": subjects.event(subjects.SCOPE_ALL, subjects.POLICY, "{kind}", "n"),
        "policyForOne": subjects.event(subjects.own_scope("{cluster}"), subjects.POLICY, "{kind}", "n"),
        "control": subjects.control("{cluster}", "{what}"),
        "heartbeat": subjects.up("{cluster}", "hb"),
        "join": subjects.join("{token}"),
        "audit": subjects.audit("{category}"),
        "checkpoint": subjects.CHECKPOINT,
    }
    for name, subject in built.items():
        assert addresses[name].replace("{name}", "n") == subject
    assert KINDS.keys() <= channels["policyForAll"]["messages"].keys()


async def test_a_description_is_open_and_made_of_what_is_served(serve: Serve) -> None:
    class Handlers:
        @described("Show it", query=(Parameter("q", {"type": "string"}, "What"),), headers=("If-None-Match",))
        async def show(self, request: web.Request) -> web.Response:
            return web.Response()

        async def bare(self, request: web.Request) -> web.Response:
            """Do a thing.

            And more.
            """
            return web.Response()

    @hidden
    async def secret(request: web.Request) -> web.Response:
        return web.Response()

    app = new_app()
    handlers = Handlers()
    app.add_routes([web.get("/a/{id}", handlers.show), web.post("/a", handlers.bare), web.get("/s", secret)])
    app.add_routes([openapi.route(app, "test")])
    client: ClientSession = await serve(app)

    async with client.get("/openapi.json") as answer:
        found = await answer.json()

    assert set(found["paths"]) == {"/a", "/a/{id}", "/openapi.json"}
    assert found["paths"]["/a"]["post"]["summary"] == "Do a thing"
    shown = found["paths"]["/a/{id}"]["get"]
    assert [parameter["name"] for parameter in shown["parameters"]] == ["id", "q", "If-None-Match"]
    assert set(shown["responses"]) == {"200", "304", "default"}
    assert found["info"]["version"] == __version__
