"""The master asks clusters over the bus: one signed question each, many clusters at once."""

import asyncio
import base64
from collections.abc import Callable, Collection, Iterable

import msgspec

from fedbus.bus.session import Connection, Message
from fedbus.errors import FedbusError, InvalidEvent, Refused, TooLarge, Unavailable
from fedbus.model import codec, subjects
from fedbus.model.federation import SIGNATURE
from fedbus.model.rpc import ENCODING, RpcAnswer, RpcRequest
from fedbus.pki.signing import Signed, Signer
from fedbus.runtime import Clock

AT_ONCE = 32
"""Clusters that are asked at the same time: their answers may be large."""
ANSWER_SECONDS = 30.0
AWAY_SECONDS = 2.0
"""Seconds for a cluster that has not been heard of for long."""

Answered = msgspec.Raw | FedbusError
"""The JSON of a result, or why there is none."""


class Calls:
    """Asks clusters.

    Who answered is known by the reply alone: the server lets only who got a question answer it, and once.
    """

    def __init__(
        self, signer: Signer, federation_id: str, connection: Callable[[], Connection], clock: Clock
    ) -> None:
        self._signer, self._federation_id = signer, federation_id
        self._connection, self._clock = connection, clock
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def ask(
        self, cluster_id: str, method: str, params: bytes, *, timeout: float = ANSWER_SECONDS
    ) -> msgspec.Raw:
        """Ask one cluster and return the JSON of its result.

        Raises TooLarge, Refused with the cluster's reason, Unavailable (BUS_NO_RESPONDERS if it is away).
        """
        async with self._turns:
            request = RpcRequest(
                federation_id=self._federation_id,
                cluster_id=cluster_id,
                id=self._clock.random_bytes(16).hex(),
                at=self._clock.now(),
                method=method,
                params=msgspec.Raw(params),
            )
            body, encoding = _fitting(codec.encode(request))
            signature = base64.b64encode(self._signer.sign(body, Signed.REQUEST)).decode()
            headers = {SIGNATURE: signature} | ({ENCODING: encoding} if encoding else {})
            reply = await self._connection().request(
                subjects.rpc(cluster_id), body, headers=headers, timeout=timeout
            )
            return _result(reply, request.id)

    async def ask_all(
        self, cluster_ids: Iterable[str], method: str, params: bytes, *, away: Collection[str] = ()
    ) -> dict[str, Answered]:
        """Ask many clusters the same; one that does not answer keeps no other from it.

        Those that seem to be `away` are not waited for long. Raises TooLarge.
        """
        answers: dict[str, Answered] = {}
        _fitting(params)

        async def one(cluster_id: str) -> None:
            timeout = AWAY_SECONDS if cluster_id in away else ANSWER_SECONDS
            try:
                answers[cluster_id] = await self.ask(cluster_id, method, params, timeout=timeout)
            except FedbusError as error:
                answers[cluster_id] = error

        async with asyncio.TaskGroup() as group:
            for cluster_id in cluster_ids:
                group.create_task(one(cluster_id), name=f"ask {cluster_id}")
        return answers


def _fitting(payload: bytes) -> tuple[bytes, str]:
    """Return a payload packed. Raises TooLarge if the bus does not carry it."""
    body, encoding = codec.pack(payload)
    if len(payload) > codec.MAX_PAYLOAD or len(body) > codec.MAX_BODY:
        raise TooLarge("the request is too large for the bus", remedy="ask for less at a time")
    return body, encoding


def _result(reply: Message, request_id: str) -> msgspec.Raw:
    if len(reply.data) > codec.MAX_BODY:
        raise Unavailable("the cluster's answer is too large", code="ANSWER_INVALID")
    try:
        payload = codec.unpack(reply.data, reply.headers.get(ENCODING, ""))
        answer = codec.decode(payload, RpcAnswer)
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unavailable(f"the cluster's answer does not decode: {error}", code="ANSWER_INVALID") from error
    if answer.id != request_id:
        raise Unavailable("the cluster answered another question", code="ANSWER_INVALID")
    if answer.refused is not None:
        refused = answer.refused
        raise Refused(refused.message, code=refused.code, remedy=refused.remedy)
    return answer.result
