"""A cluster answers what the master asks it over the bus.

A message on the cluster's own subject need not come from the master: other members can have answers of
their own delivered there (`pki/roles.py`). So nothing is unpacked, and nobody answered, before the
federation's signature was found good, for this cluster, now and for the first time.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog

from fedbus.bus.session import Connection, Message
from fedbus.core.requests import Questions
from fedbus.errors import FedbusError, Refused, TooLarge
from fedbus.model import codec, subjects
from fedbus.model.federation import SIGNATURE, Refusal
from fedbus.model.rpc import ENCODING, RpcAnswer, RpcRequest
from fedbus.pki.signing import Signed, Verifier

MAX_WAITING = 100
"""Messages that may wait to be looked at."""
AT_ONCE = 4
"""Questions that are worked on at the same time; the next ones are told to come back."""
ANSWER_SECONDS = 25.0
_NONE = msgspec.Raw(b"null")

Method = Callable[[bytes], Awaitable[bytes]]
"""Takes the JSON of the parameters and returns the JSON of the result. Raises FedbusError."""
log = structlog.get_logger(__name__)


class Answering:
    """The methods that the master may call on this cluster."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        verifier: Verifier,
        questions: Questions,
        now: Callable[[], float],
    ) -> None:
        """Take the methods by name, and what tells the time by the master's clock (Unix seconds)."""
        self._methods, self._verifier, self._questions, self._now = methods, verifier, questions, now
        self._working = 0

    async def serve(self, connection: Connection, cluster_id: str) -> None:
        """Answer for ever on one session."""
        async with asyncio.TaskGroup() as group:

            async def take(message: Message) -> None:
                request = self._taken(message)
                if request is not None:
                    group.create_task(self._answer(connection, message, request), name="answer")

            async with connection.subscription(subjects.rpc(cluster_id), take, limit=MAX_WAITING):
                await connection.closed.wait()

    def _taken(self, message: Message) -> RpcRequest | None:
        """Return what the master asks, None for what it does not ask, or not now, or did already."""
        try:
            signature = base64.b64decode(message.headers.get(SIGNATURE, ""), validate=True)
            if not message.reply or not self._verifier.verify(message.data, signature, Signed.REQUEST):
                raise Refused("the request is not signed by the federation", code="SIGNATURE_INVALID")
            payload = codec.unpack(message.data, message.headers.get(ENCODING, ""))
            request = codec.decode(payload, RpcRequest)
            self._questions.take(request, self._now())
        except FedbusError as error:
            log.warning("request_refused", code=error.code, error=error.message)
        except (binascii.Error, UnicodeDecodeError, msgspec.MsgspecError) as error:
            log.warning("request_refused", code="PAYLOAD_UNDECODABLE", error=str(error))
        else:
            return request
        return None

    async def _answer(self, connection: Connection, message: Message, request: RpcRequest) -> None:
        body, encoding = await self._body(request)
        headers = {ENCODING: encoding} if encoding else None
        try:
            await connection.publish(message.reply, body, headers=headers)
        except FedbusError:
            log.debug("answer_not_sent", method=request.method)

    async def _body(self, request: RpcRequest) -> tuple[bytes, str]:
        try:
            result = await self._result(request)
            payload = codec.encode(RpcAnswer(id=request.id, result=msgspec.Raw(result)))
            body, encoding = codec.pack(payload)
            if len(payload) > codec.MAX_PAYLOAD or len(body) > codec.MAX_BODY:
                raise TooLarge("the answer is too large for the bus", remedy="ask for less at a time")
        except FedbusError as error:
            log.info("request_not_answered", method=request.method, code=error.code)
            refusal = Refusal(code=error.code, message=error.message, remedy=error.remedy)
            return codec.encode(RpcAnswer(id=request.id, result=_NONE, refused=refusal)), codec.PLAIN
        return body, encoding

    async def _result(self, request: RpcRequest) -> bytes:
        method = self._methods.get(request.method)
        if method is None:
            raise Refused(
                f"this cluster knows no method {request.method[:64]!r}",
                code="METHOD_UNKNOWN",
                remedy="upgrade its worker",
            )
        if self._working >= AT_ONCE:
            raise Refused(f"the cluster works on {AT_ONCE} requests already", code="BUSY", remedy="ask again")
        self._working += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await method(bytes(request.params))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(f"the parameters do not decode: {error}", code="PARAMS_INVALID") from error
        except TimeoutError as error:
            raise Refused(f"not done within {ANSWER_SECONDS:.0f} s", code="TIMEOUT") from error
        finally:
            self._working -= 1
