"""One trace from a REST write to its effect: both daemons send their spans to a collector of the test's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fedbus.model import events, subjects
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.intruder import event_headers, intruding

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """An OTLP collector: keeps spans with the service they are of."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        for resource in json.loads(await request.read())["resourceSpans"]:
            about = {a["key"]: a["value"].get("stringValue") for a in resource["resource"]["attributes"]}
            for scope in resource["scopeSpans"]:
                self.spans += [span | {"service": about["service.name"]} for span in scope["spans"]]
        return web.json_response({})

    def of(self, trace: str) -> dict[str, dict[str, Any]]:
        """Return the spans of a trace by service and name."""
        return {
            f"{span['service']} {span['name']}": span
            for span in self.spans
            if span["traceId"].lower() == trace
        }


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[str, Collector]]:
    collector = Collector()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", collector
    finally:
        await runner.cleanup()


async def test_one_trace_joins_the_request_the_publish_and_the_apply_of_both_daemons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    async with (
        collecting() as (endpoint, collector),
        Daemon("master", tmp_path / "master", tracing_endpoint=endpoint) as master,
        Daemon("worker", tmp_path / "worker", tracing_endpoint=endpoint) as worker,
    ):
        await promoted(master)
        await joined(master, worker, "shop")
        await synced(master, 1)
        documents = {"documents": [group("traced"), group("traced-too")]}
        status, _ = await master.call(
            "POST", "/v1/fed/apply", documents, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        )
        assert status == 200

        async def complete() -> bool:
            return len(collector.of(TRACE)) == 3

        await eventually(complete)
        found = collector.of(TRACE)
        request = found["fedbus-master POST /v1/fed/apply"]
        publish = found["fedbus-master publish POLICY"]
        applied = found["fedbus-worker apply POLICY"]
        assert request["parentSpanId"].lower() == "00f067aa0ba902b7"
        assert publish["parentSpanId"] == request["spanId"]
        assert applied["parentSpanId"] == publish["spanId"]
        assert int(request["startTimeUnixNano"]) <= int(publish["startTimeUnixNano"])
        facts = {a["key"]: next(iter(a["value"].values())) for a in applied["attributes"]}
        assert facts["messaging.system"] == "nats"
        assert facts["messaging.destination.name"] == "POLICY"
        assert int(facts["messaging.batch.message_count"]) == 2
        assert not [span for span in collector.spans if "readyz" in span["name"] or "metrics" in span["name"]]

        # The header is not signed: it is no part of the event, and a wrong one harms nobody.
        async with intruding(master.directory) as intruder:
            subject = subjects.event("all", subjects.POLICY, "group", "fed.traced")
            stored = await intruder.newest(subject)
            assert TRACE in stored.headers["traceparent"]
            event = events.parse(subject, event_headers(stored), stored.data)
            assert b"traceparent" not in event.statement
            odd = intruder.forge("fed.odd", event.body, version=99)
            headers = odd.headers() | {"traceparent": "00-" + "f" * 5000}
            await intruder.publish(odd.subject, odd.body, headers)
        await apply(master, group("after"))
        await synced(master, 1)


async def test_a_collector_that_is_away_slows_nothing_and_stops_nobody(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with (
        Daemon("master", tmp_path / "master", tracing_endpoint=endpoint) as master,
        Daemon("worker", tmp_path / "worker", tracing_endpoint=endpoint) as worker,
    ):
        await promoted(master)
        await joined(master, worker, "shop")
        await apply(master, group("untraced"))
        await synced(master, 1)
        assert await worker.stop(30.0) == 0
        assert await master.stop(30.0) == 0
    server.close()
