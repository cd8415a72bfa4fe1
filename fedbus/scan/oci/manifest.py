"""Manifests and indexes of images, OCI's and Docker's, from the bytes that a registry answers."""

import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from fedbus.scan.oci.errors import RegistryError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)
_INDEXES = (OCI_INDEX, DOCKER_LIST)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
MAX_LAYERS = 4096
MAX_PLATFORMS = 1024


class Platform(msgspec.Struct, frozen=True):
    """What an image runs on."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What a manifest says of something else: its type, digest and size in bytes."""

    digest: str
    size: int = 0
    media_type: str = ""
    platform: Platform = Platform()


class Manifest(msgspec.Struct, frozen=True):
    """One image: its configuration, whose digest is the image's id, and its layers."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def size(self) -> int:
        """Bytes of all layers as they are stored, mostly compressed."""
        return sum(layer.size for layer in self.layers)


class Index(msgspec.Struct, frozen=True):
    """One image for several platforms."""

    manifests: tuple[Descriptor, ...]

    def choose(self, platform: str) -> Descriptor:
        """Return the manifest of a platform such as `linux/amd64`, or the only one there is.

        Raises RegistryError where there are others only.
        """
        runnable = [one for one in self.manifests if one.platform.os not in ("", "unknown")]
        for one in runnable:
            name = str(one.platform)
            if name == platform or name.startswith(platform + "/"):
                return one
        if len(runnable) == 1:
            return runnable[0]
        there = ", ".join(str(one.platform) for one in runnable[:8]) or "none"
        raise RegistryError(
            f"the image is not for {platform}, only for: {there}",
            code="MANIFEST_PLATFORM",
            remedy="name the platform in the setting scan_platforms",
        )


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None


def digest_of(raw: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of a manifest's bytes."""
    if algorithm == "sha512":
        from hashlib import sha512  # noqa: PLC0415 - hardly ever

        return f"sha512:{sha512(raw).hexdigest()}"
    return f"sha256:{sha256(raw).hexdigest()}"


def read(raw: bytes, media_type: str) -> Manifest | Index:
    """Read a manifest or index of the type that the registry said. Raises RegistryError."""
    if media_type.startswith(_SCHEMA_1):
        raise RegistryError(
            "the image has a manifest of schema 1, which says nothing that can be verified",
            code="MANIFEST_SCHEMA_1",
            remedy="push it again with a client of this decade",
        )
    try:
        document = msgspec.json.decode(raw, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"the manifest cannot be read: {error}", code="MANIFEST_INVALID") from error
    if document.schema_version != 2:
        raise _invalid(f"its schemaVersion is {document.schema_version}, not 2")
    if document.manifests is not None and document.layers is not None:
        raise _invalid("it is a manifest and an index at once")
    if document.media_type and document.media_type != media_type:
        raise _invalid(f"it says {document.media_type!r}, the registry {media_type!r}")
    if media_type in _INDEXES:
        return Index(_checked(document.manifests, "manifests", MAX_PLATFORMS))
    if document.config is None:
        raise _invalid("it has no config")
    _check(document.config)
    if document.config.media_type not in _CONFIGS:
        raise RegistryError(
            f"it is no image but {document.config.media_type!r}",
            code="MANIFEST_NO_IMAGE",
            remedy="leave it out with a filter",
        )
    return Manifest(document.config, _checked(document.layers, "layers", MAX_LAYERS))


def _checked(found: Sequence[Descriptor] | None, field: str, most: int) -> tuple[Descriptor, ...]:
    if found is None:
        raise _invalid(f"it has no {field}")
    if len(found) > most:
        raise _invalid(f"it has more than {most} {field}")
    for one in found:
        _check(one)
    return tuple(found)


def _check(descriptor: Descriptor) -> None:
    if not DIGEST.fullmatch(descriptor.digest):
        raise _invalid(f"{descriptor.digest[:100]!r} is no digest")
    if descriptor.size < 0:
        raise _invalid("a size is below 0")


def _invalid(why: str) -> RegistryError:
    return RegistryError(f"the manifest cannot be used: {why}", code="MANIFEST_INVALID")
