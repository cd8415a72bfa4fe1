"""Image references in every form that container runtimes take, and the names of registries.

A reference is `[scheme://][registry/]repository[:tag][@digest]`. The first part is a registry when it
looks like a host (a dot, a colon, or `localhost`), as Docker has it; without one it is Docker Hub, whose
repositories of one part lie under `library/`.
"""

import re

from fedbus.errors import Fault, InvalidInput
from fedbus.model.review import DOCKER_HUB, ImageReference

HUB_HOSTS = ("docker.io", "index.docker.io", "registry.hub.docker.com", "registry-1.docker.io")
"""All names of Docker Hub; `dockerhub` in a rule means each of them."""
HUB_ALIASES = frozenset({*HUB_HOSTS, "dockerhub"})
LIBRARY = "library/"
LATEST = "latest"
LONGEST = 4096
"""The longest reference that is read, in characters (ours)."""

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}")


def image_reference(text: str, path: str = "image") -> ImageReference:
    """Return what `text` refers to. Raises InvalidInput, naming `path`, when no runtime could read it."""
    rest, at, digest = _SCHEME.sub("", text.strip(), count=1).partition("@")
    host, slash, tail = rest.partition("/")
    registry, rest = (host.lower(), tail) if slash and is_host(host) else (DOCKER_HUB, rest)
    name, colon, tag = rest.rpartition(":")
    if not colon:
        name, tag = rest, ""
    repository = name.lower()
    fits = (
        len(text) <= LONGEST
        and _HOST.fullmatch(registry)
        and _REPOSITORY.fullmatch(repository)
        and (_TAG.fullmatch(tag) or not colon)
        and (DIGEST.fullmatch(digest) or not at)
    )
    if not fits:
        message = f"{path} must be [registry/]repository[:tag][@digest], not {text[:200]!r}"
        raise InvalidInput(message, (Fault(path, message),), code="IMAGE_INVALID")
    if registry in HUB_ALIASES:
        registry = DOCKER_HUB
        if "/" not in repository:
            repository = LIBRARY + repository
    return ImageReference(
        text=text,
        registry=registry,
        repository=repository,
        tag=tag if tag or digest else LATEST,
        digest=digest.lower(),
    )


def image_as_written(text: str, path: str = "image") -> ImageReference:
    """Return what `text` refers to, or the text alone, of no registry, where no runtime could read it.

    That container never starts; those beside it do, so it must not keep them from being judged.
    """
    try:
        return image_reference(text, path)
    except InvalidInput:
        return ImageReference(text=text[:LONGEST], registry="", repository=text[:LONGEST])


def is_host(part: str) -> bool:
    """Tell whether the first part of a reference is a registry's host."""
    return "." in part or ":" in part or part.lower() == "localhost"


def hosts(registry: str) -> tuple[str, ...]:
    """Return every name of a registry; only Docker Hub has several."""
    return HUB_HOSTS if registry in HUB_ALIASES else (registry,)


def host_of(url: str) -> str:
    """Return the registry that an address names: its host[:port], `DOCKER_HUB` for all of that one's."""
    host = _SCHEME.sub("", url.strip(), count=1).partition("/")[0].rpartition("@")[2].lower()
    return DOCKER_HUB if host in HUB_ALIASES else host
