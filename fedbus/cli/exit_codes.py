"""What the exit code of every command means; part of the interface, so it never changes."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The reason a command ended."""

    OK = 0
    FAILURE = 1  # it was tried and did not work
    USAGE = 2  # the command line or the configuration is wrong
    UNREACHABLE = 3  # no daemon answers there, or it cannot be trusted
    DENIED = 4  # not logged in, not allowed, or refused by the master
    NOT_FOUND = 5
    CONFLICT = 6  # the state is not the one assumed: read again, then retry
    INVALID = 7  # the input breaks a rule
    UNAVAILABLE = 8  # a part does not answer now: try again later
    WOULD_DENY = 9  # asked what admission would do: it would deny


HELP = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 daemon unreachable, 4 not allowed, 5 not found, "
    "6 conflict, 7 invalid input, 8 unavailable for now, 9 admission would deny."
)

_OF_STATUS = {
    400: ExitCode.INVALID,
    401: ExitCode.DENIED,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    413: ExitCode.INVALID,
    415: ExitCode.INVALID,
    422: ExitCode.INVALID,
    429: ExitCode.UNAVAILABLE,
    503: ExitCode.UNAVAILABLE,
    504: ExitCode.UNAVAILABLE,
}


def of_status(status: int) -> ExitCode:
    """Return the exit code for an HTTP status that is an error."""
    return _OF_STATUS.get(status, ExitCode.FAILURE)
