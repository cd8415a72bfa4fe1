"""The ledger: whatever is lost on the way or crashes, stream and store end equal, each write in once."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.bus.publisher import OutcomeUnknown
from fedbus.core.comparison import OnStream, compare
from fedbus.core.writes import Committed, Request
from fedbus.errors import Conflict, InvalidInput, Unavailable
from fedbus.master.changes import Change
from fedbus.master.ledger import Ledger, fold
from fedbus.model import subjects
from fedbus.model.events import Event
from fedbus.pki.verification import verified
from fedbus.store.database import Database
from fedbus.store.schema import migrate
from fedbus.store.transaction import Transaction
from tests.support.fake_bus import ADRIFT, FakeBus, Loss, StillClock
from tests.support.history import FEDERATION, SIGNER, VERIFIER, content

ALL = subjects.SCOPE_ALL
T = TypeVar("T")


class MemoryDatabase:
    """A store in memory; `fails` is how many of the next writes that fold fail, as on a full disk."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        migrate(connection, ":memory:")
        self._connection = connection
        self.tx = Transaction(connection)
        self.fails = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return work(self.tx)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self._connection.execute("BEGIN")
        before = self.tx.scope(ALL)
        try:
            result = work(self.tx)
            if self.tx.scope(ALL) != before:
                self._fill()
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return result

    def _fill(self) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("the disk is full", code="STORE_UNAVAILABLE")


class World:
    """A ledger between a store in memory and a bus that loses things; `crash` begins it anew."""

    def __init__(self, connection: sqlite3.Connection, script: Sequence[Loss] = ()) -> None:
        self.database = MemoryDatabase(connection)
        self.bus, self.clock = FakeBus(script), StillClock()
        self.committed: list[Committed] = []
        self.crash()

    def crash(self) -> None:
        self.ledger = Ledger(
            database=cast(Database, self.database), signer=SIGNER, federation_id=FEDERATION,
            connection=lambda: self.bus, clock=self.clock, on_committed=self._note,
        )  # fmt: skip
        self.ledger.recover = self._recover

    async def _note(self, committed: Committed, _events: Sequence[Event]) -> None:
        self.committed.append(committed)

    async def _recover(self) -> None:
        self.bus.arrive()  # everything on the way is in before a comparison can be read on a new session
        last: dict[str, OnStream[Event]] = {m.subject: self._found(m) for m in self.bus.stream}
        todo = compare([(h.event, h.seq) for h in self.database.tx.held()], last)
        assert (todo.lost, todo.covered) == ([], [])
        events, sequences = [e for e, _ in todo.fold], [s for _, s in todo.fold]
        await self.database.write(lambda tx: fold(tx, events, sequences, 0.0))

    def _found(self, message: Any) -> OnStream[Event]:
        return OnStream(
            message.seq, verified(VERIFIER, FEDERATION, message.subject, message.headers, message.data)
        )

    async def write(
        self, names: Sequence[str], text: str, key: str = "", revision: int | None = None
    ) -> Committed:
        payload = json.dumps({"comment": text}).encode()
        changes = [
            Change(scope=ALL, category="policy", kind="group", name=n, payload=payload, revision=revision)
            for n in names
        ]
        request = Request(actor="test", key=key, digest=text)
        return await self.ledger.answered(request) or await self.ledger.commit(lambda _: changes, request)

    def on_stream(self, text: str) -> list[str]:
        return [m.subject for m in self.bus.stream if text.encode() in m.data]


@pytest.fixture
def world() -> Any:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield World(connection)


steps = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True),
        st.booleans(),  # the store fails to fold
        st.booleans(),  # the master crashes after it
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.sampled_from(list(Loss)), max_size=40))
async def test_whatever_is_lost_each_write_is_in_once_and_both_copies_end_equal(
    plan: list[tuple[list[str], bool, bool]], script: list[Loss]
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        world = World(connection, script)
        answers: dict[str, Committed] = {}
        open_: dict[str, list[str]] = {}  # given up for now, asked again when the others are through
        for number, (names, full, crash) in enumerate(plan):
            text = f"write-{number}."
            world.database.fails = int(full)
            try:
                answers[text] = await world.write(names, text, key=text)
            except Unavailable:
                open_[text] = names
                if crash:
                    world.crash()
        while open_:
            text, names = open_.popitem()
            try:
                answers[text] = await world.write(names, text, key=text)
            except Unavailable:
                open_[text] = names
        for number, (names, _, _) in enumerate(plan):
            text = f"write-{number}."
            assert await world.write(names, text, key=text) == answers[text]
        await world.ledger.synchronise()
        for number, (names, _, _) in enumerate(plan):
            text = f"write-{number}."
            changes = answers[text].changes
            assert len(world.on_stream(text)) == len(names), "written twice, or not at all"
            assert [c.op in ("created", "updated") for c in changes] == [True] * len(names)
            for change in changes:  # the revision it was told is the one that is on the stream
                (there,) = (
                    m.headers["ce-fbrevision"]
                    for m in world.bus.stream
                    if m.subject.endswith(f".{change.name}") and text.encode() in m.data
                )
                assert int(there) == change.revision
        changesets = {m.headers["ce-fbchangeset"]: int(m.headers["ce-fbversion"]) for m in world.bus.stream}
        assert list(changesets.values()) == list(range(1, len(changesets) + 1))  # one version, one changeset
        held = {h.event.subject: h.seq for h in world.database.tx.held()}
        assert held == {m.subject: m.seq for m in world.bus.stream}
        assert world.database.tx.recount(ALL) == world.database.tx.scope(ALL)


async def test_a_stale_revision_is_told_the_current_one_and_nothing_is_written(world: World) -> None:
    await world.write(["a"], "first")
    await world.write(["a"], "second")
    with pytest.raises(Conflict) as refused:
        await world.write(["a", "b"], "third", revision=1)
    assert refused.value.current_revision == 2
    assert world.on_stream("third") == []


async def test_what_changes_nothing_is_no_event(world: World) -> None:
    await world.write(["a"], "same")
    again = await world.write(["a"], "same")
    assert [c.op for c in again.changes] == ["unchanged"]
    assert len(world.bus.stream) == 1


async def test_a_key_belongs_to_one_request(world: World) -> None:
    await world.write(["a"], "one", key="k")
    with pytest.raises(InvalidInput) as refused:
        await world.write(["a"], "two", key="k")
    assert refused.value.code == "KEY_REUSED"


async def test_an_unknown_outcome_carries_the_key_to_ask_again_with(world: World) -> None:
    world.bus._script = iter(ADRIFT)
    with pytest.raises(OutcomeUnknown) as unknown:
        await world.write(["a"], "lost?")
    key = unknown.value.idempotency_key
    assert key
    world.bus._script = iter(())
    answer = await world.write(["a"], "lost?", key=key)
    assert answer.changes[0].op == "created"


async def test_a_write_given_up_that_turns_up_after_its_key_was_asked_again_is_the_answer(
    world: World,
) -> None:
    world.bus._script = iter([*ADRIFT[:3], Loss.LATE, *ADRIFT[:60]])
    with pytest.raises(OutcomeUnknown):
        await world.write(["a"], "slow", key="k")
    assert len(world.bus.stream) <= 1
    world.bus._script = iter(())
    answers = [await world.write(["a"], "slow", key="k") for _ in range(2)]
    assert [c.op for c in answers[0].changes] == ["created"]
    assert answers[0] == answers[1]
    assert len(world.on_stream("slow")) == 1


async def test_versions_and_revisions_count_on_after_a_crash(world: World) -> None:
    first = await world.write(["a"], "first")
    world.crash()
    second = await world.write(["a"], "second")
    assert (second.version, second.changes[0].revision) == (first.version + 1, 2)


async def test_more_objects_than_a_batch_takes_are_refused_before_anything_is_sent(world: World) -> None:
    with pytest.raises(InvalidInput) as refused:
        await world.write([f"n{i}" for i in range(1001)], "many")
    assert refused.value.code == "CHANGESET_TOO_LARGE"
    assert world.bus.stream == []


async def test_a_deletion_counts_as_a_revision_and_a_new_object_goes_on_from_there(world: World) -> None:
    await world.write(["a"], "first")
    gone = Change(scope=ALL, category="policy", kind="group", name="a", payload=None)
    deleted = await world.ledger.commit(lambda _: [gone])
    assert [(c.op, c.revision) for c in deleted.changes] == [("deleted", 2)]
    assert content(world.database.tx) == {}
    again = await world.write(["a"], "again", revision=0)
    assert [(c.op, c.revision) for c in again.changes] == [("created", 3)]


async def test_the_address_of_who_asked_is_in_the_history_and_in_no_event(world: World) -> None:
    change = Change(scope=ALL, category="policy", kind="group", name="a", payload=b"{}")
    await world.ledger.commit(lambda _: [change], Request(actor="ann", origin="192.0.2.7"))

    assert [one.origin for one in world.database.tx.history.of(ALL, "group", "a")] == ["192.0.2.7"]
    assert len(world.bus.stream) == 1
    assert "192.0.2.7" not in repr([(m.subject, m.headers, m.data) for m in world.bus.stream])
