"""Every error fedbus raises on purpose: one class per reaction of the caller.

FedbusError
├── ConfigError      the configuration is wrong: say all faults, exit 2
├── InvalidInput     422: what was sent breaks a rule; carries every fault found
├── Unauthorized     401
├── Forbidden        403
├── NotFound         404
├── Conflict         409: carries the current revision where there is one
├── TooLarge         413
├── RateLimited      429: carries the seconds to wait
├── Unavailable      503: nothing changed, or the outcome is unknown; try again
├── Refused          a join, renewal or connection was refused: carries the code
└── InvalidEvent     an event that must be quarantined: carries the reason

`code` is stable and for programs, `message` is a sentence for the person who caused it,
`remedy` says what to do.
"""

from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input.

    `field` is a path such as `criteria[0].op`; `document` is the zero-based index of the document
    in a request of many, `line` its one-based line where the input was text.
    """

    field: str
    message: str
    document: int | None = None
    line: int | None = None


class FedbusError(Exception):
    """The root: a stable code, a sentence, and what to do about it."""

    code = "INTERNAL"

    def __init__(self, message: str, *, code: str | None = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code


class ConfigError(FedbusError):
    """The daemon or the command is configured wrongly."""

    code = "CONFIG_INVALID"


class InvalidInput(FedbusError):
    """The request breaks a rule; `faults` lists every one found."""

    code = "INVALID_INPUT"

    def __init__(
        self, message: str, faults: tuple[Fault, ...] = (), *, code: str | None = None, remedy: str = ""
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.faults = faults


class Unauthorized(FedbusError):
    """Nobody, or the wrong somebody, asked."""

    code = "UNAUTHORIZED"


class Forbidden(FedbusError):
    """The caller is known but may not do this, or nobody may do it here."""

    code = "FORBIDDEN"


class NotFound(FedbusError):
    """What was named does not exist."""

    code = "NOT_FOUND"


class Conflict(FedbusError):
    """The state is not the one the caller assumed."""

    code = "CONFLICT"

    def __init__(
        self, message: str, *, current_revision: int | None = None, code: str | None = None, remedy: str = ""
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.current_revision = current_revision


class TooLarge(FedbusError):
    """The input is over a limit."""

    code = "TOO_LARGE"


class RateLimited(FedbusError):
    """Too many attempts; `retry_after` is in seconds."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after: float, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class Unavailable(FedbusError):
    """A part that is needed does not answer; `idempotency_key` lets the caller ask again safely."""

    code = "UNAVAILABLE"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        remedy: str = "",
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.idempotency_key = idempotency_key


class Refused(FedbusError):
    """The other side said no; `code` says why (TOKEN_EXPIRED, CLUSTER_REMOVED, ...)."""

    code = "REFUSED"


class InvalidEvent(FedbusError):
    """An event that must not be applied; `code` is the reason it is quarantined with."""

    code = "EVENT_INVALID"


E = TypeVar("E", bound=Exception)


def only(group: BaseExceptionGroup[E]) -> E:
    """Return the first error of a group that `except*` selected, however deep it is nested."""
    first = group.exceptions[0]
    return only(first) if isinstance(first, BaseExceptionGroup) else first
