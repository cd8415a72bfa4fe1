"""Secrets that stand in an environment variable in plain sight.

What looks like a credential of a known service, a private key, a password in an address, or a value under a
name that says that it is one. Only literal values are looked at; a value is never part of an answer.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import re2

from fedbus.core.known_secrets import CREDENTIALS, PRIVATE_KEY, TELLING_NAMES
from fedbus.model.review import EnvVar

_LONGEST = 64 * 1024
"""How much of a value is looked at, in characters."""

_KNOWN: Sequence[tuple[str, str]] = (
    ("private key", PRIVATE_KEY),
    *CREDENTIALS,
    ("Google service account", r'"type"\s*:\s*"service_account"'),
    ("JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    ("password in an address", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,64}:[^\s:/@$]{3,}@"),
    ("secret by its name", rf"(?i)^[A-Z0-9_.-]*(?:{TELLING_NAMES}|CREDENTIALS) = \S{{6,}}"),
)
_REFERENCE = re2.compile(r" = (?:\$\(|\$\{|/|file:|https?://[^@]*$|(?i:true|false|none|null)$)")
"""A value that only says where the secret is: another variable, a file, an address; or a switch."""


def _compiled() -> Any:
    known = re2.Set.SearchSet()
    for _, expression in _KNOWN:
        known.Add(expression)
    known.Compile()
    return known


_ALL = _compiled()
_BY_NAME = len(_KNOWN) - 1


def found(env: Iterable[EnvVar]) -> list[str]:
    """Return which variables hold what kind of secret, as `NAME: kind`."""
    return [f"{variable.name}: {kind}" for variable in env if (kind := _kind(variable))]


def _kind(variable: EnvVar) -> str:
    if not variable.literal or not variable.value:
        return ""
    text = f"{variable.name} = {variable.value[:_LONGEST]}".encode(errors="replace").decode()
    hits = sorted(_ALL.Match(text) or ())
    if hits == [_BY_NAME] and _REFERENCE.search(text):
        return ""
    return _KNOWN[hits[0]][0] if hits else ""
