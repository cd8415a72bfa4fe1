"""Connections to the bus: one attempt, one session; the supervisor makes the next.

nats-py 2.16 closes for good on several server errors, may return a client that is not connected, and
falls back to plaintext unless the handshake comes first (measured). So it never reconnects here: every
session is a new `connect`, TLS first, and a server that says no is told apart from one that is away.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import nats.aio.msg
import nats.aio.subscription
import nats.errors
import structlog

from fedbus.bus.client import Client
from fedbus.core import backoff
from fedbus.errors import FedbusError, Refused, Unavailable, only
from fedbus.pki.ca import client_context
from fedbus.pki.credentials import Credentials
from fedbus.runtime import Clock, first

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT = 5.0
"""Seconds to wait for an answer on the bus."""
CONNECT_TIMEOUT = 5.0
STABLE_SECONDS = 5.0
"""A session that lasted this long was a good one: the next attempt comes at once."""
PING_INTERVAL = 10
"""Seconds; two unanswered pings end a session, so a half-open link is seen within 20 to 30 seconds."""


class Endpoint(NamedTuple):
    """Where the bus is and which CA vouches for it."""

    servers: tuple[str, ...]
    ca_pem: bytes


class Message(NamedTuple):
    """A message as received; `seq` and `pending` are zero outside of a stream."""

    subject: str
    reply: str
    headers: Mapping[str, str]
    data: bytes
    seq: int = 0
    pending: int = 0


Handler = Callable[[Message], Awaitable[None]]


class Connection:
    """One live connection; when `closed` is set it is over for good and `reason` says why."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = asyncio.Event()
        self.reason: FedbusError | None = None
        self._nc = Client()
        self._asking: set[asyncio.Future[nats.aio.msg.Msg]] = set()

    async def open(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """Connect once. Raises Unavailable when nobody answers, Refused when the server says no."""
        try:
            await self._nc.connect(
                servers=[s.replace("nats://", "tls://") for s in endpoint.servers],
                name=self.name,
                tls=client_context(endpoint.ca_pem),
                tls_handshake_first=True,
                user_jwt_cb=lambda: bytearray(credentials.jwt.encode()),
                signature_cb=lambda nonce: base64.b64encode(credentials.sign(nonce.encode())),
                inbox_prefix=f"_INBOX_{credentials.name}".encode(),
                allow_reconnect=False,
                connect_timeout=int(CONNECT_TIMEOUT),
                ping_interval=PING_INTERVAL,
                max_outstanding_pings=2,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                disconnected_cb=self._on_closed,
            )
        except Exception as error:
            # nats-py, ssl and asyncio raise a dozen types here: one table says what each one means.
            raise _explain(error, endpoint) from error
        if not self._nc.is_connected:
            # Authentication took over two seconds: nats-py returns a dead client without an error.
            await self.close()
            raise Unavailable("the bus did not finish the login in time", code="BUS_UNREACHABLE")

    async def close(self) -> None:
        """Close; nothing is flushed that was not awaited."""
        await self._nc.close()
        await self._on_closed()

    async def _on_error(self, error: Exception) -> None:
        text = str(error).lower()
        if "authentication" in text or ("authorization" in text and "permissions" not in text):
            self.reason = Refused(f"the bus ended the session: {error}", code="BUS_UNAUTHORIZED")
        elif isinstance(error, nats.errors.Error | OSError):
            log.info("bus_error", connection=self.name, error=str(error) or type(error).__name__)
        else:
            log.error("handler_failed", connection=self.name, exc_info=error)

    async def _on_closed(self) -> None:
        self.closed.set()
        for asking in self._asking:  # nats-py would let them wait until their time is over
            asking.cancel()

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Message:
        """Send and wait for one answer.

        Raises Unavailable: BUS_UNREACHABLE when the session is over, BUS_NO_RESPONDERS when nobody
        listens, BUS_TIMEOUT when the outcome is unknown.
        """
        request = self._nc.request(subject, data, timeout=timeout, headers=dict(headers or {}) or None)
        asking = asyncio.ensure_future(request)  # noqa: TID251 - awaited right below
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        try:
            reply = await asking
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Unavailable(
                f"the session ended before {subject} was answered", code="BUS_UNREACHABLE"
            ) from None
        except nats.errors.NoRespondersError as error:
            raise Unavailable(f"nobody answers on {subject}", code="BUS_NO_RESPONDERS") from error
        except (TimeoutError, nats.errors.TimeoutError) as error:
            raise Unavailable(f"no answer on {subject} within {timeout} s", code="BUS_TIMEOUT") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"the session ended: {error}", code="BUS_UNREACHABLE") from error
        return _message(reply)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Send without an answer. Raises Unavailable when the session is over."""
        try:
            await self._nc.publish(subject, data, reply=reply, headers=dict(headers or {}) or None)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"the session ended: {error}", code="BUS_UNREACHABLE") from error

    @asynccontextmanager
    async def subscription(self, subject: str, handler: Handler, *, limit: int = 0) -> AsyncIterator[None]:
        """Call `handler` for every message while inside, one after the other.

        `limit` bounds what may wait (messages over it are dropped by nats-py and logged); 0 is no limit,
        for subscriptions that are bounded by pulls.
        """

        async def deliver(message: nats.aio.msg.Msg) -> None:
            await handler(_message(message))

        try:
            subscription = await self._nc.subscribe(
                subject, cb=deliver, pending_msgs_limit=limit or -1, pending_bytes_limit=-1
            )
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"the session ended: {error}", code="BUS_UNREACHABLE") from error
        try:
            yield
        finally:
            if self._nc.is_connected:
                await subscription.unsubscribe()

    def new_inbox(self) -> str:
        """Return a private reply subject."""
        return self._nc.new_inbox()


def _message(raw: nats.aio.msg.Msg) -> Message:
    seq = pending = 0
    if raw.reply.startswith("$JS.ACK."):
        # v1 has 9 tokens; v2 puts domain and account hash before the stream and a token behind (ADR-15).
        tokens = raw.reply.split(".")
        at = 5 if len(tokens) == 9 else 7
        seq, pending = int(tokens[at]), int(tokens[at + 3])
    return Message(raw.subject, raw.reply, raw.headers or {}, raw.data, seq, pending)


def _explain(error: Exception, endpoint: Endpoint) -> FedbusError:
    where = ", ".join(endpoint.servers)
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and len(causes) < 8:
        causes.append(cause)
    if any(isinstance(c, ssl.SSLError) for c in causes):
        return Refused(
            f"the server at {where} did not prove that it is the federation's bus: {error}",
            code="TLS_UNTRUSTED",
            remedy="check the address; if the master was set up anew, join again with a new token",
        )
    text = str(error).lower()
    if (
        isinstance(error, nats.errors.AuthorizationError)
        or "authorization" in text
        or "authentication" in text
    ):
        return Refused(f"the bus at {where} refused the credentials", code="BUS_UNAUTHORIZED")
    return Unavailable(
        f"no bus answers at {where}: {str(error) or type(error).__name__}",
        code="BUS_UNREACHABLE",
        remedy="check that the master runs and that its federation port is reachable from here",
    )


@asynccontextmanager
async def connect(name: str, endpoint: Endpoint, credentials: Credentials) -> AsyncIterator[Connection]:
    """Open one session and close it at the end; raises as `Connection.open`."""
    connection = Connection(name)
    await connection.open(endpoint, credentials)
    try:
        yield connection
    finally:
        await connection.close()


class Supervisor:
    """Keeps a session up: connects, hands it to `use`, and begins anew with back-off when it ends.

    `state` is `connected` or the error of the last attempt; a refusal is retried too, slowly, since a
    renewed credential or a returned account makes it good again.
    """

    def __init__(
        self,
        name: str,
        open_: Callable[[], tuple[Endpoint, Credentials]],
        use: Callable[[Connection], Coroutine[None, None, None]],
        clock: Clock,
        on_refused: Callable[[FedbusError], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.error: FedbusError | None = None
        self._open, self._use, self._clock, self._on_refused = open_, use, clock, on_refused
        self.up = asyncio.Event()
        """Set while a session is open."""
        self.restart = asyncio.Event()
        """Set it to end the session and begin a new one at once, with new credentials for instance."""

    async def run(self, stop: asyncio.Event) -> None:
        """Keep sessions coming until `stop`."""
        attempt = 0
        while not stop.is_set():
            self.restart.clear()
            began = self._clock.monotonic()
            try:
                endpoint, credentials = self._open()
                async with connect(self.name, endpoint, credentials) as connection:
                    await self._session(connection, stop)
            except FedbusError as error:
                self.error = error
            if stop.is_set():
                return
            if self.restart.is_set():
                attempt = 0
                continue
            if self._clock.monotonic() - began > STABLE_SECONDS:
                attempt = 0
            attempt += 1
            log.warning("bus_session_ended", session=self.name, attempt=attempt, error=_text(self.error))
            if isinstance(self.error, Refused) and self._on_refused is not None:
                await self._on_refused(self.error)
            pause = backoff.delay(attempt, self._clock.jitter())
            await first(stop.wait(), self.restart.wait(), timeout=pause)

    async def _session(self, connection: Connection, stop: asyncio.Event) -> None:
        self.connection, self.error = connection, None
        self.up.set()
        log.info("bus_session_opened", session=self.name)
        try:
            async with asyncio.TaskGroup() as group:
                user = group.create_task(self._use(connection), name=f"{self.name} session")
                await first(
                    asyncio.wait([user]),
                    connection.closed.wait(), stop.wait(), self.restart.wait(),
                )  # fmt: skip
                user.cancel()
        except* FedbusError as errors:
            self.error = only(errors)
        finally:
            self.up.clear()
            self.connection = None
            self.error = connection.reason or self.error

    def current(self) -> Connection:
        """Return the live connection. Raises Unavailable, with why there is none."""
        if self.connection is None or self.connection.closed.is_set():
            detail = f": {self.error.message}" if self.error else ""
            raise Unavailable(f"the bus is not connected{detail}", code="BUS_UNREACHABLE")
        return self.connection


def _text(error: FedbusError | None) -> str:
    return f"{error.code}: {error.message}" if error else "closed"
