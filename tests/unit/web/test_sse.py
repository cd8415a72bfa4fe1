"""Event streams: nobody waits for a slow client."""

import asyncio

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, web

from fedbus.web.app import new_app
from fedbus.web.sse import Hub

from .conftest import Serve


def app_with(hub: Hub) -> web.Application:
    app = new_app()
    hub.attach(app)
    return app


async def read_event(stream: ClientResponse) -> dict[str, str]:
    """Read the next event or comment; {} at the end of the stream."""
    event: dict[str, str] = {}
    async with asyncio.timeout(10):
        while (line := (await stream.content.readline()).decode()) not in {"\n", ""}:
            name, _, value = line.rstrip("\n").partition(": ")
            event[name] = value
    return event


async def opened(client: ClientSession, query: str = "") -> ClientResponse:
    stream = await client.get("/v1/events" + query)
    assert (stream.status, stream.content_type) == (200, "text/event-stream")
    assert await read_event(stream) == {"retry": "1000", "": "connected"}
    return stream


async def test_everybody_who_listens_gets_every_event_in_order(serve: Serve) -> None:
    hub = Hub()
    client = await serve(app_with(hub))
    streams = [await opened(client), await opened(client)]

    for version in (1, 2):
        hub.publish("policy", {"version": version})

    for stream in streams:
        assert await read_event(stream) == {"id": "1", "event": "policy", "data": '{"version":1}'}
        assert await read_event(stream) == {"id": "2", "event": "policy", "data": '{"version":2}'}
        stream.close()


async def test_a_filter_passes_the_types_that_were_asked_for(serve: Serve) -> None:
    hub = Hub()
    stream = await opened(await serve(app_with(hub)), "?types=cluster,member")

    hub.publish("policy", {})
    hub.publish("member", {})

    assert (await read_event(stream))["event"] == "member"
    stream.close()


async def test_a_quiet_stream_beats(serve: Serve) -> None:
    stream = await opened(await serve(app_with(Hub(heartbeat=0.01))))

    assert await read_event(stream) == {"": "beat"}
    stream.close()


async def test_a_subscriber_that_lags_too_far_is_cut_with_a_last_word(serve: Serve) -> None:
    hub = Hub(capacity=3)
    stream = await opened(await serve(app_with(hub)))

    for _ in range(5):  # without a pause, so that the stream cannot keep up
        hub.publish("policy", {})

    assert (await read_event(stream))["event"] == "lost"
    assert await read_event(stream) == {}
    assert hub.subscribers == 0


async def test_a_client_that_does_not_read_is_cut_and_nobody_else_notices(serve: Serve) -> None:
    hub = Hub(patience=0.2)
    client = await serve(app_with(hub))
    blocked, lively = await opened(client, "?types=big"), await opened(client, "?types=small")

    async with asyncio.timeout(10):
        while hub.subscribers > 1:  # until the buffers between us are full, and its patience is over
            hub.publish("big", "x" * 1_000_000)
            hub.publish("small", 1)
            assert (await read_event(lively))["data"] == "1"
    with pytest.raises(ClientError):
        await blocked.read()
    lively.close()


async def test_streams_end_when_the_hub_closes_and_no_new_one_opens(serve: Serve) -> None:
    hub = Hub()
    client = await serve(app_with(hub))
    stream = await opened(client)

    hub.publish("policy", {})
    hub.close()

    assert (await read_event(stream))["event"] == "policy"
    assert await read_event(stream) == {}
    async with client.get("/v1/events") as answer:
        assert answer.status == 503


async def test_a_stream_ends_with_the_session_that_opened_it(serve: Serve) -> None:
    holds = True
    stream = await opened(await serve(app_with(Hub(heartbeat=0.01, alive=lambda _request: holds))))
    assert await read_event(stream) == {"": "beat"}

    holds = False

    while event := await read_event(stream):
        assert event == {"": "beat"}


async def test_the_number_of_streams_is_bounded(serve: Serve) -> None:
    client = await serve(app_with(Hub(max_subscribers=1)))
    stream = await opened(client)

    async with client.get("/v1/events") as answer:
        assert answer.status == 503
    stream.close()
