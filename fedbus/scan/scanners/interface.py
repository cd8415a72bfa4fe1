"""What every scanner can do."""

from typing import Protocol

import msgspec

from fedbus.core.registry.access import Address, Credentials
from fedbus.errors import FedbusError
from fedbus.model.scan import Report


class ScanError(FedbusError):
    """An image could not be scanned, or the scanner does not work; `code` says why.

    SCANNER_MISSING, SCANNER_DATABASE are about the scanner; SCAN_TIMEOUT, SCAN_OUTPUT, SCAN_TOO_LARGE and
    SCAN_FAILED about one image.
    """

    code = "SCAN_FAILED"


class Database(msgspec.Struct, frozen=True):
    """The vulnerability database of a scanner: its version, and when it was made (RFC 3339)."""

    version: str = ""
    created_at: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One image to scan."""

    address: Address
    repository: str
    digest: str
    platform: str = ""
    credentials: Credentials = Credentials()
    proxy: bool = True


class Scanner(Protocol):
    """A scanner; several images may be scanned at once."""

    async def prepare(self, *, update: bool = True) -> Database:
        """Return the vulnerability database, brought up to date where that is wanted.

        Without `update` an empty one says that it is still to be fetched. Raises ScanError.
        """
        ...

    async def scan(self, target: Target) -> Report:
        """Scan one image; the report has what the scanner found, digest, scanner and database.

        Raises ScanError. When it is cancelled nothing of it goes on.
        """
        ...
