"""Reading reports of scanners: a large one of Grype, against decoding its JSON and nothing else."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.figures import MS, Figure, figure
from fedbus.scan import importers
from tests.support.scan_files import content, many_matches

ROUNDS = 7
LARGE = 3_800_000
"""Bytes: the largest report of Grype that was seen."""


async def measure(_directory: Path) -> list[Figure]:
    """Return the best of some rounds, in milliseconds; the floor decodes to plain data."""
    found = []
    for name, raw in (
        ("read a Grype report, 3.8 MB", many_matches(LARGE)),
        ("read a Grype report, 0.8 MB", content("grype/many_vulns3.json")),
        ("read a Trivy report, 20 KB", content("trivy/alpine-310.json")),
    ):
        taken = min(_seconds(lambda raw=raw: importers.read(raw, received=1.0)) for _ in range(ROUNDS))  # type: ignore[misc]
        floor = min(_seconds(lambda raw=raw: msgspec.json.decode(raw)) for _ in range(ROUNDS))  # type: ignore[misc]
        found.append(figure(name, taken * MS, "ms", floor * MS))
    return found


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
