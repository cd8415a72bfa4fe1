"""The live summary: separate facts, and `synced` only for equal digests at the head (guarantee 7)."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import digest, protocol, summary
from fedbus.core.summary import Head, Heard
from fedbus.model.federation import Cluster, Heartbeat, ScopeState, Versions

VERSIONS = Versions(fedbus="1")
OLD = Versions(fedbus="0", protocol_min=0, protocol_max=0)
NEW = Versions(fedbus="9", protocol_min=9, protocol_max=9)
digests = st.sampled_from(["a" * 64, "b" * 64])
states = st.builds(ScopeState, version=st.integers(0, 4), digest=digests)
headlines = st.lists(digests, max_size=4).map(
    lambda ds: [Head(version, d, float(version)) for version, d in enumerate(ds, start=1)]
)


@given(st.dictionaries(st.sampled_from(["all", "c.x"]), states), headlines, headlines)
def test_synced_is_never_said_unless_every_scope_is_at_the_head_with_its_digest(
    held: dict[str, ScopeState], for_all: list[Head], own: list[Head]
) -> None:
    heads = {"all": for_all, "c.x": own}
    said = summary.sync_of(held, heads, now=10.0)
    for scope, known in heads.items():
        state = held.get(scope, ScopeState())
        head = known[-1] if known else Head(0, digest.EMPTY, 0.0)
        if (state.version, state.digest) != (head.version, head.digest):
            assert said.state != "synced"


@given(headlines, headlines)
def test_who_holds_the_heads_is_synced_without_lag(for_all: list[Head], own: list[Head]) -> None:
    heads = {"all": for_all, "c.x": own}
    held = {s: ScopeState(version=h[-1].version, digest=h[-1].digest) for s, h in heads.items() if h}
    said = summary.sync_of(held, heads, now=10.0)
    assert (said.state, said.lag_versions, said.lag_seconds, said.digests_equal) == ("synced", 0, 0.0, True)


def test_a_wrong_digest_at_an_older_version_is_out_of_sync_and_not_just_late() -> None:
    heads = {"all": [Head(1, "a", 1.0), Head(2, "b", 2.0)]}
    assert summary.sync_of({"all": ScopeState(version=1, digest="x")}, heads, 5.0).state == "out_of_sync"
    late = summary.sync_of({"all": ScopeState(version=1, digest="a")}, heads, 5.0)
    assert (late.state, late.lag_versions, late.lag_seconds) == ("syncing", 1, 3.0)


def test_a_version_the_master_does_not_know_is_not_synced() -> None:
    assert summary.sync_of(
        {"all": ScopeState(version=9, digest="a")}, {"all": [Head(1, "a", 1.0)]}, 2.0
    ).state == ("syncing")


@pytest.mark.parametrize(
    ("age", "stopping", "expected"),
    [(None, False, "never"), (0, False, "online"), (30, False, "online"), (30.1, False, "stale"),
     (60, False, "stale"), (60.1, False, "offline"), (0, True, "offline")],
)  # fmt: skip
def test_a_link_is_judged_by_the_age_of_its_last_heartbeat(
    age: float | None, stopping: bool, expected: str
) -> None:
    assert summary.link_state(age, 10.0, stopping=stopping) == expected


@given(st.floats(0, 1000), st.floats(0.1, 60))
def test_the_next_change_is_when_the_link_changes_and_not_before(age: float, interval: float) -> None:
    pause = summary.next_change(age, interval)
    now = summary.link_state(age, interval, stopping=False)
    if pause is None:
        assert now == "offline"
    else:
        assert summary.link_state(age + pause * 0.99, interval, stopping=False) == now
        assert summary.link_state((age + pause) * 1.001 + 1e-6, interval, stopping=False) != now


@pytest.mark.parametrize(
    ("link", "sync", "membership", "versions", "word"),
    [
        ("online", "synced", "joined", VERSIONS, "synced"),
        ("online", "unknown", "joined", VERSIONS, "connected"),
        ("stale", "out_of_sync", "joined", VERSIONS, "out_of_sync"),
        ("never", "unknown", "joined", VERSIONS, "joined"),
        ("offline", "synced", "joined", VERSIONS, "disconnected"),
        ("online", "synced", "left", VERSIONS, "left"),
        ("online", "synced", "removed", VERSIONS, "kicked"),
        ("online", "synced", "joined", OLD, "joint_upgrade_required"),
        ("online", "synced", "joined", NEW, "joint_version_too_new"),
    ],
)  # fmt: skip
def test_the_status_word_is_neuvectors(
    link: str, sync: str, membership: str, versions: Versions, word: str
) -> None:
    older = protocol.older(VERSIONS, versions)
    assert summary.status_word(link, sync, membership, older) == word


def _row(state: Literal["joined", "left", "removed"] = "joined", heard: Heard | None = None) -> Any:
    cluster = Cluster(
        id="x", name="east", nkey="U", renew_nkey="U", versions=VERSIONS, joined_at="then", state=state
    )
    return summary.row(
        cluster, heard, {"all": []}, now=100.0, monotonic=50.0, interval=10.0, since="then", mine=VERSIONS
    )


def test_a_cluster_never_heard_of_is_unknown_and_without_an_age() -> None:
    row = _row()
    assert (row.link.state, row.sync.state, row.last_heartbeat_age_seconds) == ("never", "unknown", None)


def test_a_row_shows_age_and_skew_and_after_the_end_of_membership_no_sync() -> None:
    heartbeat = Heartbeat(sent_at=90.0, versions=VERSIONS, scopes={}, counts={"group": 2}, quarantined=3)
    heard = Heard(heartbeat=heartbeat, monotonic=45.0, at=95.0, skew=-5.0)
    row = _row(heard=heard)
    assert (row.last_heartbeat_age_seconds, row.skew_seconds, row.quarantined) == (5.0, -5.0, 3)
    assert (row.sync.state, row.counts) == ("synced", {"group": 2})
    assert _row("removed", heard).sync.state == "unknown"
