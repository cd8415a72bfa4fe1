"""Which clusters an object is for, and what each cluster therefore has of its own.

The copies in the scopes of clusters follow from sources alone: `placements` says what they are, and
`difference` what has to be written to get there.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fedbus.errors import Fault, InvalidInput
from fedbus.model import names
from fedbus.model.federation import Cluster
from fedbus.model.targets import ALL, Operator, Requirement, Target

MAX_REQUIREMENTS = 32
MAX_VALUES = 100

Place = tuple[str, str, str]
"""A cluster's id, a kind and a name."""

_OPERATORS: Mapping[str, Operator] = {
    "in": "In",
    "notin": "NotIn",
    "exists": "Exists",
    "doesnotexist": "DoesNotExist",
}


class Source(msgspec.Struct, frozen=True):
    """One targeted object, or one version that a rollout brings to the clusters (ids) it reached."""

    kind: str
    name: str
    payload: bytes
    target: Target = ALL
    reached: frozenset[str] | None = None


def parse(value: object, field: str = "target") -> Target:
    """Return the target that a document names; absent or null is all.

    Raises InvalidInput.
    """
    match value:
        case None:
            return ALL
        case {"cluster": str(name), **rest} if name and not rest:
            return Target(cluster=name)
        case {"selector": selector, **rest} if not rest:
            return Target(selector=parse_selector(selector, f"{field}.selector"))
    raise _invalid(field, "a target is {cluster: NAME}, {selector: {KEY: VALUE}}, or absent for all clusters")


def parse_selector(value: object, field: str) -> tuple[Requirement, ...]:
    """Return the requirements of a selector: `{key: value}`, or matchLabels and matchExpressions."""
    if not isinstance(value, dict) or not value:
        raise _invalid(field, "a selector names at least one label")
    composed = {"matchLabels", "matchExpressions"}
    if not any(isinstance(value.get(key), dict | list) for key in composed):
        found = _equalities(value, field)
    elif rest := value.keys() - composed:
        raise _invalid(field, f"{min(map(str, rest))!r} does not stand beside matchLabels")
    else:
        found = _equalities(value.get("matchLabels") or {}, f"{field}.matchLabels")
        found += _expressions(value.get("matchExpressions") or [], f"{field}.matchExpressions")
    if not 1 <= len(found) <= MAX_REQUIREMENTS:
        raise _invalid(field, f"a selector has 1 to {MAX_REQUIREMENTS} requirements")
    return tuple(sorted(set(found), key=lambda one: (one.key, one.operator, one.values)))


def _equalities(value: object, field: str) -> list[Requirement]:
    if not isinstance(value, dict):
        raise _invalid(field, "labels are a map of key to value")
    found = []
    for key, wanted in value.items():
        if not isinstance(wanted, str):
            raise _invalid(f"{field}.{key}", "the value of a label is text; quote it")
        found.append(Requirement(_label(key, wanted, field), "In", (wanted,)))
    return found


def _expressions(value: object, field: str) -> list[Requirement]:
    if not isinstance(value, list):
        raise _invalid(field, "matchExpressions is a list")
    return [_expression(one, f"{field}[{index}]") for index, one in enumerate(value)]


def _expression(value: object, field: str) -> Requirement:
    match value:
        case {"key": str(key), "operator": str(word), **rest} if rest.keys() <= {"values"}:
            operator = _OPERATORS.get(word.lower())
        case _:
            raise _invalid(field, "an expression has key, operator and values")
    if operator is None:
        raise _invalid(
            f"{field}.operator", f"the operator is In, NotIn, Exists or DoesNotExist, not {word!r}"
        )
    given = rest.get("values") or []
    if not isinstance(given, list) or len(given) > MAX_VALUES or not all(isinstance(v, str) for v in given):
        raise _invalid(f"{field}.values", f"values is a list of up to {MAX_VALUES} texts")
    if bool(given) != (operator in ("In", "NotIn")):
        raise _invalid(f"{field}.values", "In and NotIn need values, Exists and DoesNotExist have none")
    for one in given:
        _label(key, one, field)
    _label(key, "", field)
    return Requirement(key, operator, tuple(sorted(set(given))))


def _label(key: object, value: str, field: str) -> str:
    try:
        names.check_labels({str(key): value})
    except InvalidInput as error:
        raise _invalid(field, error.message) from error
    return str(key)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, (Fault(field, message),))


def as_document(target: Target) -> dict[str, object]:
    """Return a target as a document names it; the empty map is all."""
    if target.cluster:
        return {"cluster": target.cluster}
    return {"selector": selector_document(target.selector)} if target.selector else {}


def selector_document(selector: Sequence[Requirement]) -> dict[str, object]:
    """Return a selector as a document has it, in the short form where that says it all."""
    simple = all(r.operator == "In" and len(r.values) == 1 for r in selector)
    if simple and len({r.key for r in selector}) == len(selector):
        return {r.key: r.values[0] for r in selector}
    return {"matchExpressions": [_expression_document(one) for one in selector]}


def _expression_document(one: Requirement) -> dict[str, object]:
    values: dict[str, object] = {"values": list(one.values)} if one.values else {}
    return {"key": one.key, "operator": one.operator} | values


def selects(selector: Iterable[Requirement], labels: Mapping[str, str]) -> bool:
    """Tell whether labels meet every requirement; as in Kubernetes, NotIn is met by an absent key."""
    return all(_met(one, labels) for one in selector)


def _met(one: Requirement, labels: Mapping[str, str]) -> bool:
    match one.operator:
        case "In":
            return labels.get(one.key) in one.values
        case "NotIn":
            return labels.get(one.key) not in one.values
        case "Exists":
            return one.key in labels
        case "DoesNotExist":
            return one.key not in labels


def covers(target: Target, cluster: Cluster) -> bool:
    """Tell whether an object with this target is for a cluster; only members have anything."""
    if cluster.state != "joined":
        return False
    if target.cluster:
        return target.cluster in (cluster.id, cluster.name)
    return selects(target.selector, cluster.labels)


def placements(clusters: Iterable[Cluster], sources: Sequence[Source]) -> dict[Place, bytes]:
    """Return the payload of everything that clusters have of their own."""
    return {
        (cluster.id, source.kind, source.name): source.payload
        for cluster in clusters
        for source in sources
        if (source.reached is None or cluster.id in source.reached) and covers(source.target, cluster)
    }


def difference(wanted: Mapping[Place, bytes], held: Mapping[Place, bytes]) -> dict[Place, bytes | None]:
    """Return what has to be written for `held` to become `wanted`, by cluster; None deletes."""
    changed: dict[Place, bytes | None] = {p: w for p, w in wanted.items() if held.get(p) != w}
    return dict(sorted((changed | {p: None for p in held if p not in wanted}).items()))


def fitting(changed: Mapping[Place, bytes | None], room: int, *, cut: bool) -> list[Place]:
    """Return as much of a difference as fits into a changeset, never half of what a cluster gets.

    With `cut`, a cluster that gets more than fits at all is cut, so that it is done in the end.
    """
    by_cluster: dict[str, list[Place]] = {}
    for place in changed:
        by_cluster.setdefault(place[0], []).append(place)
    taken: list[Place] = []
    for places in by_cluster.values():
        if len(taken) + len(places) <= room:
            taken += places
    if cut and not taken and by_cluster:
        taken = next(iter(by_cluster.values()))[:room]
    return taken
