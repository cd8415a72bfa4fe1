"""The judge itself is tried: it finds each kind of violation, and none where there is none."""

from typing import Any

import pytest

from tests.support.validator import Write, judge

A1, A2, B1 = Write("a", 1, 1, "x"), Write("a", 1, 2, "y"), Write("b", 1, 1, "z")
GOOD: dict[str, Any] = {
    "acknowledged": [A1, A2, B1],
    "stream": [A1, B1, A2],
    "applied": {"w": [A1, B1, A2]},
    "held": {"m": {"a": "y", "b": "z"}, "w": {"a": "y", "b": "z"}},
    "digests": {"m": "1", "w": "1"},
}


def test_a_good_run_is_good() -> None:
    assert judge(**GOOD).ok
    assert judge(**GOOD | {"applied": {"w": [A2, B1]}}).ok  # compaction may take what was superseded


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("lost", {"stream": [A1, A2], "applied": {}}),
        ("lost", {"held": {"m": {"a": "x", "b": "z"}}}),
        ("doubled", {"stream": [A1, B1, A2, A2]}),
        ("doubled", {"stream": [A1, B1, A2, Write("a", 1, 2, "other")]}),
        ("doubled", {"stream": [A1, B1, A2, Write("a", 1, 3, "y")]}),
        ("unordered", {"applied": {"w": [A2, A1, B1]}}),
        ("unordered", {"applied": {"w": [A1, A1]}}),
        ("invented", {"applied": {"w": [Write("c", 1, 1, "")]}}),
        ("unequal", {"digests": {"m": "1", "w": "2"}}),
        ("unequal", {"held": {"m": {"a": "y", "b": "z"}, "w": {"a": "y", "b": "z", "c": ""}}}),
    ],
)
def test_each_violation_is_found_and_named(rule: str, bad: dict[str, Any]) -> None:
    verdict = judge(**GOOD | bad)
    assert not verdict.ok
    assert getattr(verdict, rule)
