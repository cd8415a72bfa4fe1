"""The webhook over TLS: time limit, connection reuse, certificates, and everything that is no review."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fedbus.errors import Unavailable
from fedbus.kube.review import V1BETA1, Answer, Review
from fedbus.kube.webhook import MAX_BODY, PATH, Failure, Webhook, WebhookServer, allowance
from fedbus.pki import ca
from fedbus.web.tls import RestTls
from tests.support.api_server import SERVICE, ApiServer, review, with_version

NOW = time.time()  # noqa: TID251 - certificates are checked by the machine's clock


class Decider:
    """Answers as it is told, and remembers what failed."""

    def __init__(self) -> None:
        self.decide: Callable[[Review], Awaitable[Answer]] = self._deny
        self.failures: list[str] = []

    async def _deny(self, asked: Review) -> Answer:
        return Answer(allowed=False, message=f"no {asked.request.kind.kind}")

    async def answer(self, asked: Review) -> Answer:
        return await self.decide(asked)

    def failed(self, asked: Review, why: Failure, message: str) -> None:
        self.failures.append(why)


class Scene:
    """A webhook that is served, its decider and its certificate."""

    def __init__(self, decider: Decider, server: WebhookServer, tls: RestTls) -> None:
        self.decider, self.server, self.tls = decider, server, tls

    def client(self, **kwargs: Any) -> ApiServer:
        return ApiServer(self.server.url, self.tls.ca_file.read_text(), **kwargs)


Serving = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    @asynccontextmanager
    async def serve(made: float = NOW, **settings: Any) -> AsyncIterator[Scene]:
        tls = RestTls(tmp_path, [SERVICE], now=made, randomness=os.urandom, server="webhook")
        decider, stop = Decider(), asyncio.Event()
        given: dict[str, Any] = {"fail_open": True, "ready": lambda: True} | settings
        webhook = Webhook(decider, **given)
        server = WebhookServer(webhook, "127.0.0.1", 0, tls.context)
        await server.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run(stop))
            try:
                yield Scene(decider, server, tls)
            finally:
                stop.set()

    return serve


async def never(_asked: Review) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def test_reviews_of_both_versions_are_answered_on_one_connection(serving: Serving) -> None:
    async with serving() as scene, scene.client() as api_server:
        for _ in range(20):
            response = await api_server.ask(review())
            assert not response["allowed"]
            assert response["status"]["message"] == "no Deployment"
        await api_server.ask(with_version(review(), V1BETA1))

        assert api_server.connections == 1


async def test_refused_bodies_leave_the_connection_usable(serving: Serving) -> None:
    async with serving() as scene, scene.client() as api_server:
        for body in (b"", b"{", b'{"kind": "Pod"}', b"\xff"):
            status, said = await api_server.send(body)
            assert (status, said["code"]) == (400, "REVIEW_MALFORMED")
        await api_server.ask(review())

        assert api_server.connections == 1


@pytest.mark.parametrize("fail_open", [True, False])
async def test_a_decision_that_takes_too_long_is_answered_within_the_time_limit(
    serving: Serving, fail_open: bool
) -> None:
    async with serving(fail_open=fail_open) as scene, scene.client() as api_server:
        scene.decider.decide = never
        began = time.monotonic()

        async with asyncio.timeout(1.0):
            response = await api_server.ask(review(), timeout="1s")

        assert time.monotonic() - began >= 0.75
        assert response["allowed"] is fail_open
        said = response["warnings"][0] if fail_open else response["status"]["message"]
        assert "time limit" in said
        assert scene.decider.failures == ["timeout"]


@pytest.mark.parametrize("error", [Unavailable("the store is away"), RuntimeError("odd")])
async def test_what_fails_is_answered_as_configured(serving: Serving, error: Exception) -> None:
    async def fail(_asked: Review) -> Answer:
        raise error

    async with serving(fail_open=False) as scene, scene.client() as api_server:
        scene.decider.decide = fail
        response = await api_server.ask(review())

        assert (response["allowed"], response["status"]["code"]) == (False, 500)
        assert "odd" not in response["status"]["message"]
        assert scene.decider.failures == ["error"]


async def test_more_reviews_than_are_decided_at_once_are_answered_at_once(serving: Serving) -> None:
    async with serving(max_reviews=2) as scene, scene.client() as api_server:
        scene.decider.decide = never
        async with asyncio.TaskGroup() as group:
            slow = [group.create_task(api_server.ask(review(), timeout="1s")) for _ in range(5)]

        assert sorted(scene.decider.failures) == ["busy"] * 3 + ["timeout"] * 2
        assert all(task.result()["allowed"] for task in slow)


async def test_a_large_body_is_refused_unread_and_one_of_no_length_too(serving: Serving) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(review()).encode()

    async with serving() as scene, scene.client() as api_server:
        status, _ = await api_server.send(b" " * (MAX_BODY + 1))
        assert status == 413
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                scene.server.url,
                data=chunks(),
                ssl=ca.client_context(scene.tls.ca_file.read_bytes()),
                server_hostname=SERVICE,
            ) as response,
        ):
            assert response.status == 411
        await api_server.ask(review())


async def test_bodies_that_do_not_come_hold_up_nobody(serving: Serving) -> None:
    async with serving() as scene, scene.client() as api_server:
        context = ca.client_context(scene.tls.ca_file.read_bytes())
        head = f"POST {PATH}?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY}\r\n\r\n{{".encode()
        slow = [
            await asyncio.open_connection(
                "127.0.0.1", scene.server.port, ssl=context, server_hostname=SERVICE
            )
            for _ in range(10)
        ]
        for _, writer in slow:
            writer.write(head)
        await api_server.ask(review())
        for reader, writer in slow:
            assert b" 408 " in await reader.readline()
            writer.transport.abort()


async def test_many_large_reviews_at_once_are_refused_and_none_later(serving: Serving) -> None:
    async with serving() as scene, scene.client() as api_server:
        decided = scene.decider.decide
        scene.decider.decide = never
        large = review()
        large["request"]["object"]["metadata"]["annotations"] = {"a": "x" * (MAX_BODY - 4096)}
        async with asyncio.TaskGroup() as group:
            sent = [group.create_task(api_server.send(large, timeout="1s")) for _ in range(4)]
        assert sorted(task.result()[0] for task in sent) == [200, 200, 429, 429]

        scene.decider.decide = decided
        assert not (await api_server.ask(large))["allowed"]


async def test_only_the_ca_of_the_cluster_and_the_name_of_the_service_are_trusted(
    serving: Serving, tmp_path: Path
) -> None:
    other = RestTls(tmp_path / "other", [SERVICE], now=NOW, randomness=os.urandom)
    async with serving() as scene:
        for client in (
            ApiServer(scene.server.url, other.ca_file.read_text()),
            scene.client(service="somebody-else.svc"),
        ):
            async with client:
                with pytest.raises(aiohttp.ClientSSLError):
                    await client.ask(review())


async def test_the_certificate_is_renewed_without_dropping_a_connection(serving: Serving) -> None:
    long_ago = NOW - 340 * ca.DAY
    async with serving(made=long_ago) as scene, scene.client() as old, scene.client() as new:
        await old.ask(review())
        before = scene.tls.expires
        assert scene.tls.refresh(NOW)

        await old.ask(review())
        await new.ask(review())

        assert scene.tls.expires > before
        assert (old.connections, new.connections) == (1, 1)


async def test_health_says_whether_there_is_a_policy(serving: Serving) -> None:
    for ready, expected in ((True, 200), (False, 503)):
        async with serving(ready=lambda ready=ready: ready) as scene, aiohttp.ClientSession() as session:
            url = scene.server.url.replace(PATH, "/healthz")
            context = ca.client_context(scene.tls.ca_file.read_bytes())
            async with session.get(url, ssl=context, server_hostname=SERVICE) as response:
                assert response.status == expected


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        ("10s", 9.0), ("1s", 0.8), ("500ms", 0.4), ("1m0s", 29.0), ("", 9.0), ("soon", 9.0), ("0s", 0.08),
    ],
)  # fmt: skip
def test_the_time_allowed_is_the_api_servers_less_a_margin(timeout: str, seconds: float) -> None:
    assert allowance(timeout) == pytest.approx(seconds)
