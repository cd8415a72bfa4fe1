"""Figures: what was measured, its floor, the table and the file."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

MS = 1000.0
"""Seconds to milliseconds."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value; `ratio` is value / floor, and None where there is no floor."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None


AIMS = {
    "publish to applied, 1 worker, p50": "ratio < 2",
    "publish to applied, 100 workers, p99": "< 200 ms",
    "apply rate, backlog of 50,000": ">= 5,000 /s",
    "webhook, 1,000 rules, p99": "< 10 ms",
    "memory, worker idle": "< 80 MiB",
    "memory, master idle": "< 120 MiB",
    "decision, 1,000 rules, scanned image, p50": "< 1,000 us",
    "scan sync, 10,000 reports, 1 worker": ">= 1,000 /s",
    "policy during scan sync, p99": "ratio < 3",
    "look-up by digest, p99": "< 1 ms",
    "look-up by tag, p99": "< 1 ms",
}
"""What the issues ask for, by the name of the figure."""


def figure(name: str, value: float, unit: str, floor: float | None = None) -> Figure:
    """Return a figure with its ratio, rounded to what the noise leaves."""
    return Figure(
        name=name,
        value=_rounded(value),
        unit=unit,
        floor=None if floor is None else _rounded(floor),
        ratio=None if not floor else round(value / floor, 2),
    )


def _rounded(value: float) -> float:
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return round(value, max(0, digits))


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write them as a JSON list of name, value, unit, floor, ratio."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(figures))) + b"\n")


def show(figures: Sequence[Figure]) -> None:
    """Print them as a table."""
    table = Table(title="fedbus benchmarks", title_justify="left")
    table.add_column("figure")
    for heading in ("value", "unit", "floor", "value / floor", "aim"):
        table.add_column(heading, justify="right")
    for one in figures:
        floor = "" if one.floor is None else f"{one.floor:,g}"
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        table.add_row(one.name, f"{one.value:,g}", one.unit, floor, ratio, AIMS.get(one.name, ""))
    Console(width=110).print(table)
