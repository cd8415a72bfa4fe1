"""The last step of every import: which image, when, and the limits that a report must keep."""

import re

import msgspec

from fedbus.core.scan.identity import Given, is_digest, reference, registry_url, unusable
from fedbus.errors import Fault, InvalidInput
from fedbus.model.scan import Report

LIMITS = {
    "vulnerabilities": 100_000,
    "modules": 100_000,
    "layers": 4_096,
    "envs": 4_096,
    "labels": 4_096,
    "cmds": 4_096,
    "checks": 100_000,
    "secrets": 100_000,
    "setid_perms": 100_000,
}
"""How many of each a report may have."""

_HEX = re.compile(r"[0-9a-f]{64}")


def finish(report: Report, given: Given, received: float) -> Report:
    """Return a report as it is kept.

    What is given wins. Where a scanner knows no digest the image's id identifies the report, then its name.
    A scan that says no time was made when it was received; one from the future too, since it would
    otherwise stand above every later one. Raises InvalidInput.
    """
    check_limits(report)
    named = _named(report, given)
    digest = given.digest or report.digest or named.image_id or _name(named)
    scanned = min(report.scanned_at, received) if report.scanned_at > 0 else received
    done = msgspec.structs.replace(named, digest=digest, scanned_at=scanned)
    _check_names(done, given)
    return done


def _named(report: Report, given: Given) -> Report:
    """Give a report its names; a registry that stands in the repository's name is taken out of it."""
    found = reference(given.repository or report.repository)
    if is_digest(report.repository):
        found = msgspec.structs.replace(found, registry="", repository=report.repository, tag="")
    url = registry_url(given.registry) or found.registry or registry_url(report.registry_url)
    image_id = report.image_id
    return msgspec.structs.replace(
        report,
        registry_url=url,
        repository=found.repository,
        tag=given.tag or (found.tag if given.repository else "") or report.tag or found.tag,
        image_id=f"sha256:{image_id}" if _HEX.fullmatch(image_id) else image_id,
    )


def _name(report: Report) -> str:
    return f"{report.repository}:{report.tag}" if report.tag else report.repository


def check_limits(report: Report) -> None:
    """Raise InvalidInput when a report has more of anything than it may."""
    for field, most in LIMITS.items():
        if (count := len(getattr(report, field) or ())) > most:
            message = f"the report has {count} {field}, more than {most}"
            raise InvalidInput(message, (Fault("", message),))


def _check_names(report: Report, given: Given) -> None:
    if not report.repository:
        message = "the report does not say which image it is about"
        raise InvalidInput(
            message, (Fault("", message),), remedy="Give its repository, tag and digest beside it"
        )
    if given.digest and not is_digest(given.digest):
        message = f"{given.digest!r} is no digest; one is sha256: and 64 hexadecimal digits"
        raise InvalidInput(message, (Fault("digest", message),))
    for field in ("registry_url", "repository", "tag", "digest", "image_id"):
        if why := unusable(getattr(report, field)):
            message = f"the {field.replace('_', ' ')} {why}"
            raise InvalidInput(message, (Fault(field, message),))
