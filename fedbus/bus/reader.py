"""Reading a stream: our own continuous pull, two requests outstanding, idle heartbeats as watchdog.

Several times as fast as nats-py's fetch, and it survives what its ordered and push consumers do not
(reference figures are in benchmarks/README.md). The consumer's state is in memory and worth nothing:
the reader's own stored position is the truth, and every session makes the consumer anew from there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import msgspec

from fedbus.bus.session import Connection, Message
from fedbus.core import connectivity
from fedbus.errors import FedbusError, Unavailable
from fedbus.model import subjects

BATCH = 500
"""Messages a pull asks for, unless told otherwise."""
MAX_BYTES = 8 * 1024 * 1024
_EXPIRES = 30.0
_HEARTBEAT = 2.0
_SILENCE = 5.0
"""Seconds without a message or a heartbeat after which the session is given up."""
_MAX_UNHEARD = 10
_UNHEARD_PAUSE = 0.05
_CONSUMER_NOT_FOUND = 10014
_STREAM_NOT_FOUND = 10059
_NO_JETSTREAM = (10035, 10039, 10076)
"""Off for the server, for the account, or for the user."""
_NANO = 1_000_000_000

Handle = Callable[[Sequence[Message]], Awaitable[None]]


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Created(msgspec.Struct):
    num_pending: int = 0
    error: _ApiError | None = None


class _Status(msgspec.Struct):
    error: _ApiError | None = None


class Reader:
    """One pull consumer of a stream, pinned to one filter.

    `api` is what JetStream's calls begin with in the account of the connection. Two pulls of `batch` messages
    and `max_bytes` each are under way: whatever else comes over the connection waits behind those.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        consumer: str,
        filter_subject: str,
        *,
        api: str = subjects.JETSTREAM_API,
        batch: int = BATCH,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._connection, self._api = connection, f"{api}.CONSUMER"
        self._stream, self._consumer, self._filter = stream, consumer, filter_subject
        self._batch, self._max_bytes = batch, max_bytes
        self._buffer: list[Message] = []
        self._arrived = asyncio.Event()
        self._wanted = 0
        self._idle = False
        self._heard, self._unheard = False, 0

    async def attach(self, after: int | None, *, headers_only: bool = False) -> int:
        """Make the consumer anew and return how many messages wait for it.

        With `after`, from the message behind that sequence; with None, from the last message of each
        subject. `headers_only` leaves the bodies out. Raises Unavailable.
        """
        await self.detach()
        deliver = (
            {"deliver_policy": "last_per_subject"}
            if after is None
            else {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
        )
        config = {
            "durable_name": self._consumer,
            "name": self._consumer,
            "filter_subject": self._filter,
            "ack_policy": "all",
            "ack_wait": 60 * _NANO,
            "max_ack_pending": 4 * self._batch,
            "inactive_threshold": 300 * _NANO,
            "mem_storage": True,
            "num_replicas": 1,
            "headers_only": headers_only,
            **deliver,
        }
        answer = await self._connection.request(
            f"{self._api}.CREATE.{self._stream}.{self._consumer}.{self._filter}",
            msgspec.json.encode({"stream_name": self._stream, "config": config}),
        )
        created = msgspec.json.decode(answer.data, type=_Created)
        if created.error is not None:
            raise _refusal(created.error, "the bus did not make the consumer")
        self._heard, self._unheard = False, 0
        return created.num_pending

    async def detach(self) -> None:
        """Delete the consumer if there is one. Raises Unavailable."""
        try:
            answer = await self._connection.request(f"{self._api}.DELETE.{self._stream}.{self._consumer}")
        except Unavailable as error:
            if error.code != "BUS_NO_RESPONDERS":
                raise
            raise connectivity.error("JETSTREAM_OFF", "the bus has no JetStream for us") from error
        status = msgspec.json.decode(answer.data, type=_Status)
        if status.error is not None and status.error.err_code != _CONSUMER_NOT_FOUND:
            raise _refusal(status.error, "the bus did not delete the consumer")

    async def run(self, handle: Handle, *, idle: bool = False) -> None:
        """Hand batches to `handle` for ever, in stream order, and acknowledge each when it returns.

        With `idle` an empty batch says that the server has nothing to send. A consumer that still has
        something to come does not get past a message that the server cannot read (measured, 2.15.1: one
        flipped bit; the server logs it and sends heartbeats). Raises Unavailable when the session or the
        consumer is gone; whatever `handle` raises goes through, and its batch is not acknowledged.
        """
        async with aclosing(self.batches(idle=idle)) as batches:
            async for batch in batches:
                await handle(batch)

    async def batches(self, *, idle: bool = False) -> AsyncGenerator[list[Message], None]:
        """Yield batches in stream order; asking for the next one acknowledges the last. As `run`."""
        inbox = self._connection.new_inbox()
        async with self._connection.subscription(inbox, self._receive):
            self._wanted = 0
            while True:
                await self._pull(inbox)
                batch = await self._next()
                if batch or (idle and self._idle):
                    yield batch
                if batch:
                    await self._connection.publish(batch[-1].reply, b"")

    async def _receive(self, message: Message) -> None:
        self._buffer.append(message)
        self._arrived.set()

    async def _pull(self, inbox: str) -> None:
        while self._wanted <= self._batch:
            request = {
                "batch": self._batch,
                "max_bytes": self._max_bytes,
                "expires": int(_EXPIRES * _NANO),
                "idle_heartbeat": int(_HEARTBEAT * _NANO),
            }
            await self._connection.publish(
                f"{self._api}.MSG.NEXT.{self._stream}.{self._consumer}",
                msgspec.json.encode(request),
                reply=inbox,
            )
            self._wanted += self._batch

    async def _next(self) -> list[Message]:
        """Return what has arrived; may be empty when a request ended without a message."""
        try:
            async with asyncio.timeout(_SILENCE):
                await self._arrived.wait()
        except TimeoutError as error:
            raise connectivity.error("CONSUMER_SILENT", "the consumer fell silent") from error
        self._arrived.clear()
        arrived, self._buffer = self._buffer, []
        messages, self._idle = [], False
        for message in arrived:
            if message.seq:
                self._wanted -= 1
                messages.append(message)
            elif (status := message.headers.get("Status", "")) == "100":
                self._idle = True
            elif status == "503" and not self._heard and self._unheard < _MAX_UNHEARD:
                # On a bus of several servers a consumer may be on another one than ours, which hears of it
                # a moment after it was made.
                self._unheard += 1
                self._wanted -= self._batch
                await asyncio.sleep(_UNHEARD_PAUSE * self._unheard)
            else:
                self._end_of_request(status, message)
        self._heard = self._heard or bool(messages) or self._idle
        return messages

    def _end_of_request(self, status: str, message: Message) -> None:
        """Account for a pull that ended early; anything but its natural end is the end of the session."""
        why = message.headers.get("Description", "")
        natural = status in ("404", "408") or (status == "409" and ("Batch" in why or "MaxBytes" in why))
        if not natural:
            raise connectivity.error("CONSUMER_GONE", f"the consumer is gone: {status} {why}")
        self._wanted -= int(message.headers.get("Nats-Pending-Messages", "0"))


def _refusal(error: _ApiError, what: str) -> FedbusError:
    if error.err_code in _NO_JETSTREAM:
        code = "JETSTREAM_OFF"
    else:
        code = "STREAM_MISSING" if error.err_code == _STREAM_NOT_FOUND else "CONSUMER_REFUSED"
    return connectivity.error(code, f"{what}: {error.description}")
