"""Delays between attempts: exponential, capped, with full jitter from the caller."""


def delay(attempt: int, jitter: float, *, base: float = 0.1, cap: float = 15.0) -> float:
    """Return the seconds to wait before attempt `attempt` (from 1); `jitter` is uniform in [0, 1).

    Full jitter below a quarter's floor, so that a thousand workers do not come back in step and none
    comes back at once.
    """
    top = min(cap, base * float(1 << min(max(attempt - 1, 0), 16)))
    return top / 4 + jitter * top * 3 / 4
