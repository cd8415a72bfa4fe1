"""Kubernetes quantities, such as `250m`, `1.5Gi` or `1e3`, as numbers in base units."""

import math
import re

_FRACTIONS = {"n": 1e9, "u": 1e6, "m": 1e3}
"""Divisors: 700m / 1000 is what a rule writes as 0.7, 700m * 0.001 is not."""
_UNITS = {
    "": 1.0,
    **{unit: 1000.0**power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)([numkKMGTPE]?i?)")
_LONGEST = 64


def quantity(value: object) -> float | None:
    """Return the number that a quantity stands for, None when it is none (or negative, or endless)."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or (found[2] not in _UNITS and found[2] not in _FRACTIONS):
        return None
    number = float(found[1]) * _UNITS.get(found[2], 1.0) / _FRACTIONS.get(found[2], 1.0)
    return number if number >= 0 and math.isfinite(number) else None
