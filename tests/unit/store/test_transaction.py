"""What one transaction does: fold, sweep, repair, quarantine, remember."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.core.fold import Verdict
from fedbus.model import subjects
from fedbus.model.events import Event
from fedbus.model.federation import AuditRecord
from fedbus.pki.verification import genuine
from fedbus.store import audit_log
from fedbus.store.answers import Answer
from fedbus.store.quarantine import Quarantined
from fedbus.store.transaction import Transaction
from tests.support.history import VERIFIER, content, event, store

ALL = subjects.SCOPE_ALL


def _put(tx: Transaction, *made: Event) -> None:
    fold = tx.folding(ALL)
    for seq, one in enumerate(made, start=fold.seq + 1):
        fold.put(one, seq)
    fold.save()


def _genuine(one: Event) -> bool:
    return genuine(VERIFIER, one)


def test_position_version_and_digest_are_saved_with_the_effects() -> None:
    with store() as tx:
        _put(tx, event("a", 1, version=4), event("b", 1, version=5))
        state = tx.scope(ALL)
        assert (state.version, state.seq, state.objects, state.epoch) == (5, 2, 2, 1)
        assert tx.recount(ALL) == state


def test_the_audit_log_keeps_the_newest_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "KEEP_RECORDS", 3)
    with store() as tx:
        for number in range(5):
            tx.audit.add(AuditRecord(at="", category="c", action=str(number), actor="a"))

        assert [record.action for record in tx.audit.records()] == ["2", "3", "4"]


def test_a_deleted_object_keeps_its_stamp_so_that_an_old_event_cannot_bring_it_back() -> None:
    with store() as tx:
        _put(tx, event("a", 1), event("a", 2, deleted=True))
        fold = tx.folding(ALL)
        assert fold.put(event("a", 1), 9) is Verdict.STALE
        assert content(tx) == {}
        held = tx.object(ALL, "group", "a")
        assert held is not None
        assert held.deleted


def test_what_is_held_can_be_published_again_exactly_as_it_was_signed() -> None:
    made = [event("a", 1, version=1), event("b", 1, version=2, deleted=True), event("c", 1, version=3)]
    with store() as tx:
        _put(tx, *reversed(made))
        assert [h.event for h in tx.held()] == made


@settings(max_examples=30)
@given(st.sets(st.sampled_from("abcdef")))
def test_a_sweep_keeps_what_is_to_be_kept_and_the_digest_right(keep: set[str]) -> None:
    with store() as tx:
        _put(tx, *(event(name, 1, version=n) for n, name in enumerate("abcdef", start=1)))
        fold = tx.folding(ALL)
        assert fold.sweep({("group", name) for name in keep}) == 6 - len(keep)
        assert tx.recount(ALL) == fold.save()
        assert content(tx).keys() == keep


ALTERATIONS = [
    "UPDATE objects SET body=x'00' WHERE name='b'",
    "UPDATE objects SET body='{}' WHERE name='b'",
    "UPDATE objects SET body=7 WHERE name='b'",
    "UPDATE objects SET digest='0' WHERE name='b'",
    "UPDATE objects SET revision=9 WHERE name='b'",
    "UPDATE objects SET epoch=0 WHERE name='b'",
    "UPDATE objects SET version=0 WHERE name='b'",
    "UPDATE objects SET deleted=1 WHERE name='b'",
    "UPDATE objects SET encoding='zstd' WHERE name='b'",
    "UPDATE objects SET changed_at='never' WHERE name='b'",
    "UPDATE objects SET category='control' WHERE name='b'",
    "UPDATE objects SET kind='webhook' WHERE name='b'",
    "UPDATE objects SET statement=x'FF' WHERE name='b'",
    "UPDATE objects SET statement='' WHERE name='b'",
    "UPDATE objects SET signature='' WHERE name='b'",
    "UPDATE objects SET signature=5 WHERE name='b'",
    "UPDATE objects SET name='' WHERE name='b'",
    "DELETE FROM objects WHERE name='b'",
]


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_whatever_is_altered_goes_alone_and_is_asked_for_again(alteration: str) -> None:
    whole = [event(name, 1, version=n) for n, name in enumerate("abc", start=1)]
    with store() as tx:
        _put(tx, *whole)
        right = tx.scope(ALL)
        assert tx._connection.execute(alteration).rowcount == 1
        assert tx.repair.run(_genuine) == {ALL: 1 if "DELETE" in alteration else 2}
        assert content(tx).keys() == {"a", "c"}
        state = tx.scope(ALL)
        assert (state.seq, state.version) == (0, 3)
        assert state.digest != right.digest
        _put(tx, *whole)
        assert tx.scope(ALL) == right
        assert tx.repair.run(_genuine) == {}


def test_a_lost_position_is_found_again_from_the_rows() -> None:
    with store() as tx:
        _put(tx, event("a", 1, version=8, epoch=2))
        tx._connection.execute("DELETE FROM scopes")
        assert tx.repair.run(_genuine) == {ALL: 1}
        state = tx.scope(ALL)
        assert (state.epoch, state.version, state.seq, state.objects) == (2, 8, 0, 1)


def test_a_refused_event_is_set_aside_once_and_only_the_newest_are_kept() -> None:
    with store() as tx:
        for seq in (*range(1, 8), 7):
            aside = Quarantined(
                at="t", scope=ALL, subject="s", seq=seq, code="UNSIGNED", reason="r", body=b"x" * 9000
            )
            tx.quarantine.add(aside, keep=5)
        assert [q.seq for q in tx.quarantine.newest()] == [7, 6, 5, 4, 3]
        assert len(tx.quarantine.newest()[0].body) == 4096


def test_an_answer_holds_once_its_changeset_is_folded_whichever_try_that_was() -> None:
    with store() as tx:
        for number, changeset in enumerate(("first", "second")):
            tx.answers.remember(Answer("key", "request", changeset, changeset.encode(), float(number)))
        pending = tx.answers.find("key")
        assert pending is not None
        assert (pending.answer, pending.done) == (b"second", False)
        tx.answers.settle("first")  # the one that was given up got in after all
        settled = tx.answers.find("key")
        assert settled is not None
        assert (settled.answer, settled.done) == (b"first", True)


def test_answers_are_forgotten_after_a_day() -> None:
    with store() as tx:
        tx.answers.remember(Answer("old", "r", "c1", b"", 0.0))
        tx.answers.remember(Answer("new", "r", "c2", b"", 86_401.0))
        assert tx.answers.find("old") is None
        assert tx.answers.find("new") is not None


def test_heads_are_remembered_by_version_and_pruned() -> None:
    with store() as tx:
        for version in range(1, 8):
            tx.record_head(ALL, version, f"d{version}", float(version), keep=3)
        assert [version for version, _, _ in tx.heads(ALL)] == [5, 6, 7]
