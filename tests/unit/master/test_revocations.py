"""Revocations: pushed until the bus has them, and remembered as long as a credential may live."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedbus.config import MAX_JWT_DAYS
from fedbus.errors import Unavailable
from fedbus.master import members
from fedbus.master.members import Members
from fedbus.model.federation import Cluster, Versions
from fedbus.runtime import Clock
from tests.support.daemons import eventually

DAY = 86_400


class Clusters(Members):
    """Members that are what the test says."""

    def __init__(self, ended: list[Cluster], revoke: Any) -> None:
        nothing = cast("Any", SimpleNamespace(clock=Clock()))
        super().__init__(
            ledger=nothing, keyring=nothing, federation=nothing, tokens=nothing, audit=nothing,
            configuration=nothing, revoke=revoke, checkpoint=nothing, on_change=nothing,
        )  # fmt: skip
        self._ended = ended

    async def clusters(self) -> list[Cluster]:
        return self._ended


def removed(key: str, days_ago: float) -> Cluster:
    at = int(Clock().now() - days_ago * DAY)
    return Cluster(
        id=key, name=key, nkey=key, renew_nkey="", versions=Versions(fedbus="0"), joined_at="",
        state="removed", revoked_at=at,
    )  # fmt: skip


async def test_a_revocation_that_could_not_be_pushed_is_pushed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "RETRY_REVOCATION", 0.01)
    pushed: list[set[str]] = []
    failures = iter([True, True])

    async def revoke(revocations: dict[str, int]) -> None:
        if next(failures, False):
            raise Unavailable("the bus is not connected")
        pushed.append(set(revocations))

    membership = Clusters([removed("U1", 0)], revoke)
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(membership.keep_revoked())
        with pytest.raises(Unavailable):
            await membership.push_revocations()

        async def done() -> bool:
            return pushed == [{"U1"}]

        await eventually(done)
        keeping.cancel()


async def test_a_revocation_is_remembered_as_long_as_a_credential_may_live() -> None:
    pushed: list[set[str]] = []

    async def revoke(revocations: dict[str, int]) -> None:
        pushed.append(set(revocations))

    await Clusters(
        [removed("U1", MAX_JWT_DAYS - 1), removed("U2", MAX_JWT_DAYS + 2)], revoke
    ).push_revocations()

    assert pushed == [{"U1"}]
