"""The port syntax of network rules: `any`, or a list such as `tcp/80,udp/100-200,tcp/any,icmp`."""

import re

ANY = "any"
_SEPARATORS = re.compile(r"[,\s]+")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_MAX_PORT = 65535


def normal_ports(text: str) -> str | None:
    """Return `text` as NeuVector writes it: sorted, overlaps merged; None when it is not valid.

    A bare number means TCP, nothing at all means any port.
    """
    icmp = False
    anywhere: set[str] = set()
    ranges: dict[str, list[tuple[int, int]]] = {"tcp": [], "udp": []}
    for item in filter(None, _SEPARATORS.split(text.lower())):
        protocol, slash, numbers = item.rpartition("/")
        if item == "icmp":
            icmp = True
        elif item == ANY:
            anywhere |= ranges.keys()
        elif slash and protocol not in ranges:
            return None
        elif numbers == ANY:
            anywhere.add(protocol)
        elif bounds := _bounds(numbers):
            ranges[protocol or "tcp"].append(bounds)
        else:
            return None
    if not (icmp or anywhere or any(ranges.values())):
        return ANY
    return ",".join(["icmp"] * icmp + _anywhere(anywhere) + _listed(ranges, anywhere))


def _bounds(text: str) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(text)
    if not match:
        return None
    low, high = int(match[1]), int(match[2] or match[1])
    return (low, high) if low <= high <= _MAX_PORT else None


def _anywhere(protocols: set[str]) -> list[str]:
    return [ANY] if len(protocols) == 2 else [f"{protocol}/{ANY}" for protocol in protocols]


def _listed(ranges: dict[str, list[tuple[int, int]]], anywhere: set[str]) -> list[str]:
    return [
        f"{protocol}/{low}" if low == high else f"{protocol}/{low}-{high}"
        for protocol, bounds in ranges.items()
        if protocol not in anywhere
        for low, high in _merged(bounds)
    ]


def _merged(bounds: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(bounds):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
