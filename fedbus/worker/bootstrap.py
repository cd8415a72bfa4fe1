"""What the configuration says this cluster is: a member under `join_name`, joined with `join_token_file`.

The same join as over REST. A member stays as it is; what does not fit is said in log and status, and a file
that changes is looked at again, so that a new token needs no restart.
"""

import asyncio

import structlog

from fedbus import config
from fedbus.core import backoff, connectivity
from fedbus.errors import Conflict, FedbusError, Refused, Unavailable
from fedbus.model.federation import RestInfo
from fedbus.pki import files
from fedbus.pki.join_token import JoinToken
from fedbus.runtime import first
from fedbus.worker.dialogue import Joining
from fedbus.worker.lifecycle import Worker, token_hash
from fedbus.worker.membership import Membership

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
"""How often the file is looked at while this cluster is no member."""
INITIAL_PASSWORD = "initial-password"  # noqa: S105 - the name of a file


class Bootstrap:
    """Makes and keeps one worker what its configuration says."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._settings = worker, worker.settings
        self._refused: tuple[str, FedbusError] | None = None
        """The token that the master refused last, by its hash, and why: it is not asked again."""

    async def run(self, stop: asyncio.Event) -> None:
        """Join, and say what is in the way, until `stop`."""
        attempt = 0
        while self._settings.join_token_file is not None and not stop.is_set():
            error = await self._settle()
            self._tell(error)
            attempt = attempt + 1 if isinstance(error, Unavailable) else 0
            pause = backoff.delay(attempt, self._worker.clock.jitter()) if attempt else LOOK_SECONDS
            await first(stop.wait(), timeout=pause)
        await stop.wait()

    def _tell(self, error: FedbusError | None) -> None:
        before, self._worker.bootstrap_error = self._worker.bootstrap_error, error
        if error is not None and (before is None or before.message != error.message):
            log.error("bootstrap_failed", **connectivity.facts(error))

    async def _settle(self) -> FedbusError | None:
        """Join if this cluster should and may; return what is in the way."""
        member = self._worker.membership
        try:
            text = self._token()
        except FedbusError as error:
            if member is not None and member.joined:
                return self._unlike(member, None)  # a member needs its token no more
            return error
        if member is not None and member.joined:
            return self._unlike(member, text)
        if member is not None and member.token_hash == token_hash(text):
            return _spent(member)
        if self._refused is not None and self._refused[0] == token_hash(text):
            return self._refused[1]
        return await self._join(text)

    async def _join(self, text: str) -> FedbusError | None:
        s = self._settings
        try:
            who = Joining(
                name=s.join_name,
                labels=s.labels(),
                cluster_uid=s.cluster_uid,
                rest=RestInfo(server=s.advertised_rest_server, port=s.advertised_rest_port),
            )
            _, password = await self._worker.join(text, who, RestInfo(server=s.join_server, port=s.join_port))
            if password:
                files.write(s.data_dir / INITIAL_PASSWORD, password + "\n")
        except Unavailable as error:
            return error
        except FedbusError as error:
            self._refused = (token_hash(text), error)
            return error
        except OSError as error:
            return connectivity.error("DISK_UNWRITABLE", f"{s.data_dir}: {error.strerror}")
        return None

    def _token(self) -> str:
        file = self._settings.join_token_file
        assert file is not None  # noqa: S101 - `run` looked
        try:
            return config.token_in(file)
        except OSError as error:
            raise connectivity.error("TOKEN_FILE_UNREADABLE", f"{file}: {error.strerror}") from error

    def _unlike(self, member: Membership, text: str | None) -> FedbusError | None:
        """Return how a member differs from what the configuration says; it stays what it is."""
        wanted = self._settings.join_name
        if wanted != member.name:
            return Conflict(
                f"join_name is {wanted!r}, and this cluster is a member as {member.name!r}",
                code="JOIN_NAME_DIFFERS",
                remedy=f"leave the federation to join as {wanted!r}, or set join_name back",
            )
        if text is None or token_hash(text) == member.token_hash:
            return None
        try:
            token = JoinToken.decode(text)
        except Refused:
            return None  # a member needs no token: what is in the file by now is nobody's business
        if token.federation_id == member.federation_id:
            return None
        return Conflict(
            f"join_token_file is for another federation than {member.federation_name!r}, which this is in",
            code="JOIN_FEDERATION_DIFFERS",
            remedy="leave this federation to join the other one",
        )


def _spent(member: Membership) -> Conflict:
    how = {"left": "left the federation", "removed": "was removed", "demoted": "was dismissed: it ended"}
    return Conflict(
        f"this cluster {how.get(member.state, 'is no member any more')} ({member.federation_name}, "
        f"{member.ended_at}), and join_token_file still holds the token it had joined with",
        code="NEW_TOKEN_NEEDED",
        remedy="to return, put a new token into the file: it is read again within seconds",
    )
