"""Who asks for a write, and how: the part of every writing request that is not its body."""

from hashlib import sha256

from aiohttp import web

from fedbus.core.writes import Request
from fedbus.errors import InvalidInput
from fedbus.web.auth import principal

MAX_KEY = 128
MAX_COMMENT = 1024

IDEMPOTENCY_KEY = "Idempotency-Key"


def asked(request: web.Request, comment: str, digest: str = "") -> Request:
    """Return what the ledger keeps of a request. Raises InvalidInput for a key that is none."""
    key = request.headers.get(IDEMPOTENCY_KEY, "")
    if len(key) > MAX_KEY or not (key.isascii() and key.isprintable()):
        raise InvalidInput(f"an idempotency key has at most {MAX_KEY} printable characters")
    who = principal(request)
    # Every cluster reads the name; an address is nobody's business there, and stays on the master.
    return Request(
        actor=who.name if who else "",
        origin=who.remote if who else "",
        comment=comment[:MAX_COMMENT],
        key=key,
        digest=digest,
    )


async def digest_of(request: web.Request) -> str:
    """Return what tells a request from another with the same key."""
    head = f"{request.method} {request.raw_path}\n".encode("utf-8", "surrogateescape")
    return sha256(head + await request.read()).hexdigest()


def actor(request: web.Request) -> str:
    """Return who asks and from where, for records that stay on the master."""
    who = principal(request)
    return f"{who.name} from {who.remote}" if who else "unknown"
