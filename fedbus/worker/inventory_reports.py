"""A cluster tells the master what runs in it: when that changed, and not more often than it may."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from fedbus.bus.session import Connection
from fedbus.core import connectivity, inventory, inventory_report
from fedbus.errors import FedbusError, InvalidInput
from fedbus.kube.inventory import Inventory
from fedbus.model.inventory import Kept, ReportedWorkload
from fedbus.model.review import RiskyRole
from fedbus.runtime import first

SETTLE_SECONDS = 2.0
"""How long an inventory must not have changed before its first report: the lists of kinds come one by one."""
LOOKS = 15
"""How often it is looked whether it has settled, at most: in a busy cluster something always changes."""

Send = Callable[[Connection, bytes, str], Awaitable[None]]
log = structlog.get_logger(__name__)


class InventoryReports:
    """Reports an inventory over one session after the other."""

    def __init__(self, held: Inventory, interval: float, send: Send) -> None:
        """Take the seconds between two reports at least, and who sends a body in its encoding."""
        self._held, self._interval, self._send = held, interval, send
        self.digest = ""
        """Of the report that the master took last."""

    async def report(self, connection: Connection) -> None:
        """Report for ever on one session; a master that was not there may not have the last one."""
        await self._settled(connection)
        sent, seen = "", -1
        while not connection.closed.is_set():
            if self._held.known and self._held.generation != seen:
                seen = self._held.generation
                try:
                    sent = await self._tell(connection, sent)
                except FedbusError as error:
                    seen = -1
                    log.warning("inventory_not_reported", **connectivity.facts(error))
            await first(connection.closed.wait(), timeout=self._interval)

    async def _settled(self, connection: Connection) -> None:
        """Wait until the inventory was read once."""
        seen, looks = -1, 0
        while not connection.closed.is_set():
            now = self._held.generation
            looks += self._held.known
            if self._held.known and (now == seen or looks > LOOKS):
                return
            seen = now
            await first(connection.closed.wait(), timeout=SETTLE_SECONDS)

    async def _tell(self, connection: Connection, sent: str) -> str:
        roots = [one for one in self._held.objects() if one.root]
        accounts = self._held.risky_accounts() if self._held.knows_roles else None
        complete = not self._held.errors
        # In a thread, which sees none of the above change: thousands of manifests take their time.
        body, encoding, digest = await asyncio.to_thread(_packed, roots, accounts, complete=complete)
        if digest != sent:
            await self._send(connection, body, encoding)
            log.info("inventory_reported", workloads=len(roots), bytes=len(body))
        self.digest = digest
        return digest


def _packed(
    roots: list[Kept], accounts: dict[str, tuple[RiskyRole, ...]] | None, *, complete: bool
) -> tuple[bytes, str, str]:
    return inventory_report.packed(
        [one for kept in roots if (one := _reported(kept, accounts)) is not None], complete=complete
    )


def _reported(kept: Kept, accounts: dict[str, tuple[RiskyRole, ...]] | None) -> ReportedWorkload | None:
    manifest = inventory_report.reported(inventory.manifest(kept))
    try:
        account = inventory.service_account(manifest)
    except InvalidInput:
        return None  # nobody can judge what is no workload
    roles = None if accounts is None else accounts.get(f"{kept.namespace}/{account}", ())
    return ReportedWorkload(manifest=manifest, risky_roles=roles)
