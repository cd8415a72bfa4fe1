"""What can be asked of a registry: its repositories, their tags, and the image that a tag names."""

import re
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urljoin

import msgspec

from fedbus.core.registry.access import Address
from fedbus.scan.oci import manifest
from fedbus.scan.oci.errors import RegistryError
from fedbus.scan.oci.manifest import Index, Manifest
from fedbus.scan.oci.transport import Transport

T = TypeVar("T")

PAGE = 1000
MAX_PAGE_BYTES = 4 * 1024 * 1024
MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes of the largest manifest that registries have to take (distribution specification)."""
MAX_NAMES = 200_000
_JSON = ("application/json",)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+|/)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?', re.IGNORECASE)


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image for one platform; `size` is the stored bytes of its layers."""

    digest: str
    image_id: str
    platform: str
    size: int


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What a tag names: images, the first of which the tag is; `index` where they hang on one."""

    images: tuple[Image, ...]
    index: str = ""


class Listed(msgspec.Struct, frozen=True):
    """Names, and whether there are more than were taken."""

    names: tuple[str, ...]
    more: bool = False


class _Catalog(msgspec.Struct):
    repositories: list[str] | None = None


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Client:
    """A registry; an async context manager. Raises RegistryError throughout."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.address: Address = transport.address

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def ping(self) -> None:
        """Ask whether this is a registry that lets us in."""
        await self._transport.get("/v2/", accept=_JSON, limit=MAX_PAGE_BYTES)

    async def repositories(self, wanted: Callable[[str], bool], most: int) -> Listed:
        """Return the names of the repositories that are `wanted`, at most `most`."""

        def read(raw: bytes) -> list[str]:
            found = _decode(raw, _Catalog, "catalog").repositories or []
            return [name for name in found if _REPOSITORY.fullmatch(name)]

        return await self._paged(f"/v2/_catalog?n={PAGE}", read, wanted, most, "registry:catalog:*")

    async def tags(self, repository: str, wanted: Callable[[str], bool], most: int) -> Listed:
        """Return the tags of a repository that are `wanted`; one without tags is no error."""

        def read(raw: bytes) -> list[str]:
            found = _decode(raw, _Tags, "list of tags").tags or []
            return [name for name in found if _TAG.fullmatch(name)]

        path = f"/v2/{_path(repository)}/tags/list?n={PAGE}"
        return await self._paged(path, read, wanted, most, _pull(repository))

    async def _paged(
        self,
        path: str,
        read: Callable[[bytes], list[str]],
        wanted: Callable[[str], bool],
        most: int,
        scope: str,
    ) -> Listed:
        found: dict[str, None] = {}
        taken: list[str] = []
        url, seen = path, set[str]()
        while url:
            if url in seen:
                raise _loop()
            seen.add(url)
            answer = await self._transport.get(url, accept=_JSON, limit=MAX_PAGE_BYTES, scope=scope)
            before = len(found)
            for name in read(answer.body):
                if name not in found and wanted(name):
                    taken.append(name)
                found[name] = None
            if len(taken) > most or len(found) > MAX_NAMES:
                return Listed(tuple(taken[:most]), more=True)
            url = _next(answer.url, answer.headers.get("Link", ""))
            if url and len(found) == before:
                raise _loop()
        return Listed(tuple(taken))

    async def resolve(self, repository: str, tag: str, platforms: tuple[str, ...]) -> Resolved:
        """Return the images that a tag, or a digest, names: of an index one for each platform that it has.

        The first platform must be there; the others may.
        """
        digest, found = await self._manifest(repository, tag)
        if isinstance(found, Manifest):
            return Resolved(images=(_image(digest, found, ""),))
        chosen = [found.choose(platforms[0])]
        for platform in platforms[1:]:
            chosen += [one for one in found.manifests if str(one.platform) == platform and one not in chosen]
        images = []
        for one in chosen:
            _, inner = await self._manifest(repository, one.digest)
            if isinstance(inner, Index):
                raise RegistryError("an index names another index", code="MANIFEST_INVALID")
            images.append(_image(one.digest, inner, str(one.platform)))
        return Resolved(images=tuple(images), index=digest)

    async def _manifest(self, repository: str, reference: str) -> tuple[str, Manifest | Index]:
        answer = await self._transport.get(
            f"/v2/{_path(repository)}/manifests/{quote(reference, safe=':')}",
            accept=manifest.ACCEPTED,
            limit=MAX_MANIFEST,
            scope=_pull(repository),
        )
        said = answer.headers.get("Docker-Content-Digest", "")
        by_digest = bool(manifest.DIGEST.fullmatch(reference))
        expected = reference if by_digest else said
        algorithm = "sha512" if expected.startswith("sha512:") else "sha256"
        digest = manifest.digest_of(answer.body, algorithm)
        if expected and digest != expected:
            raise RegistryError(
                f"the manifest's digest is {digest}, not {expected[:140]!r}",
                code="DIGEST_MISMATCH",
                remedy="do not trust this image: its registry, or something on the way, alters it",
            )
        return digest, manifest.read(answer.body, answer.media_type)


def _image(digest: str, found: Manifest, platform: str) -> Image:
    return Image(digest=digest, image_id=found.config.digest, platform=platform, size=found.size)


def _decode(raw: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(
            f"the registry's {what} cannot be read: {error}", code="REGISTRY_ANSWER"
        ) from error


def _next(base: str, link: str) -> str:
    found = _NEXT.search(link)
    return urljoin(base, found[1]) if found else ""


def _loop() -> RegistryError:
    return RegistryError(
        "the registry's pages lead back to where they have been",
        code="REGISTRY_PAGING",
        remedy="name the repositories in the filters, so that the registry is not asked for all",
    )


def _path(repository: str) -> str:
    if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
        raise RegistryError(f"{repository[:100]!r} is no name of a repository", code="NAME_MISSING")
    return repository


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"
