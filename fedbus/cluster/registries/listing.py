"""What a registry holds of what its filters take: tags, and the digests that they name."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec

from fedbus.core.registry.filters import Selection, newest_first
from fedbus.core.registry.plan import Found
from fedbus.errors import FedbusError, only
from fedbus.model.registry_run import Failure
from fedbus.model.scan import ScannedImage
from fedbus.scan.oci.client import Client, Resolved
from fedbus.scan.oci.errors import RegistryError

T = TypeVar("T")

AT_ONCE = 8
"""Requests to one registry at once."""
PATIENCE = 5
"""Failures of the registry itself in a row after which it is taken to be down."""
_REGISTRY_CODES = frozenset(
    {"REGISTRY_UNREACHABLE", "REGISTRY_TLS", "REGISTRY_UNAUTHORIZED", "REGISTRY_BUSY", "REGISTRY_FAILED"}
)
_GONE_CODES = frozenset(
    {"NAME_MISSING", "MANIFEST_SCHEMA_1", "MANIFEST_INVALID", "MANIFEST_NO_IMAGE", "MANIFEST_PLATFORM"}
)
"""What says for certain that a tag names nothing here that could be scanned."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is listed: repositories, tags of one repository, and tags of all; 0 is no limit of its own."""

    repositories: int = 0
    tags: int = 0
    images: int = 10_000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One digest that should have a report, and what is known of it; `size` is in bytes as stored."""

    digest: str
    image_id: str
    repository: str
    tag: str
    platform: str
    size: int


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a listing found, and what it could not find out."""

    found: Found
    wanted: dict[str, Wanted]
    failures: tuple[Failure, ...]
    limits: tuple[str, ...]


async def list_images(
    client: Client, registry: str, selection: Selection, bounds: Bounds, platforms: tuple[str, ...]
) -> Listing:
    """Ask a registry for all that `selection` takes.

    Raises RegistryError when the registry cannot be asked, or fails again and again; what fails for one
    repository or tag is in the listing.
    """
    made = _Making(client, registry, selection, bounds, platforms)
    await made.make()
    return made.listing()


class _Making:
    def __init__(
        self,
        client: Client,
        registry: str,
        selection: Selection,
        bounds: Bounds,
        platforms: tuple[str, ...],
    ) -> None:
        self._client, self._registry, self._selection = client, registry, selection
        self._bounds, self._platforms = bounds, platforms
        self._tags: dict[str, list[str]] = {}
        self._resolved: dict[tuple[str, str], Resolved] = {}
        self._missing, self._unread_tags = set[tuple[str, str]](), set[tuple[str, str]]()
        self._unread_repositories = set[str]()
        self._failures: list[Failure] = []
        self._limits: list[str] = []
        self._in_a_row = 0

    async def make(self) -> None:
        repositories = await self._repositories()
        await each(repositories, AT_ONCE, self._list_tags)
        pairs = [(name, tag) for name in repositories for tag in self._tags.get(name, [])]
        if len(pairs) > self._bounds.images:
            self._limits.append(
                f"{len(pairs)} images are selected, {self._bounds.images} are scanned (registry_max_images)"
            )
            self._unread_tags.update(pairs[self._bounds.images :])
            pairs = pairs[: self._bounds.images]
        await each(pairs, AT_ONCE, self._resolve)

    async def _repositories(self) -> list[str]:
        limit = self._bounds.repositories or self._bounds.images
        named = self._selection.repositories
        if named is None:
            await self._client.ping()
            listed = await self._client.repositories(self._selection.takes_repository, limit)
            names, more = list(listed.names), listed.more
        else:
            names, more = named[:limit], len(named) > limit
        if more:
            self._limits.append(f"only {limit} repositories are looked at (repo_limit)")
        return [self._client.address.repository(name) for name in names]

    async def _list_tags(self, repository: str) -> None:
        def wanted(tag: str) -> bool:
            return any(self._selection.takes(name, tag) for name in self._names(repository))

        try:
            listed = await self._client.tags(repository, wanted, MAX_TAGS)
        except RegistryError as error:
            self._note(error, repository)
            if error.code != "NAME_MISSING":
                self._unread_repositories.add(repository)
            return
        self._in_a_row = 0
        tags = newest_first(listed.names)
        limit = self._bounds.tags or MAX_TAGS
        if listed.more or len(tags) > limit:
            self._limits.append(f"only {limit} tags of {repository} are looked at (tag_limit)")
        self._tags[repository] = tags[:limit]

    def _names(self, repository: str) -> tuple[str, ...]:
        """Return what filters may call a repository: on Docker Hub `library/` need not be said."""
        bare = repository.removeprefix("library/")
        return (repository, bare) if self._client.address.hub and bare != repository else (repository,)

    async def _resolve(self, pair: tuple[str, str]) -> None:
        repository, tag = pair
        try:
            self._resolved[pair] = await self._client.resolve(repository, tag, self._platforms)
        except RegistryError as error:
            self._note(error, repository, tag)
            (self._missing if error.code in _GONE_CODES else self._unread_tags).add(pair)
            return
        self._in_a_row = 0

    def _note(self, error: RegistryError, repository: str, tag: str = "") -> None:
        """Keep why something failed. Raises the error when the registry does not work at all."""
        if error.code in _REGISTRY_CODES:
            self._in_a_row += 1
            if self._in_a_row >= PATIENCE:
                raise error
        message = error.message
        if tag and error.code == "NAME_MISSING":
            message = "the registry lists the tag and has no manifest of it"
        self._failures.append(Failure(repository=repository, tag=tag, code=error.code, message=message))

    def listing(self) -> Listing:
        images: dict[tuple[str, str], ScannedImage] = {}
        wanted: dict[str, Wanted] = {}
        for (repository, tag), resolved in sorted(self._resolved.items()):
            first = resolved.images[0]
            # The digest of an index is kept as a tag, which is how an image is asked for by digest.
            for name in (tag, resolved.index) if resolved.index else (tag,):
                images[repository, name] = ScannedImage(
                    registry=self._registry,
                    repository=repository,
                    tag=name,
                    digest=first.digest,
                    image_id=first.image_id,
                )
            for image in resolved.images:
                wanted.setdefault(
                    image.digest,
                    Wanted(
                        digest=image.digest,
                        image_id=image.image_id,
                        repository=repository,
                        tag=tag,
                        platform=image.platform,
                        size=image.size,
                    ),
                )
        found = Found(
            images=tuple(images.values()),
            missing=frozenset(self._missing),
            unread_repositories=frozenset(self._unread_repositories),
            unread_tags=frozenset(self._unread_tags),
        )
        return Listing(found=found, wanted=wanted, failures=tuple(self._failures), limits=tuple(self._limits))


MAX_TAGS = 10_000
"""Tags of one repository that are looked at, whatever `tag_limit` says."""


async def each(items: Iterable[T], at_once: int, work: Callable[[T], Awaitable[None]]) -> None:
    """Do `work` for every item, some at once; the first error ends all and is raised."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except* FedbusError as errors:
        raise only(errors) from None
