"""Rollouts: every state knows what can happen to it; no sequence gets past a wave that has not applied."""

from itertools import product
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import rollout
from fedbus.core.rollout import TRANSITIONS, Health, Step, View
from fedbus.errors import Conflict, InvalidInput
from fedbus.model.federation import Cluster, Versions
from fedbus.model.targets import Requirement, Rollout, RolloutState, Wave

GOOD = Health(holds=True)


def cluster(id_: str, state: str = "joined", **labels: str) -> Cluster:
    return msgspec.convert(
        {"id": id_, "name": id_, "nkey": "U", "renew_nkey": "U", "versions": Versions(fedbus="1"),
         "joined_at": "", "state": state, "labels": labels},
        Cluster,
    )  # fmt: skip


def view(now: float = 0.0, health: dict[str, Health] | None = None, count: int = 10) -> View:
    clusters = [cluster(f"c{n}", ring="canary" if n == 0 else "main") for n in range(count)]
    return View(clusters=clusters, health={c.id: GOOD for c in clusters} | (health or {}), now=now)


def new(*waves: Wave, pause: float = 10.0, manual: bool = False) -> Rollout:
    return Rollout(
        id="r", state="rolling", waves=list(waves or (Wave(percent=10), Wave(percent=50))), objects=[],
        created_at="now", pause_seconds=pause, manual=manual,
    )  # fmt: skip


def test_the_table_has_every_state_and_every_step() -> None:
    states: tuple[RolloutState, ...] = get_args(RolloutState)
    for state, step in product(states, Step):
        one = msgspec.structs.replace(rollout.begin(new(), view()), state=state)
        if (state, step) in TRANSITIONS:
            assert rollout.step(one, step, view(), failed={"c0": "why"}).state != "rolling" or step in (
                Step.CONTINUE,
                Step.ELAPSED,
            )
        else:
            with pytest.raises(Conflict) as refused:
                rollout.step(one, step, view())
            assert refused.value.code == rollout.NOT_NOW
    over = [state for state, _ in TRANSITIONS if state in ("finished", "aborted")]
    assert over == []


def test_every_rollout_that_is_not_over_can_be_aborted() -> None:
    for state in ("rolling", "pausing", "waiting", "halted"):
        assert (state, Step.ABORT) in TRANSITIONS


REPORTS = st.dictionaries(
    st.sampled_from([f"c{n}" for n in range(10)]),
    st.builds(
        Health,
        offline=st.booleans(),
        holds=st.booleans(),
        quarantined=st.integers(0, 2),
        alarms=st.integers(0, 1),
    ),
)
WAVES = st.lists(
    st.one_of(
        st.builds(lambda percent: Wave(percent=percent), st.integers(1, 100)),
        st.builds(
            lambda ring: Wave(selector=(Requirement("ring", "In", (ring,)),)),
            st.sampled_from(["canary", "main"]),
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(WAVES, st.booleans(), st.lists(st.tuples(st.sampled_from(["look", "go on"]), REPORTS), max_size=25))
def test_no_wave_begins_before_the_one_before_it_has_applied_or_somebody_said_so(
    waves: list[Wave], manual: bool, history: list[tuple[str, dict[str, Health]]]
) -> None:
    now = rollout.begin(new(*waves, manual=manual), view())
    for time, (what, reports) in enumerate(history, start=1):
        seen, before = view(20.0 * time, reports), now
        if what == "go on":
            if before.state not in ("pausing", "waiting", "halted"):
                continue
            now = rollout.step(before, Step.CONTINUE, seen)
        elif (found := rollout.observe(before, seen)) is not None:
            now = rollout.step(before, found[0], seen, failed=found[1])
        assert before.reached.items() <= now.reached.items(), "nobody leaves a wave"
        assert len(now.reached) <= 10
        if now.wave > before.wave or (now.state == "finished") > (before.state == "finished"):
            assert before.state in ("pausing", "waiting"), "the wave before has applied, or was excused"
        if what == "look" and before.state in ("rolling", "pausing", "waiting"):
            bad = [c for c in before.reached if c not in before.excused and reports.get(c, GOOD).offline]
            assert not bad or now.state == "halted"
            if before.state == "rolling" and now.state in ("pausing", "waiting"):
                counted = [c for c in before.reached if c not in before.excused]
                assert all(reports.get(c, GOOD).holds for c in counted)
        if before.over:
            assert now == before


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True), st.integers(1, 40))
def test_percentages_are_of_all_members_rounded_up(percent: list[int], count: int) -> None:
    now = rollout.begin(new(*(Wave(percent=p) for p in sorted(percent)), pause=0.0), view(count=count))
    while now.state != "finished":
        wanted = -(-count * now.waves[now.wave].percent // 100)
        assert len(now.reached) == wanted
        now = rollout.step(now, Step.APPLIED, view(count=count))
        now = rollout.step(now, Step.ELAPSED, view(count=count))


def test_a_rise_in_refused_events_halts_and_what_was_there_before_does_not() -> None:
    before = {"c0": Health(holds=True, quarantined=3, alarms=1)}
    now = rollout.begin(new(Wave(selector=(Requirement("ring", "In", ("canary",)),))), view(0.0, before))
    assert rollout.observe(now, view(1.0, before)) == (Step.APPLIED, {})
    for worse in (Health(quarantined=4, alarms=1), Health(quarantined=3, alarms=2)):
        seen = rollout.observe(now, view(1.0, {"c0": worse}))
        assert seen is not None
        assert seen[0] is Step.FAILED


def test_a_cluster_that_was_removed_is_not_waited_for() -> None:
    now = rollout.begin(new(Wave(selector=(Requirement("ring", "In", ("canary",)),))), view())
    gone = View(clusters=[cluster("c0", "removed", ring="canary"), cluster("c1")], health={}, now=1.0)
    assert rollout.observe(now, gone) == (Step.APPLIED, {})


def test_a_cluster_nothing_is_known_of_is_waited_for() -> None:
    now = rollout.begin(new(Wave(percent=100)), view())
    assert rollout.observe(now, View(clusters=view().clusters, health={}, now=1e9)) is None


def test_a_pause_ends_by_time_alone_and_a_manual_one_does_not() -> None:
    now = rollout.step(rollout.begin(new(pause=30.0), view(5.0)), Step.APPLIED, view(5.0))
    assert rollout.due(now, 15.0) == 20.0
    assert rollout.observe(now, view(34.9)) is None
    assert rollout.observe(now, view(35.0)) == (Step.ELAPSED, {})
    waiting = rollout.step(rollout.begin(new(manual=True, pause=0.0), view()), Step.APPLIED, view())
    assert rollout.due(waiting, 1e9) is None
    assert rollout.observe(waiting, view(1e9)) is None


def test_the_same_clusters_are_not_always_the_first() -> None:
    firsts = {
        next(iter(rollout.begin(msgspec.structs.replace(new(), id=f"r{n}"), view()).reached))
        for n in range(20)
    }
    assert len(firsts) > 3


def test_a_rollout_needs_somebody_to_reach() -> None:
    with pytest.raises(InvalidInput):
        rollout.begin(new(), View(clusters=[], health={}, now=0.0))
