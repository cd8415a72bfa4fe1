"""Readiness: what it costs does not depend on how often somebody asks."""

import asyncio

import pytest

from fedbus.errors import Unavailable
from fedbus.web import health


async def test_many_who_ask_at_once_cost_one_look() -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)

    readiness = health.Readiness({"store": look})
    await asyncio.gather(*(readiness.reasons() for _ in range(50)))

    assert looks == 1


async def test_what_was_found_is_looked_at_again_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "NOT_READY_SECONDS", 0.0)
    errors = iter([Unavailable("the disk is full", remedy="make room"), None])

    async def look() -> None:
        if (error := next(errors)) is not None:
            raise error

    readiness = health.Readiness({"store": look})

    assert (await readiness.reasons())["store"]["message"] == "the disk is full"
    assert await readiness.reasons() == {}
