"""NeuVector's paths over a store that is a dictionary."""

import msgspec
import pytest
from aiohttp import ClientSession

from fedbus.model.objects import StoredObject
from fedbus.model.policy import KINDS
from fedbus.web.app import new_app
from fedbus.web.policy_reads import PATHS, routes

from .conftest import Serve


class Reader:
    """Holds one object of each kind, and three rules whose rank is not their id's order."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, StoredObject]] = {}
        for kind in KINDS:
            self.put("fed", kind, "default" if kind == "admission_state" else "fed.a", {"name": "fed.a"})
        self.held["fed", "network_rule"] = {}
        for number, rank in ((100001, "m"), (100002, "a"), (100003, "z")):
            self.put("fed", "network_rule", str(number), {"id": number, "rank": rank})
        self.put("local", "group", "b", {"name": "b"})

    def put(self, scope: str, kind: str, name: str, payload: dict[str, object]) -> None:
        stored = StoredObject(
            scope="all", kind=kind, name=name, epoch=1, revision=4, version=9, digest="",
            payload=msgspec.json.encode(payload),
        )  # fmt: skip
        self.held.setdefault((scope, kind), {})[name] = stored

    async def objects(self, scope: str, kind: str) -> list[StoredObject]:
        return list(self.held.get((scope, kind), {}).values())

    async def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        return self.held.get((scope, kind), {}).get(name)


async def served(serve: Serve) -> ClientSession:
    app = new_app()
    app.add_routes(routes(Reader()))
    return await serve(app)


async def get(client: ClientSession, path: str) -> dict[str, object]:
    async with client.get(path) as answer:
        assert answer.status == 200, path
        found: dict[str, object] = await answer.json()
        return found


def test_every_kind_can_be_read() -> None:
    assert set(PATHS) | {"webhook", "admission_state"} == set(KINDS)


async def test_lists_and_items_have_neuvectors_shapes(serve: Serve) -> None:
    client = await served(serve)
    for kind, paths in PATHS.items():
        if kind == "network_rule":
            continue
        found = await get(client, paths.list_path + "?scope=fed")
        assert found == {paths.list_key: [{"name": "fed.a"}], "revisions": {"fed.a": 4}}
        item = await get(client, paths.item_path.format(name="fed.a"))
        assert item == {paths.item_key: {"name": "fed.a"}}

    assert await get(client, "/v1/admission/state?scope=fed") == {"state": {"name": "fed.a"}}
    assert await get(client, "/v1/system/config?scope=fed") == {
        "fed_config": {"webhooks": [{"name": "fed.a"}], "revisions": {"fed.a": 4}}
    }


async def test_ordered_kinds_come_by_rank(serve: Serve) -> None:
    found = await get(await served(serve), "/v1/policy/rule?scope=fed")

    assert [rule["id"] for rule in found["rules"]] == [100002, 100001, 100003]  # type: ignore[attr-defined]


async def test_scopes_are_kept_apart_and_without_one_federated_come_first(serve: Serve) -> None:
    client = await served(serve)

    assert (await get(client, "/v1/group?scope=local"))["groups"] == [{"name": "b"}]
    assert (await get(client, "/v1/group"))["groups"] == [{"name": "fed.a"}, {"name": "b"}]
    async with client.get("/v1/group/b?scope=fed") as answer:
        assert answer.status == 404
    async with client.get("/v1/group?scope=both") as answer:
        assert answer.status == 422


async def test_an_item_carries_its_revision(serve: Serve) -> None:
    client = await served(serve)

    async with client.get("/v1/group/fed.a") as answer:
        assert answer.headers["ETag"] == '"1.9"'


async def ids(client: ClientSession, query: str) -> tuple[list[int], dict[str, object]]:
    found = await get(client, f"/v1/policy/rule?scope=fed&{query}")
    assert isinstance(found["rules"], list)
    return [rule["id"] for rule in found["rules"]], found


async def test_start_and_limit_cut_a_page_out_of_the_list(serve: Serve) -> None:
    client = await served(serve)

    assert (await ids(client, "start=1&limit=1"))[0] == [100001]
    assert (await ids(client, "start=1&limit=0"))[0] == [100001, 100003]
    assert (await ids(client, "start=9"))[0] == []


async def test_the_cursor_goes_on_behind_the_last_object_whatever_came_meanwhile(serve: Serve) -> None:
    reader = Reader()
    app = new_app()
    app.add_routes(routes(reader))
    client = await serve(app)

    first, page = await ids(client, "limit=2")
    reader.put("fed", "network_rule", "100004", {"id": 100004, "rank": "0a"})
    second, last = await ids(client, f"limit=2&cursor={page['next_cursor']}")

    assert (first, second) == ([100002, 100001], [100003])
    assert "next_cursor" not in last


@pytest.mark.parametrize(
    "query", ["start=-1", "limit=many", "limit=9999999999", "cursor=x", "cursor=%ff", "start=%EF%BC%91"]
)
async def test_a_page_that_makes_no_sense_is_refused(serve: Serve, query: str) -> None:
    client = await served(serve)

    async with client.get(f"/v1/group?{query}") as answer:
        assert answer.status == 422


async def test_what_has_not_changed_is_not_sent_again(serve: Serve) -> None:
    client = await served(serve)
    for path in ("/v1/group", "/v1/group/fed.a", "/v1/system/config", "/v1/admission/state"):
        async with client.get(path) as answer:
            tag = answer.headers["ETag"]

        async with client.get(path, headers={"If-None-Match": f'"other", W/{tag}'}) as answer:
            assert (answer.status, answer.headers["ETag"], await answer.read()) == (304, tag, b"")
        async with client.get(path, headers={"If-None-Match": '"other"'}) as answer:
            assert answer.status == 200


async def test_profiles_and_bindings_of_a_group_are_there_before_anybody_wrote_them(serve: Serve) -> None:
    reader = Reader()
    for kind in ("process_profile", "file_profile", "dlp_group", "waf_group", "vulnerability_profile"):
        reader.held["fed", kind] = {}
    app = new_app()
    app.add_routes(routes(reader))
    client = await serve(app)

    assert (await get(client, "/v1/process_profile/fed.a"))["process_profile"]["process_list"] == []  # type: ignore[index]
    assert (await get(client, "/v1/file_monitor/fed.nodes"))["profile"]["filters"] == []  # type: ignore[index]
    assert (await get(client, "/v1/dlp/group/fed.a"))["dlp_group"]["sensors"] == []  # type: ignore[index]
    assert (await get(client, "/v1/waf/group/b"))["waf_group"]["name"] == "b"  # type: ignore[index]
    assert (await get(client, "/v1/vulnerability/profile/default"))["profile"]["entries"] == []  # type: ignore[index]
    for path in ("/v1/process_profile/fed.b", "/v1/dlp/group/b?scope=fed", "/v1/vulnerability/profile/other"):
        async with client.get(path) as answer:
            assert answer.status == 404, path
