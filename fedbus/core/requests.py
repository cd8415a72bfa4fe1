"""Whether a cluster answers a question that claims to be the master's: for it, now, and only once."""

from typing import Final

from fedbus.errors import Refused
from fedbus.model.rpc import RpcRequest

VALID_SECONDS: Final = 60.0
"""How far the time of a question may be from the master's time now, either way."""
MAX_REMEMBERED: Final = 10_000


class Questions:
    """The questions that were taken within the time in which they could be sent again."""

    def __init__(self, federation_id: str, cluster_id: str) -> None:
        self._federation_id, self._cluster_id = federation_id, cluster_id
        self._taken: dict[str, float] = {}

    def take(self, request: RpcRequest, now: float) -> None:
        """Take a question whose signature holds; `now` is Unix seconds by the master's clock.

        Raises Refused: REQUEST_MISADDRESSED, REQUEST_STALE, REQUEST_REPLAYED, BUSY.
        """
        if (request.federation_id, request.cluster_id) != (self._federation_id, self._cluster_id):
            raise Refused("the request is for another cluster", code="REQUEST_MISADDRESSED")
        if not abs(now - request.at) <= VALID_SECONDS:  # so put, nothing is newer than no number
            raise Refused(
                f"the request is {now - request.at:.0f} s old by this cluster's reckoning",
                code="REQUEST_STALE",
                remedy="compare the clocks of both sides: the summary shows the skew",
            )
        # One from the future is valid for longer: it is forgotten when it could not be taken any more.
        self._taken = {one: at for one, at in self._taken.items() if now - at <= VALID_SECONDS}
        if request.id in self._taken:
            raise Refused("the request was answered already", code="REQUEST_REPLAYED")
        if len(self._taken) >= MAX_REMEMBERED:
            raise Refused("too many requests within a minute", code="BUSY", remedy="ask again later")
        self._taken[request.id] = request.at
