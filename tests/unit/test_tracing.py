"""Traces with an exporter in memory: parents, headers, and nothing at all when it is off."""

import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fedbus import tracing
from fedbus.errors import ConfigError

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    end = tracing.start(SimpleSpanProcessor(exporter), "test", "1")
    yield exporter
    end()


def test_without_a_collector_nothing_is_traced() -> None:
    end = tracing.set_up("", "master", "1")

    with tracing.span("x", attributes={"a": 1}) as span:
        span.set_attribute("b", 2)
        assert tracing.traceparent() == ""
    tracing.record("y", "CONSUMER", parents=[PARENT], began=0.0, ended=1.0, attributes={})

    assert not tracing.on()
    end()


def test_a_span_inside_another_is_its_child_and_its_header_carries_it_on(spans: InMemorySpanExporter) -> None:
    with tracing.span("request", "SERVER"), tracing.span("publish", "PRODUCER", attributes={"a.b": 1}):
        header = tracing.traceparent()
    tracing.record("apply", "CONSUMER", parents=[header], began=10.0, ended=10.5, attributes={"c": "d"})

    publish, request, apply = spans.get_finished_spans()
    assert publish.parent is not None
    assert apply.parent is not None
    assert publish.parent.span_id == request.context.span_id
    assert apply.parent.span_id == publish.context.span_id
    assert {span.context.trace_id for span in (request, publish, apply)} == {request.context.trace_id}
    assert (apply.start_time, apply.end_time) == (10_000_000_000, 10_500_000_000)
    assert publish.attributes == {"a.b": 1}
    assert request.resource.attributes["service.name"] == "fedbus-test"


def test_a_request_continues_the_trace_of_its_caller(spans: InMemorySpanExporter) -> None:
    with tracing.span("request", "SERVER", parent=PARENT):
        assert tracing.traceparent().startswith(PARENT[:36])

    (span,) = spans.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == PARENT[3:35]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        PARENT[:-1],
        PARENT + "0",
        PARENT.upper(),
        "00-" + "0" * 32 + PARENT[35:],
        PARENT + "\n",
        "ÿ" * 55,
    ],
)
def test_a_header_that_is_none_begins_a_trace_of_its_own(spans: InMemorySpanExporter, header: str) -> None:
    assert tracing.well_formed(header) == ""

    with tracing.span("request", parent=header):
        pass

    (span,) = spans.get_finished_spans()
    assert span.parent is None


def test_a_collector_without_the_extra_is_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.json.http.trace_exporter", None)

    with pytest.raises(ConfigError) as raised:
        tracing.set_up("http://127.0.0.1:4318", "master", "1")

    assert "fedbus[tracing]" in raised.value.remedy
