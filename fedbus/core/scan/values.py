"""Single values of scan reports in their variants: severities, scores, times, texts, identifiers."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from fedbus.model.scan import Severity

MAX_TEXT = 8192
"""Characters of the longest text that is kept; a longer one is cut."""

_SEVERITIES: dict[str, Severity] = {
    "critical": "Critical",
    "high": "High",
    "important": "High",
    "error": "High",
    "medium": "Medium",
    "moderate": "Medium",
    "warning": "Medium",
    "low": "Low",
    "note": "Low",
    "negligible": "Negligible",
    "unimportant": "Negligible",
    "info": "Negligible",
    "informational": "Negligible",
}
_LAST_SECOND = 253402300799
"""The end of the year 9999."""
_MAX_SIZE = 2**53
_CVE = re.compile(r"CVE-\d{4}-\d{4,}", re.IGNORECASE)
_GHSA = re.compile(r"GHSA(?:-[0-9a-z]{4}){3}", re.IGNORECASE)


def severity(text: str | None) -> Severity:
    """Return the severity of a scanner's word, whatever its case; Unknown if there is none."""
    return _SEVERITIES.get((text or "").strip().lower(), "Unknown")


def severity_of_score(score: float) -> Severity:
    """Return the severity of a CVSS version 3 score, by its own scale; Unknown for 0."""
    bands: tuple[tuple[float, Severity], ...] = ((9, "Critical"), (7, "High"), (4, "Medium"), (0.1, "Low"))
    return next((name for least, name in bands if score >= least), "Unknown")


def score(number: float | None) -> float:
    """Return a CVSS score; 0, which is unknown, for what is none."""
    return float(number) if number is not None and 0 <= number <= 10 else 0.0


def size(number: int | None) -> int:
    """Return a number of bytes; 0, which is unknown, for what is none."""
    return number if number is not None and 0 <= number <= _MAX_SIZE else 0


def moment(value: str | float | None) -> float:
    """Return a time as Unix seconds: from seconds as a number or text, from RFC 3339, or from a date.

    What says no time, or one outside 1970 to 9999 (Go's zero time is the year 1), is unknown: 0. A time
    without a zone is UTC.
    """
    found = _of_text(value.strip()) if isinstance(value, str) else float(value or 0)
    return found if 0 < found <= _LAST_SECOND else 0.0


def seconds(value: str | float | None) -> int:
    """Return a time as whole Unix seconds (see `moment`)."""
    return int(moment(value))


def _of_text(text: str) -> float:
    if len(text) > 64:
        return 0.0
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def cut(text: str | None, most: int = MAX_TEXT) -> str:
    """Return a text, cut where it is longer than `most` characters."""
    if not text:
        return ""
    return text if len(text) <= most else text[: most - 1] + "…"


def texts(given: Iterable[str] | None, most: int = MAX_TEXT) -> tuple[str, ...]:
    """Return what is not empty of a list of texts, each once, in its order."""
    return tuple(dict.fromkeys(cut(one, most) for one in given or () if one))


def cves(name: str, *others: Iterable[str | None]) -> tuple[str, ...]:
    """Return the CVE ids among the other names of a vulnerability, each once; not its own name."""
    own = name.upper()
    found = {
        one.upper(): None
        for given in others
        for one in given
        if one and len(one) <= 64 and _CVE.fullmatch(one)
    }
    found.pop(own, None)
    return tuple(found)


def advisory(text: str) -> str:
    """Return the first id of a CVE, or else of GitHub's advisories, that a text names."""
    found = _CVE.search(text[:512]) or _GHSA.search(text[:512])
    return found.group() if found else ""
