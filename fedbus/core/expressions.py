"""Regular expressions that users write: RE2's, whose time is linear in the text, whatever the expression."""

from typing import Protocol, cast

import re2

EXPRESSION_MAX = 1024
"""The longest regular expression, in characters, outside of sensors (ours: it bounds compiling)."""
MEMORY = 1 << 20
"""What one compiled expression may take, in bytes; a larger one is refused."""

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = MEMORY


class Expression(Protocol):
    """What is asked of a compiled expression."""

    def search(self, text: str) -> object | None:
        """Look for it anywhere in a text."""

    def fullmatch(self, text: str) -> object | None:
        """Compare it with a whole text."""


def compiled(expression: str) -> Expression:
    """Compile an expression. Raises ValueError, saying why, when RE2 refuses it."""
    try:
        return cast(Expression, re2.compile(expression, _OPTIONS))  # type: ignore[no-untyped-call]
    except re2.error as error:
        reason = error.args[0] if error.args else "it is no regular expression"
        raise ValueError(
            reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        ) from None
