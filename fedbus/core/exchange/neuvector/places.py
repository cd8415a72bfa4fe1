"""Ids and ranks of rules: a custom resource has no place for them, an annotation has.

Written with a document, they bring back the very same rules in the same order. A document without
them is NeuVector's own: its rules are known again by their content (see `matching`).
"""

import re
from collections.abc import Iterable

from fedbus.core.exchange.reading import Conversion, Node
from fedbus.core.rank import is_rank
from fedbus.model.policy import FED_RULE_IDS, KINDS, OrderedPolicy, kind_of

_PREFIX = "fedbus.io/"
_ORDERED = frozenset(name for name, kind in KINDS.items() if kind.ordered)
_NUMBER = re.compile(r"-([0-9]{6})$")


def read_places(metadata: Node, out: Conversion) -> None:
    """Read our annotations, `fedbus.io/<kind>.<id>: <rank>`; any other is reported."""
    annotations = metadata.node("annotations")
    if annotations is None:
        return
    places: dict[str, str] = {}
    for key, value in annotations.items().items():
        kind, _, number = key.removeprefix(_PREFIX).partition(".")
        if not key.startswith(_PREFIX) or kind not in _ORDERED:
            out.remark(annotations.at(key), "ignored: fedbus keeps no annotations")
        elif number.isdecimal() and int(number) in FED_RULE_IDS and isinstance(value, str) and is_rank(value):
            places[f"{kind}.{number}"] = value
        else:
            out.refuse(annotations.at(key), "must be the rank of a rule, as an export wrote it")
    out.places = places


def annotations(rules: Iterable[OrderedPolicy]) -> dict[str, str]:
    """Return the annotations that keep id and rank of `rules`."""
    return {f"{_PREFIX}{kind_of(rule).name}.{rule.id}": rule.rank for rule in rules if rule.rank}


def numbered(name: str, number: int) -> str:
    """Return the name of a rule's policy: unique, and with the rule's id at its end."""
    return f"{name}-{number}"


def by_name(kind: str, name: str, out: Conversion) -> dict[str, object]:
    """Return id and rank of the rule whose policy has this name; nothing without our annotation."""
    found = _NUMBER.search(name)
    return by_id(kind, int(found[1]), out) if found else {}


def by_id(kind: str, number: int, out: Conversion) -> dict[str, object]:
    """Return id and rank of a rule; nothing without our annotation."""
    rank = out.places.get(f"{kind}.{number}")
    return {"id": number, "rank": rank} if rank else {}
