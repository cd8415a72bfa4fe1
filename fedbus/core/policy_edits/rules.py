"""Lists of rules: insert, move, replace, delete, as NeuVector's `PATCH /v1/policy/rule` has them.

The same words work on all three kinds of rules.
"""

from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import cast

from msgspec.structs import replace

from fedbus.core import policy_input
from fedbus.core.policy_edits import Decision, Edit, HeldRules, every, refuse, unlocked, valid
from fedbus.core.policy_edits.order import distinct, inserted, moved, reranked
from fedbus.errors import Fault, InvalidInput, NotFound
from fedbus.model.policy import FED, NetworkRule, OrderedPolicy, Scope
from fedbus.model.wire import Raw, RuleActions, RuleInsert

_SUBSTANCE = {
    "network_rule": ("from", "to", "applications"),
    "admission_rule": ("rule_type", "criteria"),
    "response_rule": ("event", "conditions"),
}
"""A rule in a list that has none of these stands for the one that is held, unchanged."""


def act(kind: str, actions: RuleActions, scope: Scope = FED) -> Decision:
    """Return what one request does to a list of rules of a scope. Raises InvalidInput."""
    asked = [name for name in ("move", "insert", "rules") if getattr(actions, name) is not None]
    if len(asked) > 1:
        raise _wrong(asked[1], f"cannot stand beside {asked[0]}: a request does one thing to the list")
    if actions.move is not None:
        return partial(_move, kind, actions.move.id, actions.move.after)
    if actions.insert is not None:
        return _insert(kind, actions.insert, scope)
    if actions.rules is not None:
        return _replace(kind, actions.rules, scope)
    if actions.delete:
        return _delete(kind, actions.delete)
    raise _wrong("", "the request names nothing to do: move, insert, rules or delete")


def remove_all(kind: str) -> Decision:
    """Return the deletion of a whole list."""
    return lambda held: [Edit(kind=kind, name=str(rule), obj=None) for rule in held.ranked(kind)]


def copy_in_front(rule: str, change: Decision) -> Decision:
    """Return the insertion of what a change makes of a rule, in front of that rule and under a new id."""

    def decide(held: HeldRules) -> list[Edit]:
        (edit,) = change(held)
        copy = replace(cast(NetworkRule, edit.obj), id=0)
        order = inserted(list(held.ranked(edit.kind)), [-1], -int(rule))
        return arranged(held, edit.kind, order, {-1: (copy, edit.at)})

    return decide


def _move(kind: str, rule: int, after: int | None, held: HeldRules) -> list[Edit]:
    unlocked(held.scope, kind, rule)
    order = list(held.ranked(kind))
    wanted = moved(order, rule, after)
    return [] if wanted == order else arranged(held, kind, wanted, {}, fresh={rule})


def _insert(kind: str, insert: RuleInsert, scope: Scope) -> Decision:
    if not insert.rules:
        raise _wrong("insert.rules", "must hold the rules to insert")
    new = _rules(kind, [(f"insert.rules[{index}]", body) for index, body in enumerate(insert.rules)], scope)
    distinct([rule.id for rule, _ in new], "insert.rules")
    keyed = {rule.id or -1 - index: (rule, at) for index, (rule, at) in enumerate(new)}

    def decide(held: HeldRules) -> list[Edit]:
        order = list(held.ranked(kind))
        taken = keyed.keys() & set(order)
        refuse([Fault(f"{keyed[rule][1]}.id", f"the id {rule} is taken") for rule in sorted(taken)])
        return arranged(held, kind, inserted(order, list(keyed), insert.after), keyed)

    return decide


def _replace(kind: str, bodies: Sequence[Raw], scope: Scope) -> Decision:
    # A list that was read without a scope holds rules of both: those of the other stay as they are.
    placed = [
        (f"rules[{index}]", body)
        for index, body in enumerate(bodies)
        if body.get("cfg_type") in (None, "", scope.cfg_type)
    ]
    same = {at: _id(at, body, scope.ids[kind]) for at, body in placed if _stands_for_held(kind, body)}
    new = iter(_rules(kind, [(at, body) for at, body in placed if at not in same], scope))
    keyed: dict[int, tuple[OrderedPolicy, str]] = {}
    order: list[int] = []
    for index, (at, _) in enumerate(placed):
        if at in same:
            order.append(same[at])
            continue
        rule, _ = next(new)
        order.append(rule.id or -1 - index)
        keyed[order[-1]] = (rule, at)
    distinct(order, "rules")
    at_of, stay = {rule: at for at, rule in same.items()}, frozenset(order)

    def decide(held: HeldRules) -> list[Edit]:
        ranks = held.ranked(kind)
        refuse([Fault(f"{at_of[r]}.id", f"there is no rule {r}") for r in at_of if r not in ranks])
        gone = [Edit(kind=kind, name=str(rule), obj=None) for rule in ranks if rule not in stay]
        return gone + arranged(held, kind, order, keyed)

    return decide


def _delete(kind: str, rules: Sequence[int]) -> Decision:
    def decide(held: HeldRules) -> list[Edit]:
        unlocked(held.scope, kind, *rules)
        known = held.ranked(kind)
        missing = [rule for rule in rules if rule not in known]
        if missing:
            raise NotFound(f"There is no {kind} {missing[0]}")
        return [Edit(kind=kind, name=str(rule), obj=None, at="delete") for rule in dict.fromkeys(rules)]

    return decide


def arranged(
    held: HeldRules,
    kind: str,
    order: Sequence[int],
    changed: Mapping[int, tuple[OrderedPolicy, str]],
    fresh: Set[int] = frozenset(),
) -> list[Edit]:
    """Return the edits that make the list so: what `changed` says, and ranks. A key below 0 has no id yet."""
    ranks = held.ranked(kind)
    new = reranked(order, ranks, fresh)
    edits = []
    for rule in order:
        if rule in changed:
            obj, at = changed[rule]
            placed = replace(obj, rank=new.get(rule) or ranks[rule])
            edits.append(Edit(kind=kind, name=str(placed.id), obj=placed, at=at))
        elif rule in new:
            current = cast(OrderedPolicy, held.get((kind, str(rule))))
            edits.append(Edit(kind=kind, name=str(rule), obj=replace(current, rank=new[rule])))
    return edits


def _rules(kind: str, bodies: Sequence[tuple[str, Raw]], scope: Scope) -> list[tuple[OrderedPolicy, str]]:
    found = every(partial(_rule, kind, body, at, scope) for at, body in bodies)
    return [(cast(OrderedPolicy, rule), at) for rule, (at, _) in zip(found, bodies, strict=True)]


def _rule(kind: str, body: Raw, at: str, scope: Scope) -> OrderedPolicy:
    # Its place is where the request puts it, whatever rank it was read with.
    rule = policy_input.parse(kind, {**body, "rank": None}, at, scope)
    return cast(OrderedPolicy, valid(rule, at, scope))


def _stands_for_held(kind: str, body: Raw) -> bool:
    return bool(body.get("id")) and not any(body.get(field) for field in _SUBSTANCE[kind])


def _id(at: str, body: Raw, ids: range) -> int:
    given = body["id"]
    if not isinstance(given, int) or isinstance(given, bool) or given not in ids:
        raise _wrong(f"{at}.id", f"must be from {ids.start} to {ids.stop - 1}")
    return given


def _wrong(field: str, text: str) -> InvalidInput:
    message = f"{field} {text}".strip()
    return InvalidInput(message, (Fault(field, message),))
