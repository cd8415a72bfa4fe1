"""What a worker keeps of its membership: files beside the store, so that the store may be rebuilt."""

import base64
from pathlib import Path
from typing import Literal

import msgspec

from fedbus.errors import Unavailable
from fedbus.model.federation import Dismissal, JoinAnswer, Renewal, RestInfo, Versions
from fedbus.pki import files
from fedbus.pki.credentials import Credentials
from fedbus.pki.signing import Verifier


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """Who this cluster is in which federation, and since when it is not any more."""

    state: Literal["joined", "left", "removed", "demoted"]
    cluster_id: str
    name: str
    federation_id: str
    federation_name: str
    federation_key: str
    ca_pem: str
    bus: RestInfo
    joined_at: str
    labels: dict[str, str] = {}
    heartbeat_interval: float = 10.0
    ended_at: str = ""
    master_versions: Versions | None = None
    """What the master ran when this cluster joined."""
    token_hash: str = ""
    """The SHA-256 of the token it joined with."""
    servers: tuple[RestInfo, ...] = ()
    """The servers of a bus of several, as the master last said; `bus` is what the join went to."""

    @property
    def addresses(self) -> tuple[RestInfo, ...]:
        """Where the bus is reached, each address once."""
        return tuple(dict.fromkeys((self.bus, *self.servers)))

    @property
    def joined(self) -> bool:
        """Tell whether the cluster is a member now."""
        return self.state == "joined"

    def verifier(self) -> Verifier:
        """Return the federation's key, pinned at join."""
        return Verifier(base64.b64decode(self.federation_key))


class MembershipFiles:
    """The directory `membership/`: membership.json and two credentials, mode 0600."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir / "membership"
        self._json = self._directory / "membership.json"
        self._bus, self._renew = self._directory / "bus.creds", self._directory / "renew.creds"

    def secrets(self) -> list[Path]:
        """Return the files there are that nobody else may read."""
        return [path for path in (self._directory, self._json, self._bus, self._renew) if path.exists()]

    def load(self) -> Membership | None:
        """Return the membership, an ended one too; None if there never was one."""
        if not self._json.exists():
            return None
        return msgspec.json.decode(self._json.read_bytes(), type=Membership)

    def store(
        self,
        answer: JoinAnswer,
        bus: Credentials,
        renew: Credentials,
        *,
        bus_at: RestInfo,
        at: str,
        token_hash: str,
    ) -> Membership:
        """Keep what a join gave; the membership itself is written last."""
        files.make_directory(self._directory)
        bus.save(self._bus)
        renew.save(self._renew)
        membership = Membership(
            state="joined",
            cluster_id=answer.cluster_id,
            name=answer.name,
            federation_id=answer.federation_id,
            federation_name=answer.federation_name,
            federation_key=answer.federation_key,
            ca_pem=answer.ca_pem,
            bus=bus_at,
            joined_at=at,
            labels=answer.labels,
            heartbeat_interval=answer.heartbeat_interval,
            master_versions=answer.versions,
            token_hash=token_hash,
            servers=answer.servers,
        )
        self._write(membership)
        return membership

    def left_behind(self) -> tuple[Credentials, Credentials] | None:
        """Return both credentials of a membership whose own file was lost; None unless both are there."""
        if self._json.exists() or not (self._bus.exists() and self._renew.exists()):
            return None
        return _load(self._bus), _load(self._renew)

    def moved(self, membership: Membership, servers: tuple[RestInfo, ...]) -> Membership:
        """Note where the bus is now, unless the membership has ended meanwhile."""
        moved = msgspec.structs.replace(membership, servers=servers)
        if (held := self.load()) is not None and held.joined:
            self._write(moved)
        return moved

    def renewed(self, renewal: Renewal) -> None:
        """Keep fresh JWTs for the keys there are."""
        for path, jwt in ((self._bus, renewal.jwt), (self._renew, renewal.renew_jwt)):
            msgspec.structs.replace(_load(path), jwt=jwt).save(path)

    def ended(self, membership: Membership, dismissal: Dismissal) -> Membership:
        """Note the end of the membership and delete its keys."""
        over = msgspec.structs.replace(membership, state=dismissal.reason, ended_at=dismissal.at)
        self._write(over)
        self._bus.unlink(missing_ok=True)
        self._renew.unlink(missing_ok=True)
        return over

    def bus_credentials(self) -> Credentials:
        """Return the credentials for the bus. Raises Unavailable when there are none (any more)."""
        return _load(self._bus)

    def renew_credentials(self) -> Credentials:
        """Return the credentials for the renew subject alone. Raises Unavailable, as above."""
        return _load(self._renew)

    def _write(self, membership: Membership) -> None:
        files.write(self._json, msgspec.json.format(msgspec.json.encode(membership)))


def _load(path: Path) -> Credentials:
    try:
        return Credentials.load(path)
    except OSError as error:  # deleted a moment ago, when a membership ends under a session that begins
        raise Unavailable(f"there are no credentials: {error}", code="CREDENTIALS_MISSING") from error
