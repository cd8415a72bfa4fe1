"""Names of images as people write them: registry, repository, tag and digest.

The rules are those of container runtimes: the first part is a registry if it looks like a host; without one
it is Docker Hub, where names of one part are in `library`. A digest says more than a tag: with both, the
digest counts.
"""

import msgspec

HUB = "docker.io"
HUB_HOSTS = frozenset({HUB, "index.docker.io", "registry.hub.docker.com", "registry-1.docker.io"})
"""Docker Hub's names."""


class ImageName(msgspec.Struct, frozen=True, kw_only=True):
    """An image's name, taken apart; `tag` is empty beside a digest alone."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""


def parse(text: str) -> ImageName:
    """Take a name apart. Raises ValueError for one without a repository."""
    rest = text.strip().removeprefix("https://").removeprefix("http://")
    rest, _, digest = rest.partition("@")
    slash = rest.rfind("/")
    path, colon, tag = rest[slash + 1 :].partition(":")
    repository = rest[: slash + 1] + path
    first, has_more, more = repository.partition("/")
    registry = HUB
    if has_more and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first.lower(), more
    if registry in HUB_HOSTS:
        registry = HUB
        if "/" not in repository:
            repository = f"library/{repository}"
    if not repository or repository.endswith("/") or (colon and not tag):
        raise ValueError(f"{text!r} names no image")
    return ImageName(
        registry=registry, repository=repository, tag=tag or ("" if digest else "latest"), digest=digest
    )


def hosts(registry: str) -> frozenset[str]:
    """Return every name of a registry, host and port; none for any registry."""
    host = registry.removeprefix("https://").removeprefix("http://").partition("/")[0].lower()
    if not host:
        return frozenset()
    return HUB_HOSTS if host in HUB_HOSTS else frozenset({host})
