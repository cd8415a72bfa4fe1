"""Server-sent events: `GET /v1/events`, from a hub that never waits for a slow client.

A subscriber has a bounded queue. One that does not keep up is cut with a final `lost` event; it
reads the state anew and subscribes again. Nothing is replayed: the API holds the state, the
events say that it changed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from aiohttp import web

from fedbus.errors import Unavailable
from fedbus.web.openapi import Parameter, described

_TYPES = Parameter("types", {"type": "string"}, "The types of events wanted, with commas; all without it")

_LOST = b"event: lost\ndata: {}\n\n"
_BEAT = b": beat\n\n"
_HELLO = b"retry: 1000\n: connected\n\n"


class _Subscriber:
    """One client: what is still to be sent to it."""

    def __init__(self, types: frozenset[str], capacity: int) -> None:
        self._types = types
        self._capacity = capacity
        self.queue: deque[bytes] = deque()
        self.wake = asyncio.Event()
        self.ended = False

    def offer(self, event: str, frame: bytes) -> None:
        if self.ended or (self._types and event not in self._types):
            return
        if len(self.queue) >= self._capacity:
            self.queue.clear()
            self.end(_LOST)
            return
        self.queue.append(frame)
        self.wake.set()

    def end(self, last: bytes = b"") -> None:
        if last:
            self.queue.append(last)
        self.ended = True
        self.wake.set()


class Hub:
    """Fans events out to all who listen.

    `capacity`: events a client may lag behind; `heartbeat`: seconds between comments on a quiet
    stream; `patience`: seconds a blocked client is given before its connection is cut;
    `alive(request)`: whether the client's session still holds, asked before each thing sent.
    """

    def __init__(
        self,
        *,
        capacity: int = 256,
        heartbeat: float = 15.0,
        patience: float = 10.0,
        max_subscribers: int = 100,
        alive: Callable[[web.Request], bool] = lambda _request: True,
    ) -> None:
        self._capacity = capacity
        self._heartbeat = heartbeat
        self._patience = patience
        self._max_subscribers = max_subscribers
        self._alive = alive
        self._subscribers: set[_Subscriber] = set()
        self._sent = 0
        self._closed = False

    @property
    def subscribers(self) -> int:
        """How many listen now."""
        return len(self._subscribers)

    def attach(self, app: web.Application) -> None:
        """Serve `/v1/events` from `app` and end the streams when it shuts down."""
        app.router.add_get("/v1/events", self.handle)
        app.on_shutdown.append(self._on_shutdown)

    def publish(self, event: str, data: object) -> None:
        """Send `data` (a struct or plain data) to everybody who listens for `event`; never waits."""
        self._sent += 1
        if not self._subscribers:
            return
        frame = b"id: %d\nevent: %s\ndata: %s\n\n" % (self._sent, event.encode(), msgspec.json.encode(data))
        for subscriber in self._subscribers:
            subscriber.offer(event, frame)

    def close(self) -> None:
        """End every stream after what is queued, and accept no more."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end()

    @described(answer_media="text/event-stream", query=(_TYPES,), tag="events")
    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Stream the events, of `?types=a,b` only when given, until either side ends it."""
        if self._closed or len(self._subscribers) >= self._max_subscribers:
            raise Unavailable("No more event streams can be opened now", remedy="Try again later")
        types = frozenset(filter(None, request.query.get("types", "").split(",")))
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        with self._subscribed(types) as subscriber:
            await response.prepare(request)
            await self._write(request, response, _HELLO)
            while not (subscriber.ended and not subscriber.queue) and self._alive(request):
                await self._write(request, response, await self._next(subscriber))
        return response

    async def _next(self, subscriber: _Subscriber) -> bytes:
        try:
            async with asyncio.timeout(self._heartbeat):
                await subscriber.wake.wait()
        except TimeoutError:
            return _BEAT
        frames = b"".join(subscriber.queue)
        subscriber.queue.clear()
        if not subscriber.ended:
            subscriber.wake.clear()
        return frames

    async def _write(self, request: web.Request, response: web.StreamResponse, frames: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await response.write(frames)
        except TimeoutError as error:
            # The client reads nothing: what stands in its buffers can no longer be sent.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the event stream's client does not read") from error

    @contextmanager
    def _subscribed(self, types: frozenset[str]) -> Iterator[_Subscriber]:
        subscriber = _Subscriber(types, self._capacity)
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    async def _on_shutdown(self, _app: web.Application) -> None:
        self.close()
