"""Synced means policy and scan results both (guarantee 7)."""

import pytest

from fedbus.core import summary
from fedbus.core.summary import Heard
from fedbus.model.federation import (
    Cluster,
    Heartbeat,
    ScansHead,
    ScanTotal,
    ScopeState,
    SummaryRow,
    Versions,
)

VERSIONS = Versions(fedbus="0.1.0")
CLUSTER = Cluster(
    id="c1", name="shop", nkey="U", renew_nkey="U", versions=VERSIONS, joined_at="2026-01-01T00:00:00Z"
)
HEAD = ScansHead(
    epoch=3,
    state=ScopeState(epoch=3, version=9, digest="a" * 64, objects=20),
    total=ScanTotal(reports=10, bytes=1000),
)


def _row(held: ScopeState, head: ScansHead | None = HEAD) -> SummaryRow:
    heartbeat = Heartbeat(
        sent_at=0.0, versions=VERSIONS, scopes={"scans": held}, scans=ScanTotal(reports=4, bytes=400)
    )
    heard = Heard(heartbeat=heartbeat, monotonic=0.0, at=0.0, skew=0.0)
    heads: dict[str, list[summary.Head]] = {"all": [], "c.c1": [], "scans": []}
    return summary.row(
        CLUSTER, heard, heads, now=0.0, monotonic=0.0, interval=10.0, since="", mine=VERSIONS,
        scans_head=head,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "digest", "state", "equal"),
    [
        (9, "a", "synced", True),
        (9, "b", "out_of_sync", False),
        (8, "b", "syncing", True),  # on the way to the head a digest says nothing
        (10, "a", "syncing", True),
    ],
)
def test_a_cluster_is_synced_when_its_scan_results_are_too(
    version: int, digest: str, state: str, equal: bool
) -> None:
    row = _row(ScopeState(version=version, digest=digest * 64, objects=8))

    assert (row.sync.state, row.scans.state, row.sync.digests_equal) == (state, state, equal)
    assert (row.scans.have, row.scans.total, row.scans.bytes, row.scans.total_bytes) == (8, 20, 400, 1000)
    assert row.sync.applied_version == 0  # of policy


def test_without_a_head_nobody_is_said_to_be_synced() -> None:
    row = _row(ScopeState(version=9, digest="a" * 64), None)

    assert (row.sync.state, row.scans.state) == ("syncing", "unknown")
