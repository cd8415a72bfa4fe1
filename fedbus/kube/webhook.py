"""The admission webhook: its own HTTPS server, for the Kubernetes API server and nobody else.

No key is asked for: an API server cannot send one that is worth anything, and an answer tells nothing that
a dry run would not. Every review is answered within the API server's time limit; what fails is answered as
`fail_open` says, so that the cluster's `failurePolicy` is for a webhook that is away.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import Final, Literal, Protocol

import msgspec
import structlog
from aiohttp import web

from fedbus.errors import FedbusError, InvalidInput
from fedbus.kube import review
from fedbus.kube.review import Answer, Review
from fedbus.serving import HttpsServer

PATH: Final = "/validate"
HEALTH: Final = "/healthz"
MAX_BODY: Final = 6 * 1024 * 1024 + 256 * 1024
"""Bytes of the largest review: an API server takes objects of 3 MiB, and an update shows two of them."""
MAX_BYTES: Final = 2 * MAX_BODY
"""Bytes of all reviews in progress: nobody who reaches the port can make a daemon take more memory."""
CHUNK: Final = 64 * 1024
MAX_REVIEWS: Final = 64
"""Reviews that are decided at once; those above are answered as a failure."""
DEFAULT_TIMEOUT: Final = 10.0
"""Seconds an API server waits if it does not say; so is its own default."""
KEEP_ALIVE: Final = 120.0
"""Seconds an idle connection is kept: longer than Go's 90, so that never both use and close it at once."""

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_log = structlog.get_logger("fedbus.webhook")

Failure = Literal["timeout", "busy", "error"]


class Decider(Protocol):
    """Who answers reviews."""

    async def answer(self, asked: Review) -> Answer:
        """Answer one, without waiting for the network. Raises FedbusError where it cannot."""
        ...

    def failed(self, asked: Review, why: Failure, message: str) -> None:
        """Note that a review was answered without a decision."""
        ...


class Webhook:
    """The application: the review path and a health path."""

    def __init__(
        self, decider: Decider, *, fail_open: bool, ready: Callable[[], bool], max_reviews: int = MAX_REVIEWS
    ) -> None:
        self._decider, self._fail_open, self._ready = decider, fail_open, ready
        self._max_reviews = max_reviews
        self._reviews, self._bytes = 0, 0

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.add_routes([web.post(PATH, self.validate), web.get(HEALTH, self.health)])
        return app

    async def health(self, _request: web.Request) -> web.Response:
        """Tell whether reviews are decided by a policy, 503 while none was read yet."""
        ready = self._ready()
        return _json({"status": "ok" if ready else "not ready"}, 200 if ready else 503)

    async def validate(self, request: web.Request) -> web.Response:
        """Answer a review: 200 with a response, 400 for what is no review, 413 for what is too large."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + allowance(request.query.get("timeout", ""))
        body = bytearray()
        try:
            await self._read(request, body, deadline)
            asked = review.read(bytes(body))
            given = await self._answer(asked, deadline)
            return web.Response(body=review.answer(asked, given), content_type="application/json")
        except InvalidInput as error:
            return _json({"code": error.code, "message": error.message, "remedy": error.remedy}, 400)
        finally:
            self._bytes -= len(body)

    async def _read(self, request: web.Request, body: bytearray, deadline: float) -> None:
        """Read a body; what has come counts until it is answered, what was only announced does not."""
        length = request.content_length
        if length is None:
            raise web.HTTPLengthRequired
        if length > MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY, length)
        try:
            async with asyncio.timeout_at(deadline):
                async for chunk in request.content.iter_chunked(CHUNK):
                    body += chunk
                    self._bytes += len(chunk)
                    if self._bytes > MAX_BYTES:
                        raise web.HTTPTooManyRequests
        except TimeoutError as error:
            raise web.HTTPRequestTimeout from error

    async def _answer(self, asked: Review, deadline: float) -> Answer:
        if self._reviews >= self._max_reviews:
            return self._failure(asked, "busy", f"more than {self._max_reviews} reviews at once")
        self._reviews += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await self._decider.answer(asked)
        except TimeoutError:
            return self._failure(asked, "timeout", "no decision within the API server's time limit")
        except FedbusError as error:
            return self._failure(asked, "error", error.message)
        except Exception as error:  # noqa: BLE001 - the boundary: one odd review harms itself only
            _log.exception("review_crashed", uid=asked.request.uid)
            return self._failure(asked, "error", f"an error in fedbus ({type(error).__name__})")
        finally:
            self._reviews -= 1

    def _failure(self, asked: Review, why: Failure, message: str) -> Answer:
        _log.warning("review_failed", uid=asked.request.uid, why=why, detail=message)
        self._decider.failed(asked, why, message)
        if self._fail_open:
            warning = f"fedbus let this pass undecided: {message}"
            return Answer(allowed=True, warnings=(warning,), audit={"undecided": why})
        return Answer(allowed=False, code=500, message=f"fedbus cannot decide: {message}")


class WebhookServer(HttpsServer):
    """Serves the webhook."""

    def __init__(self, webhook: Webhook, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(webhook.app(), host, port, context, name="webhook", keepalive_timeout=KEEP_ALIVE)

    @property
    def url(self) -> str:
        """The address of reviews, for clients on this machine."""
        return super().url + PATH


def allowance(timeout: str) -> float:
    """Return how many seconds a review may take: what the API server waits (`10s`), less a margin.

    The margin is a fifth and at most a second: for the way back, and for the API server itself.
    """
    parts = _DURATION.findall(timeout) if _DURATION.sub("", timeout) == "" else []
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else DEFAULT_TIMEOUT
    seconds = min(max(seconds, 0.1), 30.0)
    return seconds - min(1.0, seconds / 5)


def _json(value: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
