"""Where a cluster's scan results go: its own store, or on a master the federation."""

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from fedbus.model.scan import Report, ScannedImage


class Scanned(msgspec.Struct, frozen=True, kw_only=True):
    """A report that is held, in one line."""

    digest: str
    scanned_at: float
    cvedb_version: str = ""
    cvedb_create_time: str = ""


class Results(Protocol):
    """The results of some registries; each call is answered when all of it is durable.

    What fits one changeset (1,000 reports and tags, 8 MiB) is all or nothing; more is written in parts, one
    after the other, so that a call that failed may have done some of it, and done again does the rest.
    """

    async def put(self, reports: Sequence[Report], images: Sequence[ScannedImage]) -> None:
        """Keep reports and tags; an older scan of a digest never replaces a newer one.

        The older one is passed over, and that is no error. Raises TooLarge, NotFound (REGISTRY_UNKNOWN: a
        federated registry that there is not), Unavailable.
        """
        ...

    async def remove(
        self, registry: str, digests: Collection[str], images: Collection[tuple[str, str]]
    ) -> None:
        """Drop reports by digest and tags by (repository, tag); what is not there is no error.

        Raises Unavailable.
        """
        ...

    async def forget(self, registry: str) -> None:
        """Drop everything of a registry. Raises Unavailable; done again, it goes on where it stopped."""
        ...

    async def reports(self, registry: str) -> list[Scanned]:
        """Return what is held of a registry, by digest."""
        ...

    async def images(self, registry: str) -> list[ScannedImage]:
        """Return the tags that are held of a registry."""
        ...
