"""Traces from a REST write to its effect in every cluster, when an OpenTelemetry collector is configured.

Without one nothing is imported and every call here costs a comparison. The trace travels with an event
in the header `traceparent` (W3C Trace Context), which is not signed: it may mislead a trace and nothing
else, so only its form is checked. `opentelemetry` is in the extra `fedbus[tracing]`.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol

from fedbus.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

HEADER: Final = "traceparent"
MAX_TRACES: Final = 32
"""Traces that one batch of events is told to; a catch-up of thousands belongs to no request any more."""
_FORM: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Kind = Literal["SERVER", "PRODUCER", "CONSUMER", "INTERNAL"]
Value = str | int | float | bool
_NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})


class Span(Protocol):
    """The part of a span that is used."""

    def set_attribute(self, key: str, value: Value) -> None:
        """Add a fact."""


class _NoSpan:
    def set_attribute(self, key: str, value: Value) -> None:
        pass


_NO_SPAN: Final = _NoSpan()


class _State:
    tracer: "Tracer | None" = None


def set_up(endpoint: str, role: str, version: str) -> Callable[[], None]:
    """Send spans to the OTLP collector at `endpoint` (`http://host:4318`); return what ends it.

    An empty `endpoint` traces nothing. Raises ConfigError when the extra is not installed.
    """
    if not endpoint:
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "tracing_endpoint is set and OpenTelemetry is not installed",
            remedy="install fedbus[tracing], or leave tracing_endpoint out",
        ) from error
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    return start(BatchSpanProcessor(exporter), role, version)


def start(processor: "SpanProcessor", role: str, version: str) -> Callable[[], None]:
    """Hand every span of this process to `processor`; return what flushes it and ends tracing."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an optional extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    about = {"service.name": f"fedbus-{role}", "service.version": version}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(processor)
    _State.tracer = provider.get_tracer("fedbus", version)

    def end() -> None:
        _State.tracer = None
        provider.shutdown()

    return end


def on() -> bool:
    """Tell whether anything is traced."""
    return _State.tracer is not None


@contextlib.contextmanager
def span(
    name: str, kind: Kind = "INTERNAL", *, parent: str = "", attributes: Mapping[str, Value] = _NOTHING
) -> Iterator[Span]:
    """Trace what happens inside: under the current span, or under a `parent` from a header."""
    if _State.tracer is None:
        yield _NO_SPAN
        return
    from opentelemetry import trace  # noqa: PLC0415 - an optional extra

    with _State.tracer.start_as_current_span(
        name,
        context=_context(parent) if parent else None,
        kind=trace.SpanKind[kind],
        attributes=dict(attributes),
    ) as made:
        yield made


def record(
    name: str,
    kind: Kind,
    *,
    parents: Iterable[str],
    began: float,
    ended: float,
    attributes: Mapping[str, Value],
) -> None:
    """Note what was done once for several traces: a span in each, from `began` to `ended` (Unix seconds)."""
    if _State.tracer is None:
        return
    from opentelemetry import trace  # noqa: PLC0415 - an optional extra

    for parent in parents:
        _State.tracer.start_span(
            name,
            context=_context(parent),
            kind=trace.SpanKind[kind],
            attributes=dict(attributes),
            start_time=int(began * 1e9),
        ).end(end_time=int(ended * 1e9))


def traceparent() -> str:
    """Return the header that carries the current span on; empty when there is none."""
    if _State.tracer is None:
        return ""
    from opentelemetry import trace  # noqa: PLC0415 - an optional extra

    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return ""
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"


def well_formed(header: str) -> str:
    """Return a `traceparent` as it came if it is one, else nothing."""
    return header if _FORM.fullmatch(header) else ""


def _context(parent: str) -> "Context":
    from opentelemetry import trace  # noqa: PLC0415 - an optional extra
    from opentelemetry.context import Context  # noqa: PLC0415

    if not well_formed(parent):
        return Context()
    _, trace_id, span_id, flags = parent.split("-")
    remote = trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())
