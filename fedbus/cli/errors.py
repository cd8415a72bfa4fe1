"""Errors as a person at the command line meets them."""

import msgspec

from fedbus.cli.exit_codes import ExitCode, of_status
from fedbus.cli.output import text
from fedbus.web.problem import Problem


class CliError(Exception):
    """Ends the command with a message, what to do about it, and an exit code."""

    def __init__(self, message: str, *, remedy: str = "", code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code


class ApiError(CliError):
    """The daemon answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, remedy=problem.remedy, code=of_status(problem.status))
        self.problem = problem


def from_answer(status: int, raw: bytes) -> ApiError:
    """Read the problem in an error answer; one that is none is described as well as can be."""
    try:
        return ApiError(msgspec.json.decode(raw, type=Problem))
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = raw[:200].decode("utf-8", "replace").strip()
        return ApiError(unknown(status, f"HTTP {status}: {text}"))


def lines(error: CliError) -> list[str]:
    """Describe an error in lines for people."""
    said = [f"Error: {error.message}"]
    if isinstance(error, ApiError):
        problem = error.problem
        said += [
            f"  {_where(one.document, one.line)}{text(one.field)}: {text(one.message)}"
            for one in problem.errors
        ]
        if problem.current_revision is not None:
            said.append(f"  The current revision is {problem.current_revision}")
        if problem.retry_after is not None:
            said.append(f"  Try again in {problem.retry_after:.0f} s")
        if problem.idempotency_key:
            said.append(
                f"  It may have been done: ask again with --idempotency-key {problem.idempotency_key}"
            )
    if error.remedy:
        said.append(f"  {error.remedy}")
    return said


def _where(document: int | None, line: int | None) -> str:
    if line is not None:
        return f"line {line}: "
    return f"document {document + 1}: " if document is not None else ""


def unknown(status: int, detail: str) -> Problem:
    """Make a problem of which no more is known than what went wrong."""
    return Problem(
        type="about:blank",
        title="",
        status=status,
        detail=detail,
        instance="",
        code=0,
        error="",
        message=detail,
        reason="HTTP_ERROR",
        request_id="",
    )
