"""Publishing changesets: all or nothing, never over a newer version, retried until the outcome is known.

One event is a plain JetStream publish, several are one atomic batch (ADR-50; nats-py has no call for
it, so the headers are ours). Every message names the last sequence it expects of its subject, and has
its event id as message id: whichever of two tries lands first, the other one cannot.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from fedbus import tracing
from fedbus.bus import topology
from fedbus.bus.client import parse_headers
from fedbus.bus.session import Connection, Message
from fedbus.bus.topology import stream_of
from fedbus.core import backoff
from fedbus.errors import Conflict, FedbusError, TooLarge, Unavailable
from fedbus.model.events import Event
from fedbus.runtime import Clock

MAX_EVENTS = 1000
"""The most events in one atomic batch (the server's limit)."""
_WRONG_SEQUENCE = (10071, 10164)
_DUPLICATE = 10201
_TOO_LARGE = 10054
_TRY_SECONDS = 2.0
_MISMATCHES = 3
"""How often a sequence must be wrong after a try of unknown outcome: that try may be on its way yet."""


class _Failure(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    error: _Failure | None = None
    seq: int = 0
    duplicate: bool = False


class OutcomeUnknown(Unavailable):
    """The time was over before the bus said whether it has the changeset; it may have it."""

    code = "OUTCOME_UNKNOWN"


class SequenceMismatch(Conflict):
    """Something else was written to one of the subjects since the caller read it."""

    code = "SEQUENCE_MISMATCH"


async def publish(
    events: Sequence[Event],
    expected: Sequence[int],
    connection: Callable[[], Connection],
    clock: Clock,
    deadline: float,
    *,
    tag: str = "",
    trace: str = "",
) -> list[int]:
    """Publish a changeset and return the stream sequence of each event.

    `expected` has the last sequence of each event's subject, 0 for a new subject; `deadline` is on the
    monotonic clock; `tag` makes the message ids of a deliberate repetition new; `trace` is the unsigned
    `traceparent` the events carry. Raises Unavailable when
    nothing was sent, OutcomeUnknown when something may have been, SequenceMismatch and TooLarge when the
    bus refused it.
    """
    attempt, sent, mismatches, doubted = 0, False, 0, False
    while True:
        attempt += 1
        try:
            live = connection()
            sent = True
            return await _attempt(live, events, expected, f"{tag}.{attempt}", trace)
        except TooLarge:
            raise
        except SequenceMismatch:
            mismatches += 1
            if not doubted or mismatches >= _MISMATCHES:
                raise
            await asyncio.sleep(backoff.delay(attempt, clock.jitter(), cap=1.0))
        except FedbusError as error:
            if not sent:
                raise
            doubted = True
            if clock.monotonic() >= deadline:
                raise OutcomeUnknown(
                    f"the bus did not say in time whether it took the change: {error.message}",
                    remedy="ask again with the idempotency key",
                ) from error
            await asyncio.sleep(backoff.delay(attempt, clock.jitter(), cap=1.0))


async def _attempt(
    connection: Connection, events: Sequence[Event], expected: Sequence[int], tag: str, trace: str
) -> list[int]:
    last = len(events)
    batch = f"{events[0].id}{tag}"  # a batch left half sent keeps its id
    stream = stream_of(events[0].address.scope)
    repetition = tag.rpartition(".")[0]
    traced = {tracing.HEADER: trace} if trace else {}
    for number, (event, before) in enumerate(zip(events, expected, strict=True), start=1):
        headers = (
            event.headers()
            | traced
            | {
                "Nats-Msg-Id": event.id + repetition,
                "Nats-Expected-Stream": stream,
                "Nats-Expected-Last-Subject-Sequence": str(before),
            }
        )
        if last > 1:
            headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number == last:
                headers["Nats-Batch-Commit"] = "1"
        if number in (1, last):
            answer = await connection.request(
                event.subject, event.body, headers=headers, timeout=_TRY_SECONDS
            )
            if number == last or answer.data:  # the first of a batch is answered with nothing, or refused
                return await _outcome(connection, answer, events)
        else:
            await connection.publish(event.subject, event.body, headers=headers)
    raise ValueError("a changeset has at least one event")


async def _outcome(connection: Connection, answer: Message, events: Sequence[Event]) -> list[int]:
    """Return the sequences; a refusal may only say that an earlier try got in."""
    ack = msgspec.json.decode(answer.data, type=_Ack)
    seq = ack.seq
    if ack.error is not None or ack.duplicate:
        mine = await last_event_id(connection, stream_of(events[-1].address.scope), events[-1].subject)
        if mine is None or mine[0] != events[-1].id:
            _raise(ack)
            raise Unavailable("the bus has a duplicate that is not there", code="BUS_REFUSED")
        seq = mine[1]
    return list(range(seq - len(events) + 1, seq + 1))


def _raise(ack: _Ack) -> None:
    error = ack.error
    if error is None:
        return
    if error.err_code in _WRONG_SEQUENCE or error.err_code == _DUPLICATE:
        raise SequenceMismatch(f"the bus has something else on the subject: {error.description}")
    if error.err_code == _TOO_LARGE:
        raise TooLarge("an object is larger than a message may be", code="OBJECT_TOO_LARGE")
    raise Unavailable(f"the bus refused the change: {error.description}", code="BUS_REFUSED")


async def last_event_id(connection: Connection, stream: str, subject: str) -> tuple[str, int] | None:
    """Return the event id and sequence of the newest message on a stream's subject; None if there is none."""
    newest = await topology.last(connection, stream, subject)
    return None if newest is None else (parse_headers(newest.headers).get("ce-id", ""), newest.seq)
