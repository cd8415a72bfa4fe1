"""The follower: it deletes on the master's signed word about what is current alone (guarantee 9)."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.bus.session import Connection, Message
from fedbus.core import digest
from fedbus.model import codec, subjects
from fedbus.model.events import Event
from fedbus.model.federation import RESYNC, Checkpoint, Resync, ScopeState
from fedbus.store.database import Database
from fedbus.store.schema import migrate
from fedbus.store.transaction import Transaction
from fedbus.worker import follower as module
from fedbus.worker.folding import Folded, Folder
from fedbus.worker.follower import Follower
from tests.support.fake_bus import StillClock
from tests.support.history import FEDERATION, VERIFIER, content, event, messages

ALL = subjects.SCOPE_ALL
T = TypeVar("T")


class Memory:
    """A store in memory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        migrate(connection, ":memory:")
        self.tx = Transaction(connection)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return work(self.tx)

    write = read


class Stream:
    """What the bus has, and how often somebody attached; `from_nothing` counts the snapshots."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)
        self.attached = self.from_nothing = 0
        self.on_attach: Callable[[], None] = lambda: None
        self.all_read = asyncio.Event()


class StreamReader:
    """Delivers a stream as the real reader does, and then waits."""

    def __init__(self, stream: Stream, *_: str, api: str, batch: int, max_bytes: int) -> None:
        self._stream = stream
        self._batch: list[Message] = []

    async def attach(self, after: int | None) -> int:
        stream = self._stream
        stream.attached += 1
        stream.from_nothing += after is None
        stream.on_attach()
        self._batch = messages(stream.events)
        if after is None:
            last = {m.subject: m.seq for m in self._batch}
            self._batch = [m for m in self._batch if last[m.subject] == m.seq]
        else:
            self._batch = [m for m in self._batch if m.seq > after]
        return len(self._batch)

    async def run(self, handle: Callable[[Sequence[Message]], Awaitable[None]], *, idle: bool) -> None:
        if self._batch:
            await handle(self._batch)
        self._stream.all_read.set()
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _stream_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Reader", StreamReader)


@pytest.fixture
def memory() -> Iterator[Memory]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield Memory(connection)


async def _ignore(_: Any) -> None:
    pass


def _follower(
    memory: Memory,
    applied: list[Folded] | None = None,
    *,
    scope: str = ALL,
    on_control: Callable[[Event], Awaitable[None]] = _ignore,
) -> Follower:
    async def note(folded: Folded) -> None:
        if applied is not None:
            applied.append(folded)

    return Follower(
        database=cast(Database, memory), folder=Folder(VERIFIER, FEDERATION, scope), consumer="x-all",
        stream="POLICY", filter_subject=">", clock=StillClock(), on_applied=note, on_control=on_control,
    )  # fmt: skip


@asynccontextmanager
async def following(follower: Follower, stream: Stream) -> AsyncIterator[None]:
    """Follow a stream in the background, and have read all of it."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(follower.follow(cast(Connection, stream)))
        await stream.all_read.wait()
        yield
        task.cancel()


async def _read_again(stream: Stream) -> None:
    stream.all_read.clear()
    await asyncio.wait_for(stream.all_read.wait(), 5)


def _head(events: Sequence[Event], *, version: int, epoch: int = 1, seq: int = 100) -> Checkpoint:
    last = {e.subject: e for e in events}
    total = digest.EMPTY
    for e in last.values():
        if not e.deleted:
            total = digest.add(total, digest.element(e.address.kind, e.address.name, e.revision, e.digest))
    state = ScopeState(epoch=epoch, version=version, seq=seq, digest=total)
    return Checkpoint(federation_id=FEDERATION, epoch=epoch, time=0.0, scopes={ALL: state})


def _hold(memory: Memory, events: Sequence[Event]) -> None:
    fold = memory.tx.folding(ALL)
    for seq, e in enumerate(events, start=1):
        fold.put(e, seq)
    fold.save()


WAS = [event(name, 1, version=n) for n, name in enumerate("abcd", start=1)]


async def test_an_empty_stream_alone_deletes_nothing(memory: Memory) -> None:
    _hold(memory, WAS)
    follower, stream = _follower(memory), Stream([])
    async with following(follower, stream):
        follower.rewind()
        await _read_again(stream)
        assert content(memory.tx).keys() == set("abcd")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.booleans())
def test_no_head_from_before_what_is_held_ever_deletes_anything(version: int, rewound: bool) -> None:
    async def replay() -> None:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            memory = Memory(connection)
            _hold(memory, WAS)
            follower, stream = _follower(memory), Stream([])
            async with following(follower, stream):
                if rewound:
                    follower.rewind()
                    await _read_again(stream)
                await follower.check(_head(WAS[:version], version=version))
                assert content(memory.tx).keys() == set("abcd")

    asyncio.run(replay())


async def test_what_the_signed_head_does_not_have_is_swept_after_a_snapshot(memory: Memory) -> None:
    _hold(memory, WAS)
    now = [event("a", 1, version=1), event("b", 2, version=6)]  # c and d went with a store long ago
    applied: list[Folded] = []
    follower, stream = _follower(memory, applied), Stream(now)
    async with following(follower, stream):
        await follower.check(_head(now, version=6, epoch=2))
        await _read_again(stream)
        await follower.check(_head(now, version=6, epoch=2))
        assert content(memory.tx).keys() == {"a", "b"}
        state = memory.tx.scope(ALL)
        assert (state.epoch, state.version) == (2, 6)
        assert memory.tx.recount(ALL) == state
        assert applied[-1].state == state  # the master hears of it


async def test_a_head_that_what_remains_does_not_add_up_to_deletes_nothing(memory: Memory) -> None:
    _hold(memory, WAS)
    follower, stream = _follower(memory), Stream(WAS[:2])
    async with following(follower, stream):
        follower.rewind()
        await _read_again(stream)
        await follower.check(_head([*WAS[:2], event("e", 1, version=5)], version=5))
        assert content(memory.tx).keys() == set("abcd")


async def test_a_raised_epoch_is_read_from_nothing_and_an_older_one_is_fenced_off(memory: Memory) -> None:
    _hold(memory, WAS)
    follower, stream = _follower(memory), Stream([event(n, 1, version=9, epoch=2) for n in "abcd"])
    async with following(follower, stream):
        assert stream.from_nothing == 0
        await follower.check(_head(WAS, version=9, epoch=2))
        await _read_again(stream)
        assert stream.from_nothing == 1
        await follower.check(_head(WAS, version=9, epoch=2))
        assert memory.tx.scope(ALL).epoch == 2
        attached = stream.attached
        await follower.check(_head([], version=99, epoch=1))  # a master that was replaced
        assert stream.attached == attached
        assert content(memory.tx).keys() == set("abcd")


async def test_after_a_restart_an_older_epoch_is_still_fenced_off(memory: Memory) -> None:
    _hold(memory, [event(n, 1, version=9, epoch=2) for n in "abcd"])
    follower, stream = _follower(memory), Stream([])
    async with following(follower, stream):
        follower.rewind()
        await _read_again(stream)
        await follower.check(_head([], version=99, epoch=1))
        assert content(memory.tx).keys() == set("abcd")


async def test_a_wrong_digest_at_the_head_is_read_again_and_an_equal_one_is_not(memory: Memory) -> None:
    _hold(memory, WAS[:3])
    follower, stream = _follower(memory), Stream(WAS[:3])
    async with following(follower, stream):
        await follower.check(_head(WAS[:3], version=3))
        assert stream.from_nothing == 0
        stream.events = [event("a", 1, version=1), event("x", 1, version=2), *WAS[1:3]]
        await follower.check(_head(stream.events, version=3))
        await _read_again(stream)
        assert stream.from_nothing == 1
        assert content(memory.tx).keys() == set("abcx")


async def test_what_a_snapshot_did_not_bring_is_asked_for_again_and_ever_more_seldom(memory: Memory) -> None:
    follower, stream = _follower(memory), Stream(WAS[:3])
    async with following(follower, stream):
        head = _head(WAS, version=3)  # something that was refused, or cannot be had yet
        often = []
        for _ in range(4):
            for _ in range(20):
                await follower.check(head)
                await asyncio.sleep(0)
            often.append(stream.from_nothing)
        assert often[0] >= 2
        assert often[-1] - often[0] <= often[0] + 2
        stream.events = [*WAS[:3], event("d", 1, version=3)]
        for _ in range(100):
            await follower.check(_head(stream.events, version=3))
            await asyncio.sleep(0)
        assert content(memory.tx).keys() == set("abcd")


async def test_a_position_ahead_of_the_heads_is_no_reason_to_read_again(memory: Memory) -> None:
    _hold(memory, WAS)
    follower, stream = _follower(memory), Stream(WAS)
    async with following(follower, stream):
        await follower.check(_head(WAS, version=4, seq=2))  # foreign messages were passed on the way
        await follower.check(_head(WAS, version=4, seq=2))
        assert (stream.attached, stream.from_nothing) == (1, 0)


async def test_a_store_without_a_position_is_filled_from_the_last_message_of_each_object(
    memory: Memory,
) -> None:
    stream = Stream([event("a", 1, version=1), event("a", 2, version=2), event("b", 1, version=3)])
    async with following(_follower(memory), stream):
        assert stream.from_nothing == 1
        assert {k: v[1] for k, v in content(memory.tx).items()} == {"a": 2, "b": 1}
        assert memory.tx.scope(ALL).seq == 3


async def test_an_instruction_that_rewinds_its_own_follower_is_followed_to_its_end(memory: Memory) -> None:
    followed = asyncio.Event()

    async def resync(_: Event) -> None:
        follower.rewind()
        await asyncio.sleep(0.01)
        followed.set()

    own = subjects.own_scope("c1")
    follower = _follower(memory, scope=own, on_control=resync)
    asked = codec.encode(Resync(checkpoint=_head([], version=0)))
    stream = Stream(
        [event("resync", 1, version=1, scope=own, category=subjects.CONTROL, kind=RESYNC, payload=asked)]
    )
    async with following(follower, stream):
        await asyncio.wait_for(followed.wait(), 5)


async def test_a_rewind_that_comes_while_the_follower_attaches_is_not_lost(memory: Memory) -> None:
    follower, stream = _follower(memory), Stream([event("one", 1)])
    async with following(follower, stream):
        pass
    again, twice = Stream(stream.events), asyncio.Event()

    def once() -> None:
        again.on_attach = twice.set
        follower.rewind()

    again.on_attach = once
    async with asyncio.timeout(5), following(follower, again):
        await twice.wait()

    assert again.from_nothing == 1
