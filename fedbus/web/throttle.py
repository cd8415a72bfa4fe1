"""How long an address has to wait after failed logins: pure, with the clock as an argument."""

import msgspec

FREE_ATTEMPTS = 5
"""Failures an address has before it must wait."""
FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
FORGET_AFTER = 3600.0
"""Seconds after which an address without attempts has a clean slate."""
MAX_ADDRESSES = 10_000


class _Failures(msgspec.Struct):
    count: int
    last: float


class Throttle:
    """Failed attempts by address; the delay doubles with each failure over the free ones."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def attempt(self, address: str, now: float) -> float:
        """Count an attempt made at `now` and return 0.0, or return the seconds still to wait.

        An attempt counts as failed until `succeeded` says otherwise; one that comes too early is
        not counted.
        """
        known = self._failures.get(address)
        if known is None or now - known.last > FORGET_AFTER:
            self._make_room()
            known = self._failures[address] = _Failures(0, now)
        over = known.count - FREE_ATTEMPTS
        wait = known.last + _delay(over) - now if over >= 0 else 0.0
        if wait > 0:
            return wait
        known.count += 1
        known.last = now
        return 0.0

    def succeeded(self, address: str) -> None:
        """Forget the failures of `address`."""
        self._failures.pop(address, None)

    def _make_room(self) -> None:
        if len(self._failures) >= MAX_ADDRESSES:
            del self._failures[min(self._failures, key=lambda address: self._failures[address].last)]


def _delay(over: int) -> float:
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(over, 20))
