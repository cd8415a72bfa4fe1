"""What a request in NeuVector's form changes: decisions on the objects that are held, nothing written.

A request's body is checked when its decision is made; the decision then looks at what is held, in the
transaction that the change is planned in, and answers with edits. `planned` hands those on to
`fedbus.core.policy_plan`, which has the ids, cascades and references of every change.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from fedbus.core import policy_plan, policy_rules
from fedbus.core.policy_plan import Held, Planned, Wanted
from fedbus.core.policy_rules.checks import MAX_FAULTS
from fedbus.errors import Fault, Forbidden, InvalidInput
from fedbus.model.policy import FED, Policy, Scope


class HeldRules(Held, Protocol):
    """The objects of one scope as they are now, lists of rules in their order."""

    def ranked(self, kind: str) -> dict[int, str]:
        """Return the rank of every rule of an ordered kind by its id, the first rule first."""
        ...


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One object as it is to be, None to delete it; `at` is where the request speaks of it."""

    kind: str
    name: str
    obj: Policy | None
    at: str = ""


BUILT_IN = "built in: nobody changes, moves, deletes or promotes it"
BUILT_IN_REMEDY = "Set critical_namespaces (or webhook_service) in the configuration of the daemon"

Decision = Callable[[HeldRules], Sequence[Edit]]
"""What a request changes, given what is held. Raises NotFound, Conflict, InvalidInput."""


def unlocked(scope: Scope, kind: str, *names: object) -> None:
    """Raise Forbidden if one of these is a rule that every cluster starts with."""
    for name in names:
        if scope.is_built_in(kind, str(name)):
            raise Forbidden(f"{kind} {name} is {BUILT_IN}", code="RULE_BUILT_IN", remedy=BUILT_IN_REMEDY)


def planned(held: HeldRules, decision: Decision) -> list[Planned]:
    """Return every object that changes. Raises what the decision and `policy_plan.plan` raise.

    The faults have the fields of the request.
    """
    edits = list(decision(held))
    wanted = [
        Wanted(kind=edit.kind, name=edit.name, obj=edit.obj, revision=None, document=index)
        for index, edit in enumerate(edits)
    ]
    try:
        return [msgspec.structs.replace(step, document=None) for step in policy_plan.plan(held, wanted)]
    except InvalidInput as error:
        raise InvalidInput(error.message, tuple(_located(f, edits) for f in error.faults)) from error


def _located(fault: Fault, edits: Sequence[Edit]) -> Fault:
    if fault.document is None:
        return fault
    return Fault(below(edits[fault.document].at, fault.field), fault.message)


def below(at: str, field: str) -> str:
    """Return the path of a field of what is at `at`."""
    return f"{at}.{field}" if at and field else at or field


def valid(obj: Policy, at: str, scope: Scope = FED) -> Policy:
    """Return an object that keeps all rules of its scope. Raises InvalidInput with every fault."""
    faults = [Fault(below(at, fault.field), fault.message) for fault in policy_rules.faults(obj, scope)]
    refuse(faults)
    return obj


def refuse(faults: Sequence[Fault]) -> None:
    """Raise InvalidInput if there is a fault."""
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InvalidInput(faults[0].message + more, tuple(faults[:MAX_FAULTS]))


def every(work: Iterable[Callable[[], Policy]]) -> list[Policy]:
    """Return what all the calls return. Raises InvalidInput with the faults of all."""
    done: list[Policy] = []
    faults: list[Fault] = []
    for call in work:
        try:
            done.append(call())
        except InvalidInput as error:
            faults += error.faults
    refuse(faults)
    return done
