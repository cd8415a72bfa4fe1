"""The client of the distribution API against a registry that misbehaves."""

import json
from collections.abc import AsyncIterator
from itertools import count

import aiohttp
import pytest
from aiohttp import web

from fedbus.core.registry.access import Credentials
from fedbus.scan.oci import transport
from fedbus.scan.oci.client import Client
from fedbus.scan.oci.errors import RegistryError
from tests.support.fake_registry import HASH, MANIFEST, FakeRegistry, fake_registry, manifest, never

PLATFORMS = ("linux/amd64",)
OPEN = Credentials("user", "word")


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    async with fake_registry() as made:
        yield made


@pytest.fixture
async def client(fake: FakeRegistry) -> AsyncIterator[Client]:
    async with fake.client() as made:
        yield made


def code(caught: pytest.ExceptionInfo[RegistryError]) -> str:
    assert caught.value.message
    return caught.value.code


async def test_pages_are_followed_to_their_end(fake: FakeRegistry, client: Client) -> None:
    async def page(request: web.Request) -> web.Response:
        last = request.query.get("last")
        link = {} if last else {"Link": '</v2/_catalog?last=b&n=2>; rel="next"'}
        return web.json_response({"repositories": ["c"] if last else ["a", "b"]}, headers=link)

    fake.answers["/v2/_catalog"] = page
    assert (await client.repositories(lambda name: name != "b", 10)).names == ("a", "c")
    listed = await client.repositories(lambda _: True, 2)
    assert (listed.names, listed.more) == (("a", "b"), True)


@pytest.mark.parametrize("link", ["</v2/_catalog?n=1000>", "</v2/_catalog?again>", "<?again>"])
async def test_paging_that_loops_is_noticed(fake: FakeRegistry, client: Client, link: str) -> None:
    fake.says("/v2/_catalog", {"repositories": ["a"]}, Link=f'{link}; rel="next"')
    with pytest.raises(RegistryError) as caught:
        await client.repositories(lambda _: True, 100)
    assert code(caught) == "REGISTRY_PAGING"
    assert len(fake.asked) < 5


async def test_paging_that_never_ends_does(
    fake: FakeRegistry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedbus.scan.oci.client.MAX_NAMES", 50)
    numbers = count()

    async def page(_: web.Request) -> web.Response:
        number = next(numbers)
        link = {"Link": f'</v2/_catalog?last={number}>; rel="next"'}
        return web.json_response({"repositories": [f"r{number}"]}, headers=link)

    fake.answers["/v2/_catalog"] = page
    assert (await client.repositories(lambda name: name == "r7", 100)).more
    assert len(fake.asked) == 51


async def test_paging_does_not_lead_to_another_host(fake: FakeRegistry) -> None:
    fake.guard("user", "word")
    async with fake_registry() as other, fake.client(OPEN) as client:
        fake.says("/v2/_catalog", {"repositories": ["a"]}, Link=f'<{other.url}v2/_catalog?x>; rel="next"')
        with pytest.raises(RegistryError) as caught:
            await client.repositories(lambda _: True, 100)
        assert (code(caught), other.asked) == ("REGISTRY_PAGING", [])


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"<html>sign in</html>", "text/html", "REGISTRY_ANSWER"),
        (b"{}", "text/plain", "REGISTRY_ANSWER"),
        (b"<html>", "application/json", "REGISTRY_ANSWER"),
        (b"\xff\xfe", "application/json", "REGISTRY_ANSWER"),
        (b'{"repositories": 5}', "application/json", "REGISTRY_ANSWER"),
        (b"[" * 100_000, "application/json", "REGISTRY_ANSWER"),
        (b" " * (5 << 20), "application/json", "REGISTRY_TOO_LARGE"),
    ],
)
async def test_what_is_no_registrys_answer_is_refused(
    fake: FakeRegistry, client: Client, body: bytes, kind: str, expected: str
) -> None:
    fake.says("/v2/_catalog", body, Content_Type=kind)
    with pytest.raises(RegistryError) as caught:
        await client.repositories(lambda _: True, 100)
    assert code(caught) == expected


async def test_a_compressed_bomb_is_never_unpacked(fake: FakeRegistry, client: Client) -> None:
    import gzip

    bomb = gzip.compress(b" " * (50 << 20))
    fake.says("/v2/_catalog", bomb, Content_Encoding="gzip")
    with pytest.raises(RegistryError) as caught:
        await client.repositories(lambda _: True, 100)
    assert code(caught) == "REGISTRY_ANSWER"


async def test_names_that_are_none_are_passed_over(fake: FakeRegistry, client: Client) -> None:
    fake.says("/v2/_catalog", {"repositories": ["../x", "a", "A", "a/../b", "x?y", ""]})
    assert (await client.repositories(lambda _: True, 100)).names == ("a",)
    fake.says("/v2/a/tags/list", {"tags": ["../x", "1", "", "x" * 200]})
    assert (await client.tags("a", lambda _: True, 100)).names == ("1",)
    fake.says("/v2/a/tags/list", {"name": "a", "tags": None})
    assert (await client.tags("a", lambda _: True, 100)).names == ()


async def test_a_registry_that_is_busy_is_asked_again_after_the_time_it_says(
    fake: FakeRegistry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("fedbus.scan.oci.transport.asyncio.sleep", sleep)
    turns = count(1)

    async def busy(_: web.Request) -> web.Response:
        if next(turns) < 3:
            return web.Response(status=429, headers={"Retry-After": "7"})
        return web.json_response({"repositories": ["a"]})

    fake.answers["/v2/_catalog"] = busy
    assert (await client.repositories(lambda _: True, 100)).names == ("a",)
    assert [int(seconds) for seconds in slept] == [7, 7]

    fake.says("/v2/_catalog", {}, status=429, Retry_After="3600")
    with pytest.raises(RegistryError) as caught:
        await client.repositories(lambda _: True, 100)
    assert (code(caught), len(slept)) == ("REGISTRY_BUSY", 2)


@pytest.mark.parametrize(
    ("status", "expected", "times"),
    [
        (503, "REGISTRY_FAILED", 4),
        (500, "REGISTRY_FAILED", 4),
        (403, "REGISTRY_UNAUTHORIZED", 1),
        (404, "NAME_MISSING", 1),
        (418, "REGISTRY_FAILED", 1),
    ],
)
async def test_only_what_may_pass_is_tried_again(
    fake: FakeRegistry, client: Client, status: int, expected: str, times: int
) -> None:
    fake.says("/v2/_catalog", {}, status=status)
    with pytest.raises(RegistryError) as caught:
        await client.repositories(lambda _: True, 100)
    assert (code(caught), len(fake.asked)) == (expected, times)


async def test_a_registry_that_does_not_answer_is_given_up(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    fake.answers["/v2/"] = never
    async with fake.client() as client:
        with pytest.raises(RegistryError) as caught:
            await client.ping()
    assert (code(caught), "in time" in caught.value.message) == ("REGISTRY_UNREACHABLE", True)


async def test_a_registry_that_is_down_is_said_to_be() -> None:
    async with fake_registry() as gone:
        client = gone.client()
    async with client:
        with pytest.raises(RegistryError) as caught:
            await client.ping()
    assert (code(caught), bool(caught.value.remedy)) == ("REGISTRY_UNREACHABLE", True)


async def test_a_token_is_fetched_with_the_credentials_and_used_again(fake: FakeRegistry) -> None:
    fake.guard("user", "word")
    fake.holds("a", {"1": manifest(), "2": manifest(x=1)})
    async with fake.client(OPEN) as client:
        for tag in ("1", "2"):
            await client.resolve("a", tag, PLATFORMS)
    assert fake.token_for == "service=fake&scope=repository:a:pull"
    assert [path for path, _ in fake.asked].count("/token?service=fake&scope=repository:a:pull") == 1


@pytest.mark.parametrize("held", [Credentials(), Credentials("user", "wrong"), Credentials(token="wrong")])
async def test_wrong_credentials_are_refused_once(fake: FakeRegistry, held: Credentials) -> None:
    fake.guard("user", "word")
    async with fake.client(held) as client:
        with pytest.raises(RegistryError) as caught:
            await client.ping()
    assert (code(caught), len(fake.asked) <= 3) == ("REGISTRY_UNAUTHORIZED", True)


async def test_a_bearer_token_of_ones_own_is_sent_as_it_is(fake: FakeRegistry) -> None:
    fake.guard("user", "word")
    fake.says("/v2/", {})
    async with fake.client(Credentials(token="let-me-in")) as client:
        await client.ping()
    assert fake.asked == [("/v2/", "Bearer let-me-in")]


async def test_a_redirect_to_another_host_is_followed_without_credentials(fake: FakeRegistry) -> None:
    fake.guard("user", "word")
    async with fake_registry() as other, fake.client(OPEN) as client:
        other.says("/moved", manifest(), Content_Type=MANIFEST)
        fake.says("/v2/a/manifests/1", {}, status=307, Location=f"{other.url}moved")
        await client.resolve("a", "1", PLATFORMS)
        assert other.asked == [("/moved", "")]

        other.guard("user", "word")
        with pytest.raises(RegistryError):
            await client.resolve("a", "1", PLATFORMS)
        assert [authorization for _, authorization in other.asked] == ["", ""]


async def test_a_redirect_that_goes_in_circles_ends(fake: FakeRegistry, client: Client) -> None:
    fake.says("/v2/", {}, status=302, Location="/v2/")
    with pytest.raises(RegistryError) as caught:
        await client.ping()
    assert code(caught) == "REGISTRY_ANSWER"


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        (b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "MANIFEST_SCHEMA_1"),
        (b"{}", MANIFEST, "MANIFEST_INVALID"),
        (b"[]", MANIFEST, "MANIFEST_INVALID"),
        (b'{"schemaVersion": 2, "layers"', MANIFEST, "MANIFEST_INVALID"),
        (manifest(config=None), MANIFEST, "MANIFEST_INVALID"),
        (manifest(layers=None), MANIFEST, "MANIFEST_INVALID"),
        (manifest(manifests=[]), MANIFEST, "MANIFEST_INVALID"),
        (manifest(mediaType="application/vnd.oci.image.manifest.v1+json"), MANIFEST, "MANIFEST_INVALID"),
        (manifest(layers=[{"digest": "../x", "size": 1}]), MANIFEST, "MANIFEST_INVALID"),
        (manifest(layers=[{"digest": HASH, "size": -1}]), MANIFEST, "MANIFEST_INVALID"),
        (manifest(layers=[{"digest": HASH, "size": 1}] * 5000), MANIFEST, "MANIFEST_INVALID"),
        (manifest(config={"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": HASH}), MANIFEST,
         "MANIFEST_NO_IMAGE"),
    ],
)  # fmt: skip
async def test_a_manifest_that_cannot_be_used_says_why(
    fake: FakeRegistry, client: Client, raw: bytes, kind: str, expected: str
) -> None:
    fake.says("/v2/a/manifests/1", raw, Content_Type=kind)
    with pytest.raises(RegistryError) as caught:
        await client.resolve("a", "1", PLATFORMS)
    assert code(caught) == expected


async def test_a_digest_that_is_not_that_of_the_bytes_is_refused(fake: FakeRegistry, client: Client) -> None:
    fake.says("/v2/a/manifests/1", manifest(), Content_Type=MANIFEST, Docker_Content_Digest=HASH)
    fake.says(f"/v2/a/manifests/{HASH}", manifest(), Content_Type=MANIFEST)
    for reference in ("1", HASH):
        with pytest.raises(RegistryError) as caught:
            await client.resolve("a", reference, PLATFORMS)
        assert code(caught) == "DIGEST_MISMATCH"


async def test_an_index_without_the_platform_says_which_it_has(fake: FakeRegistry, client: Client) -> None:
    kind = "application/vnd.oci.image.index.v1+json"
    where = [{"os": "linux", "architecture": "arm64"}, {"os": "windows", "architecture": "amd64"}]
    index = {"schemaVersion": 2, "manifests": [{"digest": HASH, "size": 1, "platform": one} for one in where]}
    fake.says("/v2/a/manifests/1", json.dumps(index).encode(), Content_Type=kind)
    with pytest.raises(RegistryError) as caught:
        await client.resolve("a", "1", PLATFORMS)
    assert code(caught) == "MANIFEST_PLATFORM"
    assert "linux/arm64, windows/amd64" in caught.value.message
