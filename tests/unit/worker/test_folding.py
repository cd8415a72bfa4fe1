"""The worker's fold: verified, judged, applied whole, however often delivered (guarantees 2 to 4, 8)."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.bus.session import Message
from fedbus.model import codec, subjects
from fedbus.model.events import Event
from fedbus.model.federation import ScopeState
from fedbus.store.transaction import Transaction
from fedbus.worker.folding import Folded, Folder, Item
from tests.support.history import FEDERATION, VERIFIER, content, event, message, messages, store

ALL = subjects.SCOPE_ALL
FOLDER = Folder(VERIFIER, FEDERATION, ALL)


def _fold(tx: Transaction, tail: list[Item], batch: list[Message], *, snapshot: bool = False) -> Folded:
    return FOLDER.fold(tx, tail, batch, at="now", snapshot=snapshot)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Draw a history of changesets of up to three objects each."""
    revisions: dict[str, int] = {}
    made = []
    for version in range(1, draw(st.integers(1, 8)) + 1):
        names = draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True))
        for index, name in enumerate(names):
            revisions[name] = revisions.get(name, 0) + 1
            made.append(
                event(
                    name,
                    revisions[name],
                    version=version,
                    changeset=f"c{version}",
                    index=index,
                    count=len(names),
                    content=str(version),
                    deleted=revisions[name] > 1 and draw(st.booleans()),
                )
            )
    return made


def _in_one(stream: list[Event]) -> tuple[object, ScopeState]:
    with store() as tx:
        _fold(tx, [], messages(stream))
        return content(tx), tx.scope(ALL)


@settings(max_examples=60)
@given(st.data(), streams())
def test_cut_into_any_batches_and_begun_again_anywhere_it_ends_the_same(
    data: st.DataObject, stream: list[Event]
) -> None:
    delivered = messages(stream)
    with store() as tx:
        tail: list[Item] = []
        at = 0
        while at < len(delivered):
            size = data.draw(st.integers(1, len(delivered) - at))
            folded = _fold(tx, tail, delivered[at : at + size])
            tail, at = folded.tail, at + size
            assert tx.recount(ALL) == tx.scope(ALL)
            if data.draw(st.booleans()):  # a crash: the tail is gone, the position is what is stored
                tail, at = [], min(tx.scope(ALL).seq, data.draw(st.integers(0, len(delivered))))
                if data.draw(st.integers(0, 3)):
                    at = tx.scope(ALL).seq
        assert tail == []
        assert (content(tx), tx.scope(ALL)) == _in_one(stream)
        assert tx.quarantine.count() == 0


@settings(max_examples=60)
@given(st.data(), streams())
def test_no_transaction_ever_shows_half_a_changeset(data: st.DataObject, stream: list[Event]) -> None:
    delivered = messages(stream)
    cut = data.draw(st.integers(0, len(delivered)))
    with store() as tx:
        if cut:
            _fold(tx, [], delivered[:cut])
        shown = tx.scope(ALL).version
        whole = [e for e in stream if e.version <= shown]
        expected, state = _in_one(whole)
        assert (content(tx), tx.scope(ALL).digest) == (expected, state.digest)


def test_an_older_version_that_comes_back_as_a_new_message_is_set_aside() -> None:
    first, second = event("a", 1, content="old"), event("a", 2, content="new")
    with store() as tx:
        _fold(tx, [], messages([first, second]))
        folded = _fold(tx, [], [message(first, 3)])
        assert (folded.refused, folded.applied) == (["REPLAYED"], 0)
        assert content(tx)["a"][1] == 2
        assert tx.scope(ALL).seq == 3  # and it is not read again


def test_the_same_version_with_other_content_is_an_alarm() -> None:
    with store() as tx:
        _fold(tx, [], messages([event("a", 1, content="mine")]))
        folded = _fold(tx, [], [message(event("a", 1, content="other"), 2)])
        assert (folded.alarms, folded.refused) == (1, ["VERSION_CONFLICT"])
        assert b"mine" in content(tx)["a"][2]


def _unsigned() -> Message:
    return message(msgspec.structs.replace(event("bad", 1), signature=""), 2)


def _bomb() -> Message:
    return message(event("bad", 1, payload=bytes(codec.MAX_PAYLOAD + 1)), 2)


BAD = {
    "unsigned": _unsigned(),
    "altered": message(event("bad", 1), 2)._replace(data=b"{}"),
    "on another's subject": message(event("bad", 1), 2)._replace(subject=event("worse", 1).subject),
    "not json": message(event("bad", 1, payload=b"\xff\x00"), 2),
    "another shape": message(event("bad", 1, payload=b'{"name":7}'), 2),
    "a bomb": _bomb(),
    "for another cluster": message(event("bad", 1, scope="c.other"), 2),
    "no subject of ours": message(event("bad", 1), 2)._replace(subject="fed.v1.ev.all.nothing"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_event_harms_itself_only(bad: Message) -> None:
    before, after = event("a", 1, version=1), event("b", 1, version=3)
    with store() as tx:
        folded = _fold(tx, [], [message(before, 1), bad, message(after, 3)])
        assert (folded.applied, len(folded.refused)) == (2, 1)
        assert content(tx).keys() == {"a", "b"}
        assert tx.quarantine.newest()[0].seq == 2
        assert tx.scope(ALL).seq == 3
        again = _fold(tx, [], [bad])
        assert (again.refused, tx.quarantine.count()) == (folded.refused, 1)


def test_in_a_snapshot_the_position_stays_zero_until_its_end() -> None:
    stream = [event(name, 1, version=n) for n, name in enumerate("abc", start=1)]
    with store() as tx:
        delivered = messages(stream, first=50)
        _fold(tx, [], delivered[:2], snapshot=True)
        assert (tx.scope(ALL).seq, len(content(tx))) == (0, 2)  # a crash here begins it again
        folded = _fold(tx, [], delivered[2:], snapshot=True)
        assert tx.scope(ALL).seq == 52
        assert folded.seen == [("group", "c")]
