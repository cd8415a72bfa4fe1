"""Where a registry is and how to get in, from NeuVector's fields of it."""

import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from fedbus.core.image_reference import HUB_HOSTS, LIBRARY
from fedbus.errors import Refused
from fedbus.model.policy.registry import Registry

MASK = "****"
"""What stands where a credential is held, and is sent to keep it."""

SECRETS = (
    "username",
    "password",
    "auth_token",
    "gitlab_private_token",
    "ibm_cloud_token_url",
    "ibm_cloud_account",
)
AWS_SECRETS = ("id", "access_key_id", "secret_access_key")
GCR_SECRETS = ("json_key",)
PARTS = {"aws_key": AWS_SECRETS, "gcr_key": GCR_SECRETS}
"""The parts of a registry that hold credentials, and which of their fields do."""

ADDRESS = "@registry"
"""Beside the credentials: the address that they were given for, and the only one that gets them."""

_HUB_HOST = "registry-1.docker.io"
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")


class Credentials(msgspec.Struct, frozen=True):
    """What opens a registry: name and password, or a token; all empty for everybody's."""

    username: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return "Credentials(****)"

    @property
    def basic(self) -> str:
        """Name and password as an `Authorization`; empty without a name."""
        if not self.username:
            return ""
        return f"Basic {b64encode(f'{self.username}:{self.password}'.encode()).decode()}"


class Address(msgspec.Struct, frozen=True):
    """Where a registry is; `path` stands in front of every repository (`/` alone is none)."""

    scheme: str
    host: str
    hub: bool = False

    @property
    def url(self) -> str:
        """The address as NeuVector writes it and admission looks it up."""
        return f"{self.scheme}://{self.host}/"

    @property
    def plain(self) -> bool:
        """Whether it is spoken to without TLS."""
        return self.scheme == "http"

    def repository(self, name: str) -> str:
        """Return what the registry calls a repository: on Docker Hub a bare name is in `library`."""
        return LIBRARY + name if self.hub and "/" not in name else name


def address_of(registry: Registry) -> Address:
    """Return where a registry is; its address was checked when it was written."""
    parts = urlsplit(registry.registry)
    host = parts.netloc.rpartition("@")[2].lower()
    if (parts.hostname or "") in HUB_HOSTS:
        return Address("https", _HUB_HOST, hub=True)
    return Address(parts.scheme, host)


def is_loopback(host: str) -> bool:
    """Tell whether a host name is this machine."""
    return bool(_LOOPBACK.fullmatch(host.lower()))


def credentials_of(registry: Registry, secrets: Mapping[str, str]) -> Credentials:
    """Return what opens a registry; `secrets` has the credentials by field, `aws_key.id` for parts.

    Raises Refused where they were given for another host.
    """
    if secrets and not _same_host(secrets.get(ADDRESS, ""), registry.registry):
        raise Refused(
            "the address of the registry is not the one that its credentials were given for",
            code="CREDENTIALS_ELSEWHERE",
            remedy="give the credentials again, for the new address",
        )
    token = secrets.get("auth_token", "")
    if registry.auth_with_token and token:
        return Credentials(token=token)
    if json_key := secrets.get("gcr_key.json_key", ""):
        return Credentials("_json_key", json_key)
    username, password = secrets.get("username", ""), secrets.get("password", "")
    if registry.registry_type == "Gitlab" and not password:
        password = secrets.get("gitlab_private_token", "")
    return Credentials(username, password)


def merged(held: Mapping[str, str], given: Mapping[str, str | None], address: str) -> dict[str, str]:
    """Return the credentials after a change; `address` is the registry's if the change names no other.

    What was given for another host is dropped: nobody has it sent elsewhere by giving one part of it anew.
    """
    if not given:
        return dict(held)
    bound = given.get(ADDRESS) or address
    base = held if _same_host(held.get(ADDRESS, ""), bound) else {}
    left = {field: value for field, value in {**base, **given}.items() if value and field != ADDRESS}
    return {**left, ADDRESS: bound} if left else {}


def _same_host(one: str, other: str) -> bool:
    def place(text: str) -> tuple[str, str]:
        parts = urlsplit(text)
        return parts.scheme, parts.netloc.lower()

    return place(one) == place(other)


def split(config: dict[str, object]) -> tuple[dict[str, object], dict[str, str | None]]:
    """Take the credentials out of a registry as it was sent.

    Returns what is left, with MASK where a credential was, and the credentials by field: None where one
    is taken away, absent where nothing was said of it or MASK keeps it; with them the ADDRESS, if it was
    sent. What is no text is left as it is, for the check of the shape to refuse.
    """
    left, found = dict(config), dict[str, str | None]()
    _split("", left, SECRETS, found)
    for part, names in PARTS.items():
        inner = left.get(part)
        if isinstance(inner, dict):
            left[part] = inner = dict(inner)
            _split(f"{part}.", inner, names, found)
    if found and isinstance(address := config.get("registry"), str):
        found[ADDRESS] = address
    return left, found


def _split(
    prefix: str, config: dict[str, object], names: tuple[str, ...], found: dict[str, str | None]
) -> None:
    for name in names:
        value = config.get(name)
        if not isinstance(value, str) or value == MASK:
            continue
        found[prefix + name] = value or None
        config[name] = MASK if value else ""
