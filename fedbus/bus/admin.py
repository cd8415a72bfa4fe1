"""What only the system account may do: read and push account JWTs, which is how a credential is revoked."""

import msgspec

from fedbus.bus.session import Connection
from fedbus.core import connectivity
from fedbus.errors import Unavailable


class _Failure(msgspec.Struct):
    code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Failure | None = None


async def held_account(system: Connection, account: str) -> str:
    """Return the JWT that the servers have of an account; empty when they have none.

    Raises Unavailable: CLAIMS_REFUSED where there is no resolver that takes pushed ones.
    """
    try:
        reply = await system.request(f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP")
    except Unavailable as error:
        if error.code != "BUS_NO_RESPONDERS":
            raise
        raise connectivity.error("CLAIMS_REFUSED", "the bus takes no pushed accounts") from error
    return reply.data.decode("ascii", errors="replace")


async def push_account(system: Connection, account_jwt: str) -> None:
    """Give the servers a new account JWT; live connections of revoked users are cut at once.

    Raises Unavailable.
    """
    reply = await system.request("$SYS.REQ.CLAIMS.UPDATE", account_jwt.encode())
    answer = msgspec.json.decode(reply.data, type=_Answer)
    if answer.error is not None:
        refused = f"the bus refused the account's claims: {answer.error.description}"
        raise connectivity.error("CLAIMS_REFUSED", refused)
