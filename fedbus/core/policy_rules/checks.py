"""What the rules of several kinds share: names, patterns, links."""

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from fedbus.core.expressions import EXPRESSION_MAX
from fedbus.errors import Fault
from fedbus.model.policy.scope import FED, PREFIX, Scope

NAME_MAX = 256
MAX_FAULTS = 100
"""An answer lists at most this many faults of an object; nobody reads more."""
MESSAGE_MAX = 1000
"""The longest message of a fault, in characters: it quotes the input."""

NAME = re.compile(r"[a-zA-Z0-9][.:a-zA-Z0-9_-]*")
_LABEL = re.compile(r"[a-zA-Z0-9][.:a-zA-Z0-9_/-]*")
_NUMBER = re.compile(r"[0-9eE.+-]+")
_TRUTH = ("true", "false")


def wrong(field: str, text: str) -> Fault:
    """Return a fault whose message starts with the name of its field, and is not endless."""
    message = f"{field} {text}"
    return Fault(field, message if len(message) <= MESSAGE_MAX else message[:MESSAGE_MAX] + "...")


def name_faults(field: str, name: str) -> Iterator[Fault]:
    """Check the form of any name."""
    if not NAME.fullmatch(name):
        yield wrong(field, f"must start with a letter or digit and hold only those and . : _ -, not {name!r}")
    elif len(name) > NAME_MAX:
        yield wrong(field, f"must be at most {NAME_MAX} characters long, not {len(name)}")


def own_name_faults(field: str, name: str, scope: Scope) -> Iterator[Fault]:
    """Check the name of an object of a scope: federated names have the prefix, no others."""
    if scope is not FED and name.startswith(PREFIX):
        yield wrong(field, f"must not start with '{PREFIX}': that is what the master federates")
    elif scope is FED and (not name.startswith(PREFIX) or name == PREFIX):
        yield wrong(field, f"must start with '{PREFIX}' and go on after it, not {name!r}")
    else:
        yield from name_faults(field, name)


def is_label(key: str) -> bool:
    """Tell whether `key` may name a label, with a path such as `app.kubernetes.io/name`."""
    return bool(_LABEL.fullmatch(key))


def regex_error(pattern: str, longest: int = EXPRESSION_MAX) -> str:
    """Return why `pattern` is no usable regular expression, the empty text when it is one."""
    if len(pattern) > longest:
        return f"longer than {longest} characters"
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def number(text: str) -> float | None:
    """Return the finite number that `text` writes, None for anything else."""
    if not _NUMBER.fullmatch(text):
        return None  # Python's own reading is wider: blanks, underscores, other scripts' digits
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_truth(text: str) -> bool:
    """Tell whether `text` is `true` or `false`."""
    return text in _TRUTH


def is_web_address(text: str) -> bool:
    """Tell whether `text` is an http or https address with a host."""
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError when it is no port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def items(text: str) -> list[str]:
    """Return the trimmed items of a comma list."""
    return [item.strip() for item in text.split(",")]


def repeated(values: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield every value that stood in front already, with its index."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index, value
        seen.add(value)
