"""Connections to the bus: one attempt, one session; the supervisor makes the next.

nats-py 2.16 closes for good on several server errors, may return a client that is not connected, and
falls back to plaintext unless the handshake comes first (measured). So it never reconnects here: every
session is a new `connect`, TLS first, and a server that says no is told apart from one that is away.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import nats.aio.msg
import nats.aio.subscription
import nats.errors
import nats.js
import structlog

from fedbus import metrics
from fedbus.bus.client import Client
from fedbus.bus.explain import explain
from fedbus.core import backoff, connectivity
from fedbus.errors import FedbusError, Refused, only
from fedbus.pki.ca import client_context
from fedbus.pki.credentials import Credentials
from fedbus.runtime import Clock, first

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT = 5.0
"""Seconds to wait for an answer on the bus."""
CONNECT_TIMEOUT = 5.0
STABLE_SECONDS = 5.0
"""A session that lasted this long was a good one: the next attempt comes at once."""
_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_MAX_DENIED = 100
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
        self.denied: set[str] = set()
        """Subjects that the server did not let this session use, in lower case; the first hundred."""
        self._asking: dict[asyncio.Future[nats.aio.msg.Msg], str] = {}

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
            raise explain(error, ", ".join(endpoint.servers)) from error
        if not self._nc.is_connected:
            # Authentication took over two seconds: nats-py returns a dead client without an error.
            await self.close()
            raise connectivity.error("BUS_UNREACHABLE", "the bus did not finish the login in time")

    async def close(self) -> None:
        """Close; nothing is flushed that was not awaited."""
        await self._nc.close()
        await self._on_closed()

    async def _on_error(self, error: Exception) -> None:
        text = str(error).lower()
        if (found := _DENIED.search(str(error))) is not None:
            self._on_denied(found[1].lower(), found[2])
        elif "authentication" in text or ("authorization" in text and "permissions" not in text):
            self.reason = connectivity.error("BUS_UNAUTHORIZED", f"the bus ended the session: {error}")
        elif isinstance(error, nats.errors.Error | OSError):
            # While it connects the error is raised as well, and told with its code.
            level = log.info if self._nc.is_connected else log.debug
            level("bus_error", connection=self.name, error=str(error) or type(error).__name__)
        else:
            log.error("handler_failed", connection=self.name, exc_info=error)

    def _on_denied(self, what: str, subject: str) -> None:
        """Note what the server forbids, and end the requests that would wait for an answer in vain."""
        if len(self.denied) < _MAX_DENIED:
            self.denied.add(subject.lower())  # nats-py lowers what the server says
        why = connectivity.error("PERMISSION_DENIED", f"the bus does not allow {what} to {subject}")
        log.warning("bus_denied", connection=self.name, **connectivity.facts(why))
        for asking, asked in self._asking.items():
            if asked.lower() == subject.lower():
                asking.cancel()

    @property
    def server_version(self) -> str:
        """What the server says it runs, as `2.15.1`; as it is where it says something else."""
        version = self._nc.connected_server_version
        try:
            return f"{version.major}.{version.minor}.{version.patch}"
        except ValueError:
            return str(version)

    async def flush(self) -> None:
        """Wait until the server has dealt with all that was sent. Raises Unavailable."""
        try:
            await self._nc.flush(timeout=int(CONNECT_TIMEOUT))
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise _ended(error) from error

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
        listens, BUS_TIMEOUT when the outcome is unknown; Refused: PERMISSION_DENIED.
        """
        request = self._nc.request(subject, data, timeout=timeout, headers=dict(headers or {}) or None)
        asking = asyncio.ensure_future(request)  # noqa: TID251 - awaited right below
        self._asking[asking] = subject
        asking.add_done_callback(lambda done: self._asking.pop(done, None))
        try:
            reply = await asking
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            if subject.lower() in self.denied and not self.closed.is_set():
                denied = f"the bus does not allow publish to {subject}"
                raise connectivity.error("PERMISSION_DENIED", denied) from None
            ended = f"the session ended before {subject} was answered"
            raise connectivity.error("BUS_UNREACHABLE", ended) from None
        except nats.errors.NoRespondersError as error:
            raise connectivity.error("BUS_NO_RESPONDERS", f"nobody answers on {subject}") from error
        except (TimeoutError, nats.errors.TimeoutError) as error:
            late = f"no answer on {subject} within {timeout} s"
            raise connectivity.error("BUS_TIMEOUT", late) from error
        except (nats.errors.Error, OSError) as error:
            raise _ended(error) from error
        return _message(reply)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Send without an answer. Raises Unavailable when the session is over."""
        try:
            await self._nc.publish(subject, data, reply=reply, headers=dict(headers or {}) or None)
        except (nats.errors.Error, OSError) as error:
            raise _ended(error) from error

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
            raise _ended(error) from error
        try:
            yield
        finally:
            if self._nc.is_connected:
                await subscription.unsubscribe()

    def jetstream(self) -> nats.js.JetStreamContext:
        """Return nats-py's own way to JetStream, for what we do not do ourselves."""
        return self._nc.jetstream()

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


def _ended(error: Exception) -> FedbusError:
    return connectivity.error("BUS_UNREACHABLE", f"the session ended: {str(error) or type(error).__name__}")


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
            self._tell_ended(attempt)
            if isinstance(self.error, Refused) and self._on_refused is not None:
                await self._on_refused(self.error)
            pause = backoff.delay(attempt, self._clock.jitter())
            await first(stop.wait(), self.restart.wait(), timeout=pause)

    def _tell_ended(self, attempt: int) -> None:
        why = connectivity.facts(self.error) if self.error else {"code": "CLOSED", "message": "closed"}
        log.warning("bus_session_ended", session=self.name, attempt=attempt, **why)
        metrics.session_failed(self.name, why["code"])

    async def _session(self, connection: Connection, stop: asyncio.Event) -> None:
        self.connection, self.error = connection, None
        self.up.set()
        metrics.session_up(self.name, up=True)
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
            metrics.session_up(self.name, up=False)
            self.connection = None
            self.error = connection.reason or self.error

    def current(self) -> Connection:
        """Return the live connection. Raises Unavailable, with why there is none."""
        if self.connection is None or self.connection.closed.is_set():
            why = self.error
            message = f"the bus is not connected{f': {why.message}' if why else ''}"
            # With the code and the remedy of what keeps it away; a session that begins has none.
            known = why is not None and why.code in connectivity.TABLE
            raise connectivity.unavailable(why.code if why and known else "BUS_UNREACHABLE", message)
        return self.connection
