"""What admission asks of the rest of its cluster: scans of an image, roles of a service account."""

from collections.abc import Sequence
from typing import Protocol

from fedbus.model.review import ImageReference, RiskyRole
from fedbus.model.scan import Report


class ScanLookup(Protocol):
    """Finds scans in this cluster's store."""

    async def reports(self, image: ImageReference) -> Sequence[Report]:
        """Return the scans of an image, the one that counts first; none if it was never scanned.

        Raises Unavailable. Never waits for the network.
        """
        ...

    async def known(self, image: ImageReference) -> bool:
        """Tell whether there is a scan of an image, without reading it. Raises Unavailable."""
        ...


class RoleLookup(Protocol):
    """Knows what service accounts may do."""

    def risky_roles(self, namespace: str, service_account: str) -> tuple[RiskyRole, ...] | None:
        """Return the risky roles of a service account; None where nobody knows."""
        ...


class NoScans:
    """A cluster that holds no scan results."""

    async def reports(self, image: ImageReference) -> Sequence[Report]:
        """Return nothing."""
        return ()

    async def known(self, image: ImageReference) -> bool:
        """Return that there is none."""
        return False


class NoRoles:
    """A cluster that does not know its service accounts."""

    def risky_roles(self, namespace: str, service_account: str) -> None:
        """Return that nobody knows."""
        return
