"""What a build cannot read it holds as it was signed, and reads when it can (guarantees 2, 3 and 7)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.core import digest, payload
from fedbus.errors import InvalidEvent
from fedbus.model import events, subjects
from fedbus.model.events import Event
from fedbus.model.federation import ScopeState
from fedbus.pki.verification import genuine
from fedbus.store.database import Database
from fedbus.store.parked import Reread
from fedbus.store.transaction import Transaction
from fedbus.worker.folding import Folded, Folder
from tests.support.history import FEDERATION, VERIFIER, content, event, message, messages, store

ALL = subjects.SCOPE_ALL
FOLDER = Folder(VERIFIER, FEDERATION, ALL)
NEWER = "io.fedbus.policy.upserted.v2"
NEWER_TOMBSTONE = "io.fedbus.policy.deleted.v2"
NEW_KIND = "mesh_policy"


def _fold(tx: Transaction, *stream: Event, first: int = 1, snapshot: bool = False) -> Folded:
    return FOLDER.fold(tx, [], messages(stream, first), at="now", snapshot=snapshot)


def _everything(_: Event) -> bool:
    return True


def _accept(_: Event) -> None:
    """Check as a build that finds nothing wrong."""


def _upgrade(tx: Transaction, check: Callable[[Event], None] = _accept) -> Reread:
    return tx.parked.reread(_everything, check, "later")


def _should_be(*held: Event) -> str:
    total = sum(digest.element(e.address.kind, e.address.name, e.revision, e.digest) for e in held)
    return digest.add(digest.EMPTY, total)


UNREADABLE = {
    "kind": event("a", 1, kind=NEW_KIND, payload=b"\x00 no JSON at all"),
    "type": event("a", 1, type_="io.fedbus.policy.frozen.v1"),
    "version of a type": event("a", 1, type_=NEWER),
}


@pytest.mark.parametrize("unreadable", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_held_counted_and_shown_and_nothing_reads_it(unreadable: Event) -> None:
    with store() as tx:
        folded = _fold(tx, unreadable, event("b", 1, version=2))

        assert (folded.parked, folded.applied, folded.refused) == (1, 1, [])
        assert content(tx).keys() == {"b"}
        assert tx.scope(ALL) == ScopeState(
            epoch=1, version=2, seq=2, digest=_should_be(unreadable, event("b", 1, version=2)), objects=2
        )
        assert tx.recount(ALL) == tx.scope(ALL)
        (shown,) = tx.parked.all()
        assert (shown.kind, shown.name, shown.type, shown.revision) == (
            unreadable.address.kind, "a", unreadable.type, 1
        )  # fmt: skip
        assert unreadable in [held.event for held in tx.held()]  # byte for byte


def test_what_was_in_force_stays_in_force_under_a_newer_version_that_cannot_be_read() -> None:
    newer = event("a", 2, version=2, content="new", type_=NEWER)
    with store() as tx:
        _fold(tx, event("a", 1, version=1, content="old"), newer)

        assert b"old" in content(tx)["a"][2]
        assert tx.scope(ALL).digest == _should_be(newer)
        assert tx.scope(ALL).objects == 1
        assert tx.parked.all()[0].revision_in_force == 1

        _upgrade(tx)

        assert b"new" in content(tx)["a"][2]
        assert (tx.parked.all(), tx.scope(ALL).digest) == ([], _should_be(newer))


@pytest.mark.parametrize("type_", ["", NEWER_TOMBSTONE])
@pytest.mark.parametrize("parked_first", [True, False])
def test_a_tombstone_removes_what_is_parked_also_one_of_a_newer_version(
    type_: str, *, parked_first: bool
) -> None:
    with store() as tx:
        _fold(tx, event("a", 1, version=1), event("a", 2, version=2, type_=NEWER if parked_first else ""))

        _fold(tx, event("a", 3, version=3, deleted=True, type_=type_), first=3)

        assert (content(tx), tx.parked.count()) == ({}, 0)
        assert (tx.scope(ALL).digest, tx.scope(ALL).objects) == (digest.EMPTY, 0)
        folded = _fold(tx, event("a", 2, version=2, type_=NEWER), first=4)
        assert folded.refused == ["REPLAYED"]


def test_delivered_again_it_changes_nothing_before_and_after_the_upgrade() -> None:
    parked = UNREADABLE["kind"]
    with store() as tx:
        _fold(tx, parked)
        before = tx.scope(ALL)
        assert _fold(tx, parked).duplicates == 1
        _upgrade(tx)
        assert _fold(tx, parked).duplicates == 1
        assert tx.scope(ALL) == before
        assert tx.object(ALL, NEW_KIND, "a") is not None


def test_the_same_version_with_other_content_is_an_alarm_for_a_parked_one_too() -> None:
    with store() as tx:
        folded = _fold(tx, UNREADABLE["kind"], event("a", 1, kind=NEW_KIND, payload=b"other"))
        assert (folded.alarms, folded.refused, tx.parked.count()) == (1, ["VERSION_CONFLICT"], 1)


def test_a_version_that_can_be_read_takes_the_place_of_a_parked_one() -> None:
    with store() as tx:
        _fold(tx, event("a", 1, type_=NEWER), event("a", 2, content="plain"))
        assert (set(content(tx)), tx.parked.count()) == ({"a"}, 0)
        assert tx.recount(ALL) == tx.scope(ALL)


def test_what_the_newer_build_finds_wrong_is_quarantined_and_no_longer_held() -> None:
    def wrong(_: Event) -> None:
        raise InvalidEvent("no such shape", code="PAYLOAD_UNDECODABLE")

    old = event("a", 1, version=1, content="old")
    with store() as tx:
        _fold(tx, old, event("a", 2, version=2, type_=NEWER))

        done = _upgrade(tx, wrong)

        assert (done.refused, [q.code for q in tx.quarantine.newest()]) == (["PAYLOAD_UNDECODABLE"],) * 2
        assert b"old" in content(tx)["a"][2]
        assert tx.scope(ALL).digest == _should_be(old)  # not the master's: something is missing, and it shows


async def test_an_upgrade_that_is_cut_short_has_done_nothing_and_is_done_at_the_next_start(
    tmp_path: Path,
) -> None:
    checked: list[str] = []

    def cut(one: Event) -> None:
        checked.append(one.address.name)
        if len(checked) == 2:
            raise KeyboardInterrupt

    stream = [event(name, 1, version=n, kind=NEW_KIND) for n, name in enumerate("abc", start=1)]
    async with Database(tmp_path / "store.db", "NORMAL") as database:
        await database.write(lambda tx: _fold(tx, *stream))
        with pytest.raises(KeyboardInterrupt):
            await database.write(lambda tx: _upgrade(tx, cut))
        assert await database.read(lambda tx: tx.parked.count()) == 3

        done = await database.write(_upgrade)

        assert [one.address.name for one in done.applied] == ["a", "b", "c"]  # in the order of their versions
        assert await database.read(lambda tx: tx.recount(ALL)) == await database.read(
            lambda tx: tx.scope(ALL)
        )


def test_an_older_build_parks_what_it_cannot_read_any_more() -> None:
    with store() as tx:
        _fold(tx, UNREADABLE["kind"])
        _upgrade(tx)

        done = tx.parked.reread(payload.understood, payload.check, "later")

        assert ([e.address.kind for e in done.parked], tx.parked.count()) == ([NEW_KIND], 1)
        assert tx.recount(ALL) == tx.scope(ALL)


def test_a_parked_event_that_somebody_altered_on_disk_is_dropped_and_asked_for_again() -> None:
    with store() as tx:
        _fold(tx, UNREADABLE["kind"], event("b", 1, version=2))
        tx._connection.execute("UPDATE parked SET body=?", (b"forged",))
        assert tx.repair.run(lambda one: genuine(VERIFIER, one)) == {ALL: 2}
        assert (tx.parked.count(), tx.scope(ALL).seq, tx.scope(ALL).objects) == (0, 0, 1)


def test_an_instruction_of_an_unknown_kind_waits_too_and_is_no_object() -> None:
    with store() as tx:
        own = subjects.own_scope("c1")
        order = event("-", 1, kind="rotate", category=subjects.CONTROL, scope=own)
        folded = Folder(VERIFIER, FEDERATION, own).fold(tx, [], [message(order, 1)], at="now", snapshot=False)
        assert (folded.controls, folded.parked, tx.scope(own).objects) == ([], 1, 0)
        assert [e.address.kind for e in _upgrade(tx).applied] == ["rotate"]


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Draw a history in which some events are of a newer build."""
    revisions: dict[tuple[str, str], int] = {}
    made = []
    for version in range(1, draw(st.integers(1, 12)) + 1):
        key = draw(st.sampled_from([("group", "a"), ("group", "b"), (NEW_KIND, "a")]))
        revisions[key] = revisions.get(key, 0) + 1
        deleted = revisions[key] > 1 and draw(st.booleans())
        newer = draw(st.booleans())
        type_ = {(True, True): NEWER_TOMBSTONE, (False, True): NEWER}.get((deleted, newer), "")
        made.append(event(key[1], revisions[key], version=version, kind=key[0], deleted=deleted, type_=type_))
    return made


def _readable(tx: Transaction) -> tuple[object, ScopeState]:
    held = sorted((o.kind, o.name, o.revision, o.payload) for o in tx.objects(ALL))
    return held, tx.scope(ALL)


def _newest(stream: Sequence[Event]) -> list[Event]:
    last = {(e.address.kind, e.address.name): e for e in stream}
    return [e for e in last.values() if not e.deleted]


@settings(max_examples=80)
@given(st.data(), streams())
def test_upgraded_at_any_moment_it_ends_as_if_it_had_been_new_from_the_start(
    data: st.DataObject, stream: list[Event]
) -> None:
    upgraded = data.draw(st.integers(0, len(stream)))
    with store() as tx:
        _fold(tx, *stream[:upgraded])
        assert tx.scope(ALL).digest == _should_be(*_newest(stream[:upgraded]))  # so: synced
        assert tx.recount(ALL) == tx.scope(ALL)
        _upgrade(tx)
        _fold(tx, *stream, first=1)  # redelivered from the start, as after a lost position
        _upgrade(tx)
        found = _readable(tx)
        assert tx.parked.count() == 0
    assert found[0] == sorted((e.address.kind, e.address.name, e.revision, e.body) for e in _newest(stream))
    assert found[1].digest == _should_be(*_newest(stream))


def test_unknown_fields_are_ignored_and_kept() -> None:
    said = b'{"name":"fed.a","criteria":[],"mood":{"of":"tomorrow"}}'
    with store() as tx:
        assert _fold(tx, event("fed.a", 1, payload=said)).applied == 1
        held = tx.object(ALL, "group", "fed.a")
        assert held is not None
        assert held.payload == said


@given(st.sampled_from(["policy", "record"]), st.integers(1, 10**6))
def test_the_verb_of_a_type_tells_a_tombstone_at_any_version(category: str, version: int) -> None:
    assert msgspec.structs.replace(event("a", 1), type=f"io.fedbus.{category}.deleted.v{version}").deleted
    assert not msgspec.structs.replace(event("a", 1), type=f"io.fedbus.{category}.renamed.v{version}").deleted
    assert events.type_of(category, deleted=True).endswith(".deleted.v1")
