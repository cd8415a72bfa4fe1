"""Bodies in and out."""

import msgspec
import pytest
from aiohttp import web

from fedbus.errors import InvalidInput
from fedbus.web import respond
from fedbus.web.app import new_app

from .conftest import Serve


class Part(msgspec.Struct):
    x: int


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: str = "none"
    parts: list[Part] = []


async def echo(request: web.Request) -> web.Response:
    return respond.json(await respond.body(request, Thing))


async def count(request: web.Request) -> web.Response:
    return respond.json(await respond.documents(request))


def app() -> web.Application:
    made = new_app()
    made.router.add_post("/echo", echo)
    made.router.add_post("/documents", count)
    return made


JSON = {"Content-Type": "application/json"}


async def test_a_body_is_read_as_its_struct_and_none_as_empty(serve: Serve) -> None:
    client = await serve(app())

    async with client.post("/echo", json={"name": "a", "parts": [{"x": 1}]}) as answer:
        assert await answer.json() == {"name": "a", "parts": [{"x": 1}]}
    async with client.post("/echo") as answer:
        assert await answer.json() == {"name": "none", "parts": []}


async def test_a_wrong_content_type_is_refused(serve: Serve) -> None:
    client = await serve(app())

    async with client.post("/echo", data={"name": "a"}) as answer:
        assert answer.status == 415
        assert "application/json" in (await answer.json(content_type=None))["remedy"]


@pytest.mark.parametrize("raw", [b'{"name": "a"', b"\xff\xfe", b'{"name": "\xff"}'])
async def test_malformed_json_is_a_400(serve: Serve, raw: bytes) -> None:
    client = await serve(app())

    async with client.post("/echo", data=raw, headers=JSON) as answer:
        assert (answer.status, (await answer.json(content_type=None))["reason"]) == (400, "BODY_MALFORMED")


def test_json_that_would_exhaust_the_stack_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        respond.decode(b"[" * 100_000, object)

    assert caught.value.code == "BODY_MALFORMED"


@pytest.mark.parametrize(
    ("raw", "field", "message"),
    [
        (b'{"parts": [{"x": 1}, {"x": "1"}]}', "parts[1].x", "Expected `int`, got `str`"),
        (b'{"parts": [{}]}', "parts[0].x", "Object missing required field `x`"),
        (b'{"nam": 1}', "nam", "Object contains unknown field `nam`"),
        (b"[]", "", "Expected `object`, got `array`"),
    ],
)
def test_a_body_that_does_not_fit_names_the_field(raw: bytes, field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        respond.decode(raw, Thing)

    (fault,) = caught.value.faults
    assert (fault.field, fault.message) == (field, message)


async def test_documents_come_as_json_or_as_yaml(serve: Serve) -> None:
    client = await serve(app())

    async with client.post("/documents", json={"documents": [{"kind": "group"}], "comment": "why"}) as answer:
        assert await answer.json() == {
            "documents": [{"index": 0, "line": None, "value": {"kind": "group"}}],
            "comment": "why",
        }
    yaml = {"Content-Type": "application/yaml"}
    async with client.post("/documents?comment=why", data=b"kind: a\n---\nkind: b\n", headers=yaml) as answer:
        found = await answer.json()
    assert [document["line"] for document in found["documents"]] == [1, 2]
    assert found["comment"] == "why"


async def test_a_bad_yaml_document_is_a_422_with_its_line(serve: Serve) -> None:
    client = await serve(app())

    yaml = {"Content-Type": "application/yaml"}
    async with client.post("/documents", data=b"a: 1\n---\nb: [\n---\nc: 1\n", headers=yaml) as answer:
        found = await answer.json(content_type=None)
    assert answer.status == 422
    assert [(error["document"], error["line"]) for error in found["errors"]] == [(1, 4)]
