"""Ids and ranks of rules, and what NeuVector's rules cannot say: annotations of a custom resource can.

Written with a document, they bring back the very same rules in the same order. A document without
them is NeuVector's own: its rules are known again by their content (see `matching`).
"""

import re
from collections.abc import Iterable, Iterator
from typing import get_args

from fedbus.core.exchange.reading import Conversion, Node
from fedbus.core.rank import is_rank
from fedbus.model.policy import FED_RULE_IDS, KINDS, AdmissionRule, OrderedPolicy, kind_of
from fedbus.model.policy.admission import OnUnscanned

_PREFIX = "fedbus.io/"
_ORDERED = frozenset(name for name, kind in KINDS.items() if kind.ordered)
_ON_UNSCANNED = "on_unscanned"
_NUMBER = re.compile(r"-([0-9]{6})$")


def read_places(metadata: Node, out: Conversion) -> None:
    """Read our annotations, `fedbus.io/<kind>.<id>: <rank>` and what else `annotations` writes.

    Any other is reported.
    """
    annotations = metadata.node("annotations")
    if annotations is None:
        return
    places: dict[str, str] = {}
    for key, value in annotations.items().items():
        kind, _, number = key.removeprefix(_PREFIX).partition(".")
        if not key.startswith(_PREFIX) or kind not in (*_ORDERED, _ON_UNSCANNED):
            out.remark(annotations.at(key), "ignored: fedbus keeps no annotations")
        elif number.isdecimal() and int(number) in FED_RULE_IDS and _is_value(kind, value):
            places[f"{kind}.{number}"] = str(value)
        else:
            wanted = " or ".join(get_args(OnUnscanned)) if kind == _ON_UNSCANNED else "the rank of a rule"
            out.refuse(annotations.at(key), f"must be {wanted}, as an export wrote it")
    out.places = places


def _is_value(kind: str, value: object) -> bool:
    if kind == _ON_UNSCANNED:
        return value in get_args(OnUnscanned)
    return isinstance(value, str) and is_rank(value)


def annotations(rules: Iterable[OrderedPolicy]) -> dict[str, str]:
    """Return the annotations that keep id and rank of `rules`, and `on_unscanned` where it is not usual."""
    return {f"{_PREFIX}{key}.{number}": value for key, number, value in _kept(rules)}


def _kept(rules: Iterable[OrderedPolicy]) -> Iterator[tuple[str, int, str]]:
    for rule in rules:
        if rule.rank:
            yield kind_of(rule).name, rule.id, rule.rank
            if isinstance(rule, AdmissionRule) and rule.on_unscanned != "skip":
                yield _ON_UNSCANNED, rule.id, rule.on_unscanned


def numbered(name: str, number: int) -> str:
    """Return the name of a rule's policy: unique, and with the rule's id at its end."""
    return f"{name}-{number}"


def by_name(kind: str, name: str, out: Conversion) -> dict[str, object]:
    """Return id and rank of the rule whose policy has this name; nothing without our annotation."""
    found = _NUMBER.search(name)
    return by_id(kind, int(found[1]), out) if found else {}


def by_id(kind: str, number: int, out: Conversion) -> dict[str, object]:
    """Return id and rank of a rule, and what else was kept; nothing without our annotation."""
    rank = out.places.get(f"{kind}.{number}")
    unscanned = out.places.get(f"{_ON_UNSCANNED}.{number}") if kind == "admission_rule" else None
    extra = {_ON_UNSCANNED: unscanned} if unscanned else {}
    return {"id": number, "rank": rank, **extra} if rank else {}
