"""Signed checkpoints: what is current, said by the master every few seconds (design section 8)."""

import asyncio
import base64
from collections.abc import Callable, Sequence

import structlog

from fedbus import __version__
from fedbus.bus.session import Connection
from fedbus.core import protocol
from fedbus.errors import Unavailable
from fedbus.master.configuration import Configuration
from fedbus.model import codec, subjects
from fedbus.model.federation import SIGNATURE, Checkpoint, RestInfo, ScansHead
from fedbus.pki.signing import Signed, Signer
from fedbus.runtime import Clock, first
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

log = structlog.get_logger(__name__)


class Checkpoints:
    """Makes checkpoints and broadcasts them while a session is up."""

    def __init__(
        self,
        *,
        database: Database,
        signer: Signer,
        federation_id: str,
        clock: Clock,
        epoch: Callable[[], int],
        configuration: Configuration,
        servers: tuple[RestInfo, ...] = (),
    ) -> None:
        self._database, self._signer, self._federation_id = database, signer, federation_id
        self._servers = servers
        self._clock, self._epoch, self._configuration = clock, epoch, configuration
        self.scans: ScansHead | None = None
        """The head of the scan results, None while it is not known."""
        self.due = asyncio.Event()
        """Set it to have the next one sent at once."""

    async def make(self, scopes: Sequence[str]) -> Checkpoint:
        """Return the head of these scopes."""
        return await self._database.read(lambda tx: self.head(tx, scopes))

    def head(self, tx: Transaction, scopes: Sequence[str]) -> Checkpoint:
        """Return the head of these scopes in a transaction."""
        return Checkpoint(
            federation_id=self._federation_id,
            epoch=self._epoch(),
            time=self._clock.now(),
            scopes={scope: tx.scope(scope) for scope in scopes},
            scans=self.scans,
            heartbeat_interval=self._configuration.heartbeat_interval,
            versions=protocol.ours(__version__),
            servers=self._servers,
            checkpoint_interval=self._configuration.checkpoint_interval,
        )

    async def broadcast(self, connection: Connection) -> None:
        """Send one at once, and then every few seconds and whenever one is due."""
        while True:
            self.due.clear()
            body = codec.encode(await self.make((subjects.SCOPE_ALL,)))
            signature = base64.b64encode(self._signer.sign(body, Signed.CHECKPOINT)).decode()
            try:
                await connection.publish(subjects.CHECKPOINT, body, headers={SIGNATURE: signature})
            except Unavailable:
                log.debug("checkpoint_not_sent")
                raise
            await first(self.due.wait(), timeout=self._configuration.checkpoint_interval)
