"""Secrets in what an image's builders left behind: masked before anything of it is kept or sent."""

import re

from fedbus.core.known_secrets import CREDENTIALS, PRIVATE_KEY, TELLING_NAMES

MASK = "****"

_HINTS = (
    *("password", "passwd", "passphrase", "secret", "key", "token", "credential", "_pwd", "_pass"),
    *("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "gl", "xox", "aiza", "_live_"),
    *("sg.", "npm_", "hf_", "pypi-", "sk", "eyj", "bearer", "://"),
)
"""What every secret below has one of: most texts have none, and looking for them is fast."""

_NAME = rf"(?:{TELLING_NAMES}|_PWD\b|_PASS\b)"
# Every repetition is bounded, so that no text takes more than its length in time.
_ASSIGNED = re.compile(
    rf"(?i)(?P<name>{_NAME}[A-Z0-9_.-]{{0,64}})(?P<is>['\"]?(?:=|\s{{1,4}}=\s{{1,4}}|\s{{0,4}}:\s{{0,4}}))"
    r"(?P<value>\"[^\"]{1,4096}\"|'[^']{1,4096}'|[^\s\"']{1,4096})"
)
_KNOWN = re.compile(
    "|".join(
        (
            PRIVATE_KEY + ".{0,8192}",
            *(expression for _, expression in CREDENTIALS),
            r"\beyJ[A-Za-z0-9_-]{10,4096}\.[A-Za-z0-9_.-]{10,8192}",
            r"(?<=Bearer )[A-Za-z0-9._~+/-]{8,4096}=*",
            r"(?<=://)[^\s:/@]{0,64}:[^\s/@$]{1,256}(?=@)",
        )
    ),
    re.DOTALL,
)
_LABELLED = re.compile(
    r"\s{0,8}(?:export\s{1,8}|ENV\s{1,8})?['\"]?[A-Za-z_][A-Za-z0-9_.-]{0,63}['\"]?\s{0,4}[:=]"
)


def redacted(text: str) -> str:
    """Return a command, environment variable or the like with what is secret in it masked.

    What looks like a credential of a known service, a private key or a password in an address, and the
    value that is assigned to a name which says that it is secret; a reference to a variable or file stays.
    """
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    return _KNOWN.sub(MASK, _ASSIGNED.sub(_masked, text))


def env(assignment: str) -> str:
    """Return an environment variable `NAME=value`, the value masked where it is or may be secret."""
    name, equals, value = assignment.partition("=")
    if equals and value and re.search(f"(?i){_NAME}", name[:256]) and not _is_reference(name, value):
        return f"{name}={MASK}"
    return redacted(assignment)


def evidence(text: str) -> str:
    """Return the evidence of a secret with nothing of the secret: at most the name it is assigned to."""
    if not text:
        return ""
    found = _LABELLED.match(text)
    return (found.group() if found else "") + MASK


def _masked(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    return found.group() if _is_reference(name, value) else f"{name}{found['is']}{MASK}"


def _is_reference(name: str, value: str) -> bool:
    """Tell whether a value only says where the secret is: another variable, or a file."""
    return value.strip("\"'").startswith("$") or name.upper().endswith(("_FILE", "_PATH", "_DIR"))
