"""Whether a request to a registry is made again, and after how long."""

from email.utils import parsedate_to_datetime

from fedbus.core import backoff

ATTEMPTS = 4
"""How often one request is made at most."""
PATIENCE = 60.0
"""The longest a registry may ask to be left alone within a run, in seconds."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def transient(status: int) -> bool:
    """Tell whether an answer may be another one soon."""
    return status in _TRANSIENT


def asked_for(header: str, now: float) -> float:
    """Return the seconds a `Retry-After` asks for, 0 where it is none; `now` is Unix seconds."""
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def pause(attempt: int, jitter: float, asked: float = 0.0) -> float | None:
    """Return the seconds to wait after attempt `attempt` (from 1) failed, None to give up.

    What a registry asks for is at least waited; `jitter` is uniform in [0, 1).
    """
    if attempt >= ATTEMPTS or asked > PATIENCE:
        return None
    return asked + backoff.delay(attempt, jitter, base=0.5, cap=10.0)
