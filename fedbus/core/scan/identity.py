"""Which image a report is about: its reference taken apart, and the digest it is kept under."""

import re

import msgspec

from fedbus.core.image_reference import DIGEST, is_host

MAX_NAME = 255
"""Characters of a repository, tag or digest, as registries and our own names allow."""

_OS = re.compile(r" \([^()]{1,200}\)$")


class Reference(msgspec.Struct, frozen=True, gc=False):
    """An image's name taken apart: `registry` is `https://host/` or empty."""

    registry: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of an image beside its report; it wins over the report."""

    registry: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""


def reference(text: str | None) -> Reference:
    """Take `host/repository:tag@digest` apart as it stands: what a scanner wrote need not be runnable."""
    rest, _, digest = (text or "").strip().partition("@")
    host, slash, path = rest.partition("/")
    if not (slash and is_host(host)):
        host, path = "", rest
    repository, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = path, ""
    return Reference(registry_url(host), repository, tag, digest if is_digest(digest) else "")


def registry_url(host: str) -> str:
    """Return a registry's address as it is compared: with its scheme, and a slash at the end."""
    host = host.strip()
    if not host:
        return ""
    return (host if "://" in host else f"https://{host}").rstrip("/") + "/"


def is_digest(text: str) -> bool:
    """Tell whether a text is a digest such as `sha256:...`."""
    return len(text) <= MAX_NAME and bool(DIGEST.fullmatch(text))


def first_digest(given: list[str] | None, *more: str | None) -> str:
    """Return the first digest among `name@digest` texts, then among plain ones."""
    after = (one.rpartition("@")[2] for one in given or () if one)
    return next((one for one in (*after, *more) if one and is_digest(one)), "")


def target_name(target: str) -> tuple[str, str]:
    """Split Trivy's `alpine:3.10 (alpine 3.10.2)` into the image's name and `alpine:3.10.2`."""
    found = _OS.search(target[-256:])
    if not found:
        return target, ""
    family, _, version = found.group()[2:-1].partition(" ")
    return target.removesuffix(found.group()), f"{family}:{version}" if version else family


def unusable(name: str) -> str:
    """Return why a text cannot be a name, the empty text if it can: it becomes part of names on the bus."""
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    if not name.isprintable() or name != name.strip():
        return "has control characters or spaces around it"
    return ""
