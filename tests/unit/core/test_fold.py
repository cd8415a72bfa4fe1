"""The rule of versions (guarantees 2 and 3): whatever the order, the newest version is what is held."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.core.fold import Stamp, Verdict, judge
from fedbus.model import subjects
from fedbus.model.events import Event
from tests.support.history import content, event, store

stamps = st.builds(Stamp, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["a", "b"]), st.booleans())


@given(stamps)
def test_the_first_version_of_an_object_is_applied(new: Stamp) -> None:
    assert judge(None, new) is Verdict.APPLY


@given(stamps, stamps)
def test_only_a_higher_epoch_and_revision_is_applied(held: Stamp, new: Stamp) -> None:
    higher = (new.epoch, new.revision) > (held.epoch, held.revision)
    assert (judge(held, new) is Verdict.APPLY) == higher


@given(stamps, stamps)
def test_the_same_version_with_other_content_is_an_alarm_and_never_an_update(held: Stamp, new: Stamp) -> None:
    if (new.epoch, new.revision) == (held.epoch, held.revision):
        same = (new.digest, new.deleted) == (held.digest, held.deleted)
        assert judge(held, new) is (Verdict.DUPLICATE if same else Verdict.CONFLICT)


@given(stamps, stamps)
def test_of_two_versions_never_both_replace_each_other(a: Stamp, b: Stamp) -> None:
    assert {judge(a, b), judge(b, a)} != {Verdict.APPLY}


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Draw what a master may have written: revisions count up by object, versions over all."""
    revisions: dict[str, int] = {}
    made = []
    for version in range(1, draw(st.integers(1, 14)) + 1):
        name = draw(st.sampled_from("abcd"))
        revisions[name] = revisions.get(name, 0) + 1
        made.append(
            event(
                name,
                revisions[name],
                version=version,
                epoch=1 + version // 6,
                content=draw(st.text(max_size=3)),
                deleted=draw(st.booleans()) and revisions[name] > 1,
            )
        )
    return made


def _folded(deliveries: list[tuple[Event, int]]) -> tuple[object, str, int, int]:
    with store() as tx:
        for one, seq in deliveries:
            fold = tx.folding(subjects.SCOPE_ALL)
            fold.put(one, seq)
            state = fold.save()
        assert tx.recount(subjects.SCOPE_ALL) == state  # the digest kept along is the one counted anew
        return content(tx), state.digest, state.version, state.objects


@settings(max_examples=50)
@given(st.data(), histories())
def test_any_order_duplication_and_replay_of_a_history_ends_like_the_history_in_order(
    data: st.DataObject, history: list[Event]
) -> None:
    stream = [(one, seq) for seq, one in enumerate(history, start=1)]
    again = data.draw(st.lists(st.sampled_from(stream), max_size=10))
    shuffled = data.draw(st.permutations(stream + again))
    assert _folded(shuffled) == _folded(stream)


@settings(max_examples=50)
@given(histories())
def test_the_last_message_of_each_object_alone_ends_like_the_whole_history(history: list[Event]) -> None:
    stream = [(one, seq) for seq, one in enumerate(history, start=1)]
    last = {one.subject: (one, seq) for one, seq in stream}
    compacted = sorted(last.values(), key=lambda pair: pair[1])
    assert _folded(compacted) == _folded(stream)
