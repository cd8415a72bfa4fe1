"""What the steps of the story do alike: publish and measure, read what a cluster holds, and insist."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from fedbus.cli.demo.fleet import WAIT_SECONDS, WORKERS, Fleet, Member, Worker, together
from fedbus.cli.errors import CliError
from fedbus.cli.policy_objects import Document, read
from fedbus.cli.session import write_new
from fedbus.model.policy import KINDS

PASSWORD_FILE = "admin-password"  # noqa: S105 - a file's name
"""Where the demo puts what promote and join show once, in the daemon's directory."""

_LOOK_EVERY = 0.005


class _Change(msgspec.Struct):
    kind: str
    name: str
    op: str


class _Changed(msgspec.Struct):
    """What is read of the answer to a change."""

    version: int
    changes: list[_Change]


class _Admin(msgspec.Struct):
    password: str


class _Admitted(msgspec.Struct):
    """What is read of the answer to promote and join."""

    admin: _Admin


class _Token(msgspec.Struct):
    state: str


class _Tokens(msgspec.Struct):
    tokens: list[_Token]


class Published(msgspec.Struct):
    """A change that has arrived: the milliseconds that each worker took."""

    version: int
    changes: list[_Change]
    ms: dict[str, float]

    @property
    def slowest(self) -> float:
        """The milliseconds until the last worker had it."""
        return max(self.ms.values())

    def __str__(self) -> str:
        return "applied in " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.ms.items())


class Scene:
    """What the steps share: the daemons, and what earlier steps learned."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.master = fleet.master
        self.tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.version = 0

    def workers(self, *without: str) -> list[Worker]:
        """Return the workers but some."""
        return [worker for worker in self.fleet.workers.values() if worker.name not in without]


async def publish_and_wait(scene: Scene, stream: bytes, *without: str) -> Published:
    """Apply documents on the master, wait until each worker has applied them, and measure that."""
    began = time.perf_counter()
    answer = await scene.master.api.call("POST", "/v1/fed/apply", raw=stream, content_type="application/yaml")
    changed = msgspec.convert(answer, _Changed)
    scene.version = changed.version
    workers = scene.workers(*without)
    reached = await together(worker.reached(changed.version) for worker in workers)
    took = {worker.name: (at - began) * 1000 for worker, at in zip(workers, reached, strict=True)}
    return Published(changed.version, changed.changes, took)


async def federated_policy(member: Member) -> dict[str, list[Document]]:
    """Read every federated object of every kind, with revisions, over REST."""
    return {kind: await read(member.api, kind, "fed") for kind in KINDS}


async def membership(member: Member) -> dict[str, object]:
    """Read what it is in the federation, by its own word."""
    return await member.api.get("/v1/fed/member")


def keep_password(member: Member, answer: dict[str, object]) -> None:
    """Write the password that promote and join show once beside the daemon's API key."""
    write_new(member.directory / PASSWORD_FILE, msgspec.convert(answer, _Admitted).admin.password)


async def expect_same(master: Member, workers: Sequence[Member]) -> None:
    """Insist that each worker shows what the master shows: every object, its content and its revision."""
    wanted = await federated_policy(master)
    for worker in workers:
        found = await federated_policy(worker)
        wrong = [kind for kind in KINDS if found[kind] != wanted[kind]]
        expect(not wrong, f"{worker.name} differs from the master in {', '.join(wrong)}")


async def expect_tokens(master: Member, state: str) -> None:
    """Insist that every token is in this state."""
    listed = msgspec.convert(await master.api.get("/v1/fed/join_tokens"), _Tokens).tokens
    states = [token.state for token in listed]
    expect(states == [state] * len(WORKERS), f"tokens should be {state}, but are {', '.join(states)}")


async def soon(what: str, check: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what nobody tells, by looking again and again. Raises CliError; see `Member.until`."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await check():  # noqa: ASYNC110 - nobody tells: there is no event
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError as error:
        raise CliError(f"{what}: not within {WAIT_SECONDS:.0f} s") from error


def each(took: dict[str, float]) -> str:
    """Say how long each took, in milliseconds."""
    return ", ".join(f"{name} {ms:.0f} ms" for name, ms in took.items())


def expect(true: bool, otherwise: str) -> None:
    """Insist that something is true. Raises CliError that says what is so instead."""
    if not true:
        raise CliError(otherwise)
