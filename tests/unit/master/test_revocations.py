"""Revocations: pushed until the bus has them, and remembered as long as a credential may live."""

import asyncio
from typing import Any

import pytest

from fedbus.errors import Unavailable
from fedbus.master import revocations as module
from fedbus.master.revocations import Revocations
from fedbus.model.federation import Cluster, Versions
from fedbus.runtime import Clock
from fedbus.settings import MAX_JWT_DAYS
from tests.support.daemons import eventually

DAY = 86_400


def revocations(ended: list[Cluster], revoke: Any) -> Revocations:
    async def clusters() -> list[Cluster]:
        return ended

    return Revocations(clusters, revoke, Clock())


def removed(key: str, days_ago: float) -> Cluster:
    at = int(Clock().now() - days_ago * DAY)
    return Cluster(
        id=key, name=key, nkey=key, renew_nkey="", versions=Versions(fedbus="0"), joined_at="",
        state="removed", revoked_at=at,
    )  # fmt: skip


async def test_a_revocation_that_could_not_be_pushed_is_pushed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    pushed: list[set[str]] = []
    failures = iter([True, True])

    async def revoke(revocations: dict[str, int]) -> None:
        if next(failures, False):
            raise Unavailable("the bus is not connected")
        pushed.append(set(revocations))

    kept = revocations([removed("U1", 0)], revoke)
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(kept.keep())
        with pytest.raises(Unavailable):
            await kept.push()

        async def done() -> bool:
            return pushed == [{"U1"}]

        await eventually(done)
        keeping.cancel()


async def test_a_revocation_is_remembered_as_long_as_a_credential_may_live() -> None:
    pushed: list[set[str]] = []

    async def revoke(revocations: dict[str, int]) -> None:
        pushed.append(set(revocations))

    await revocations([removed("U1", MAX_JWT_DAYS - 1), removed("U2", MAX_JWT_DAYS + 2)], revoke).push()

    assert pushed == [{"U1"}]
