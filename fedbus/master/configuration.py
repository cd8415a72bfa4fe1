"""The federation's settings: what an admin sets over REST wins over what the daemon was started with."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from fedbus.core import etags
from fedbus.core.writes import Request
from fedbus.errors import Conflict
from fedbus.master import audit as audit_log
from fedbus.master.audit import Audit
from fedbus.master.changes import Change, record
from fedbus.master.ledger import Ledger
from fedbus.model import codec, subjects
from fedbus.settings import MAX_JWT_DAYS, MasterSettings
from fedbus.store.transaction import Transaction

KIND = "config"
_NAME = "self"
MAX_CLUSTERS = 10_000
"""The most that may be asked for: what the streams' limits on consumers have room for."""

Seconds = Annotated[float, Meta(ge=1, le=3600)]
Days = Annotated[float, Meta(gt=0, le=MAX_JWT_DAYS)]
Minutes = Annotated[int, Meta(ge=1, le=1440)]
Clusters = Annotated[int, Meta(ge=1, le=10_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What can be set while the federation runs; a field that is None is the daemon's own setting.

    `deploy_repo_scan_data` is NeuVector's toggle: whether results of CI pipelines go to the workers.
    """

    heartbeat_interval: Seconds | None = None
    checkpoint_interval: Seconds | None = None
    worker_jwt_days: Days | None = None
    token_minutes: Minutes | None = None
    max_clusters: Clusters | None = None
    deploy_repo_scan_data: bool | None = None


class Configuration:
    """The settings in force."""

    def __init__(self, ledger: Ledger, audit: Audit, daemon: MasterSettings) -> None:
        self._ledger, self._audit, self._daemon = ledger, audit, daemon
        self.set = Settings()
        self.revision = 0
        self.on_change: Callable[[], None] = lambda: None

    async def load(self) -> None:
        """Take what the store has."""
        self.set, self.revision = await self._ledger.database.read(_held)

    async def change(
        self,
        changes: dict[str, object],
        request: Request,
        check: Callable[[Transaction], None] = lambda _: None,
    ) -> None:
        """Set some fields, if `check` does not raise; null takes one back to the daemon's own setting.

        Raises what `check` raises, msgspec.ValidationError for a value out of range, Unavailable.
        """

        def plan(tx: Transaction) -> list[Change]:
            check(tx)
            wanted = msgspec.convert(msgspec.to_builtins(_held(tx)[0]) | changes, Settings)
            return [record(KIND, _NAME, wanted)]

        before = self.set
        await self._ledger.commit(plan, request)
        await self.load()
        self.on_change()
        await self._audit.record(
            audit_log.CONFIGURATION,
            "settings changed",
            actor=request.whence,
            detail=f"{codec.encode(before).decode()} -> {codec.encode(self.set).decode()}",
        )

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between two heartbeats of a worker."""
        return self.set.heartbeat_interval or self._daemon.heartbeat_interval

    @property
    def checkpoint_interval(self) -> float:
        """Seconds between two signed checkpoints."""
        return self.set.checkpoint_interval or self._daemon.checkpoint_interval

    @property
    def worker_jwt_days(self) -> float:
        """Days that a worker's credential lives."""
        return self.set.worker_jwt_days or self._daemon.worker_jwt_days

    @property
    def token_minutes(self) -> int:
        """Minutes that a join token lives unless asked otherwise."""
        return self.set.token_minutes or 60

    @property
    def max_clusters(self) -> int:
        """How many clusters may be joined at a time."""
        return self.set.max_clusters or MAX_CLUSTERS

    @property
    def deploy_repo_scan_data(self) -> bool:
        """Whether results of CI pipelines go to the workers."""
        chosen = self.set.deploy_repo_scan_data
        return self._daemon.deploy_repo_scan_data if chosen is None else chosen

    @property
    def allow_same_uid_rejoin(self) -> bool:
        """Whether a token made for a member's name and the uid it joined with bring it back under its id."""
        return self._daemon.allow_same_uid_rejoin


def require(tx: Transaction, revision: int | None, if_match: str) -> None:
    """Raise Conflict unless the settings are at a revision, and what the header `If-Match` names."""
    _, current = _held(tx)
    etags.require(if_match, tag(current), current)
    if revision is not None and revision != current:
        raise Conflict("the settings were changed meanwhile", current_revision=current, code="REVISION_STALE")


def tag(revision: int) -> str:
    """Return the entity tag of the settings."""
    return f'"{revision}"'


def _held(tx: Transaction) -> tuple[Settings, int]:
    stored = tx.object(subjects.SCOPE_MASTER, KIND, _NAME)
    if stored is None or stored.deleted:
        return Settings(), 0
    return codec.decode(stored.payload, Settings), stored.revision
