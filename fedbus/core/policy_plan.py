"""From the documents of a request to the objects that change: ids, ranks, cascades, references.

Everything is decided before anything is written: one bad document and nothing of the request applies.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from fedbus.core import policy_input, policy_rules, rank, references, targets
from fedbus.core.ids import free
from fedbus.core.references import Key
from fedbus.errors import Fault, InvalidInput
from fedbus.model.policy import FED, KINDS, Kind, Policy, Scope
from fedbus.model.targets import ALL, Target

APPLY, DELETE = "apply", "delete"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One document after its shape was checked; `obj` is None for a deletion.

    Without a `target` the object stays where it is; a new one is for all.
    """

    kind: str
    name: str
    obj: Policy | None
    revision: int | None
    document: int
    line: int | None = None
    target: Target | None = None


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One object that changes, and whom it is for from then on.

    `document` is None for what a deleted group takes along.
    """

    kind: str
    name: str
    obj: Policy | None
    revision: int | None = None
    document: int | None = None
    target: Target = ALL


class Held(Protocol):
    """The objects of one scope as they are now."""

    @property
    def scope(self) -> Scope:
        """Whose they are."""
        ...

    def get(self, key: Key) -> Policy | None:
        """Return one object."""
        ...

    def target(self, key: Key) -> Target:
        """Return whom an object is for; all, if there is none."""
        ...

    def all_keys(self) -> list[Key]:
        """Return the key of every object."""
        ...

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind."""
        ...

    def ranks(self, kind: str) -> list[str]:
        """Return the ranks of an ordered kind."""
        ...


class After(Mapping[Key, Policy]):
    """The objects as they will be; looks up one by one, and reads all only when iterated."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.changes: dict[Key, Policy | None] = {}
        self.targets: dict[Key, Target] = {}

    def target(self, key: Key) -> Target:
        """Return whom an object will be for."""
        return self.targets[key] if key in self.targets else self._held.target(key)

    def __getitem__(self, key: Key) -> Policy:
        found = self.changes[key] if key in self.changes else self._held.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[Key]:
        yield from (key for key in self._held.all_keys() if key not in self.changes)
        yield from (key for key, obj in self.changes.items() if obj is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    spec: dict[str, object]
    op: str = APPLY
    revision: int | None = None
    target: object = None


def read(documents: Sequence[tuple[int, int | None, dict[str, object]]], scope: Scope = FED) -> list[Wanted]:
    """Check the shape of every document (index, line, content). Raises InvalidInput with all faults."""
    wanted, faults = [], []
    for index, line, content in documents:
        try:
            wanted.append(_read_one(index, line, content, scope))
        except InvalidInput as error:
            faults += _placed(error.faults, index, line)
    if faults:
        raise InvalidInput(_count(faults), tuple(faults))
    if not wanted:
        raise InvalidInput("the request has no documents")
    return wanted


def _read_one(index: int, line: int | None, content: dict[str, object], scope: Scope) -> Wanted:
    try:
        document = msgspec.convert(content, _Document)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error), (Fault("", str(error)),)) from error
    if document.op not in (APPLY, DELETE):
        raise InvalidInput("", (Fault("op", f"op is apply or delete, not {document.op!r}"),))
    if document.kind not in KINDS:
        policy_input.parse(document.kind, document.spec)  # raises, naming the kinds
    kind = KINDS[document.kind]
    if scope is not FED:
        _check_local(document)
    if scope.is_built_in(kind.name, str(document.spec.get("id"))):
        message = f"{kind.name} {document.spec['id']} is built in: nobody changes or deletes it"
        raise InvalidInput("", (Fault("spec.id", message),))
    if document.op == DELETE:
        name = _identity(kind, document.spec)
        return Wanted(
            kind=kind.name, name=name, obj=None, revision=document.revision, document=index, line=line
        )
    target = targets.parse(document.target)
    obj = policy_input.parse(kind.name, document.spec, scope=scope)
    faults = policy_rules.faults(obj, scope)
    if faults:
        raise InvalidInput("", tuple(faults))
    return Wanted(
        kind=kind.name,
        name=kind.key(obj),
        obj=obj,
        revision=document.revision,
        document=index,
        line=line,
        target=target,
    )


def _check_local(document: _Document) -> None:
    if document.target is not None:
        raise InvalidInput("", (Fault("target", "target is for what the master federates"),))


def _identity(kind: Kind, spec: dict[str, object]) -> str:
    if not kind.identity:
        raise InvalidInput("", (Fault("op", f"{kind.name} can be changed, not deleted"),))
    name = spec.get(kind.identity)
    if not isinstance(name, str | int) or isinstance(name, bool) or not str(name):
        message = f"a deletion names what to delete: spec.{kind.identity} is missing"
        raise InvalidInput("", (Fault(f"spec.{kind.identity}", message),))
    if kind.ordered and not (isinstance(name, int) and name > 0):
        message = f"a rule is named by its id, a number, not {name!r}"
        raise InvalidInput("", (Fault(f"spec.{kind.identity}", message),))
    return str(name)


def plan(held: Held, wanted: Sequence[Wanted]) -> list[Planned]:
    """Return every object that the request changes, deletions that cascade included.

    Raises InvalidInput with all faults: the same object twice, nothing to delete, a reference that
    leads nowhere, a deleted object that is still needed.
    """
    after = After(held)
    planned: dict[Key, Planned] = {}
    faults: list[Fault] = []
    numbering = _Numbering(held, wanted)
    for item in wanted:
        step = _planned(held, item, numbering)
        key = (step.kind, step.name)
        if key in planned:
            faults.append(_fault(item, "spec", f"{item.kind} {step.name} is in the request twice"))
        if step.obj is None and held.get(key) is None:
            faults.append(_fault(item, "spec", f"there is no {item.kind} {step.name} to delete"))
        planned[key] = step
        after.changes[key] = step.obj
        after.targets[key] = step.target
    _cascade(after, planned)
    faults += _reference_faults(after, planned, wanted)
    if faults:
        raise InvalidInput(_count(faults), tuple(faults))
    return list(planned.values())


class _Numbering:
    """Ids and ranks of new rules; what the request itself names is taken too."""

    def __init__(self, held: Held, wanted: Sequence[Wanted]) -> None:
        self._held = held
        self._named: dict[str, set[int]] = {}
        for item in wanted:
            if KINDS[item.kind].ordered and item.name not in ("0", ""):
                self._named.setdefault(item.kind, set()).add(int(item.name))
        self._free: dict[str, Iterator[int]] = {}
        self._last: dict[str, str | None] = {}

    def id(self, kind: Kind) -> int:
        if kind.name not in self._free:
            names = {int(name) for name in self._held.names(kind.name)}
            ids = self._held.scope.ids[kind.name]
            self._free[kind.name] = free(ids, names | self._named.get(kind.name, set()))
        return next(self._free[kind.name])

    def rank(self, kind: Kind) -> str:
        if kind.name not in self._last:
            self._last[kind.name] = max(self._held.ranks(kind.name), default=None)
        self._last[kind.name] = rank.between(self._last[kind.name], None)
        return self._last[kind.name] or ""


def _planned(held: Held, item: Wanted, numbering: _Numbering) -> Planned:
    kind, obj, name = KINDS[item.kind], item.obj, item.name
    if obj is not None and kind.ordered:
        if not getattr(obj, "id"):  # noqa: B009 - every ordered kind has it, the union does not
            obj = msgspec.structs.replace(obj, id=numbering.id(kind))
            name = kind.key(obj)
        if not getattr(obj, "rank"):  # noqa: B009
            current = held.get((kind.name, name))
            place = getattr(current, "rank", "") or numbering.rank(kind)
            obj = msgspec.structs.replace(obj, rank=place)
    target = held.target((kind.name, name)) if item.target is None else item.target
    return Planned(
        kind=kind.name, name=name, obj=obj, revision=item.revision, document=item.document, target=target
    )


def _cascade(after: After, planned: dict[Key, Planned]) -> None:
    groups = {name for (kind, name), step in planned.items() if kind == "group" and step.obj is None}
    if not groups:
        return
    for kind, name in sorted(references.cascade(groups, after)):
        if (kind, name) not in planned:
            planned[kind, name] = Planned(kind=kind, name=name, obj=None)
            after.changes[kind, name] = None


def _reference_faults(after: After, planned: dict[Key, Planned], wanted: Sequence[Wanted]) -> list[Fault]:
    faults = []
    by_document = {item.document: item for item in wanted}
    for step in planned.values():
        if step.obj is not None and step.document is not None:
            item = by_document[step.document]
            found = references.dangling(after, [step.obj])
            found += references.out_of_reach(after.target, step.target, step.obj)
            faults += _placed(found, item.document, item.line)
    deleted = {key for key, step in planned.items() if step.obj is None and key[0] in references.NEEDED}
    if deleted:
        faults += references.in_use(deleted, after)
    if retargeted := {key for key, step in planned.items() if step.obj is not None and step.target != ALL}:
        # What stays as it is may need what moved away from it.
        for key, obj in after.items():
            if key not in planned and references.references(obj) & retargeted:
                faults += references.out_of_reach(after.target, after.target(key), obj)
    return faults


def _placed(faults: Sequence[Fault], document: int, line: int | None) -> list[Fault]:
    return [Fault(f.field, f.message, document, line) for f in faults]


def _fault(item: Wanted, field: str, message: str) -> Fault:
    return Fault(field, message, item.document, item.line)


def _count(faults: Sequence[Fault]) -> str:
    first = faults[0].message
    return first if len(faults) == 1 else f"{len(faults)} faults; the first: {first}"
