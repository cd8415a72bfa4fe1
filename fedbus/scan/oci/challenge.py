"""What a registry asks for when it answers 401: the header `WWW-Authenticate`, read and judged."""

import re
from urllib.parse import urlsplit

import msgspec

from fedbus.core.registry.access import Address, is_loopback
from fedbus.scan.oci.errors import RegistryError

_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_MAX = 8192


class Challenge(msgspec.Struct, frozen=True):
    """Basic, or where a token is to be had (`realm`) and for what."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def read(headers: list[str]) -> Challenge:
    """Return the challenge that can be met, bearer first. Raises RegistryError where there is none."""
    found = [one for header in headers for one in (_read(header[:_MAX], "Bearer"),) if one is not None]
    found += [one for header in headers for one in (_read(header[:_MAX], "Basic"),) if one is not None]
    if not found:
        raise RegistryError(
            "the registry wants a way of authentication that is not known here",
            code="REGISTRY_UNAUTHORIZED",
            remedy="Basic and Bearer are known",
        )
    return found[0]


def _read(header: str, scheme: str) -> Challenge | None:
    matched = re.search(rf"(?:^|,)\s*{scheme}(?:\s+|$)", header, re.IGNORECASE)
    if matched is None:
        return None
    parameters: dict[str, str] = {}
    at = matched.end()
    while (one := _PARAMETER.match(header, at)) is not None:
        value = one[2] if one[2] is not None else one[3]
        parameters.setdefault(one[1].lower(), re.sub(r"\\(.)", r"\1", value))
        at = one.end()
    if scheme == "Basic":
        return Challenge("Basic")
    return Challenge(
        "Bearer", parameters.get("realm", ""), parameters.get("service", ""), parameters.get("scope", "")
    )


def check_realm(realm: str, address: Address) -> None:
    """Refuse a realm that would have our credentials in clear. Raises RegistryError.

    Only a registry that is itself spoken to without TLS, or on this machine, may name one without.
    """
    try:
        parts = urlsplit(realm)
        host, usable = parts.hostname or "", parts.scheme in ("http", "https")
        _ = parts.port
    except ValueError:
        host, usable = "", False
    if not host or not usable or parts.username is not None:
        raise RegistryError(
            f"the registry sends us for a token to {realm[:200]!r}, which is no address",
            code="REGISTRY_UNAUTHORIZED",
        )
    own = address.host.rpartition(":")[0] or address.host
    if parts.scheme == "http" and not address.plain and not is_loopback(own.strip("[]")):
        raise RegistryError(
            f"the registry sends us for a token to {realm[:200]!r}: credentials are not sent without TLS",
            code="REGISTRY_UNAUTHORIZED",
            remedy="have the registry name an https:// realm",
        )
