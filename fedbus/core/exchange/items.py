"""What one document asks for: objects to apply or delete, each with its place in the document."""

from collections.abc import Mapping

import msgspec

from fedbus.core import policy_input, policy_plan, policy_rules
from fedbus.core.exchange.neuvector import resources
from fedbus.core.exchange.reading import Remark
from fedbus.errors import InvalidInput
from fedbus.model.policy import KINDS, Policy


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a document. `obj` is None for a deletion; `foreign` when NeuVector wrote it.

    `document` is what the master is sent, `path` where the object stands in the source document, and
    `source` the number of that document among all.
    """

    kind: str
    name: str
    obj: Policy | None
    document: dict[str, object]
    path: str = ""
    source: int = 0
    foreign: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Kind and name; a rule without an id has the name `0`."""
        return self.kind, self.name

    def having(self, obj: Policy) -> "Item":
        """Return the item with another object."""
        document = {**self.document, "spec": msgspec.to_builtins(obj)}
        return msgspec.structs.replace(self, obj=obj, name=KINDS[self.kind].key(obj), document=document)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A document, or an item of a List at `path`, after it was read: accepted when it has no faults."""

    kind: str
    path: str = ""
    items: list[Item]
    remarks: list[Remark]
    faults: list[Remark]


def judge(value: Mapping[str, object], path: str = "") -> list[Judged]:
    """Read one document: our own, a custom resource of NeuVector, or a List of either."""
    if value.get("kind") == "List" or ("items" in value and "kind" not in value):
        return _list(value, path)
    if resources.is_resource(value):
        return [_resource(value, path)]
    if value.get("kind") not in KINDS:
        return [_refused(value, path)]
    return [_own(value, path)]


def _list(value: Mapping[str, object], path: str) -> list[Judged]:
    listed = value.get("items")
    prefix = f"{path}.items" if path else "items"
    if path or not isinstance(listed, list):
        wrong = Remark(path or "items", "A List must hold a list of items, none of them a List")
        return [Judged(kind="List", path=path, items=[], remarks=[], faults=[wrong])]
    judged: list[Judged] = []
    for index, item in enumerate(listed):
        place = f"{prefix}[{index}]"
        judged += judge(item, place) if isinstance(item, Mapping) else [_refused({}, place)]
    return judged


def _refused(value: Mapping[str, object], path: str) -> Judged:
    given = value.get("kind")
    where = f"{path}.kind" if path else "kind"
    message = "is missing" if given is None else f"{str(given)[:100]!r} is no kind of policy"
    known = f"{message}; the kinds are {', '.join((*KINDS, *resources.RESOURCE_KINDS))}"
    return Judged(kind=str(given or "")[:100], path=path, items=[], remarks=[], faults=[Remark(where, known)])


def _own(value: Mapping[str, object], path: str) -> Judged:
    kind = str(value["kind"])
    try:
        (wanted,) = policy_plan.read([(0, None, dict(value))])
    except InvalidInput as error:
        faults = [Remark(below(path, fault.field), fault.message) for fault in error.faults]
        return Judged(
            kind=kind, path=path, items=[], remarks=[], faults=faults or [Remark(path, error.message)]
        )
    document = dict(value)
    if wanted.obj is not None:
        document["spec"] = msgspec.to_builtins(wanted.obj)
    item = Item(kind=wanted.kind, name=wanted.name, obj=wanted.obj, document=document, path=path)
    return Judged(kind=kind, path=path, items=[item], remarks=[], faults=[])


def below(path: str, field: str) -> str:
    """Return where a field of an own document stands; faults of objects name fields of the spec."""
    if field.partition(".")[0] not in ("kind", "op", "revision", "spec", "target", ""):
        field = f"spec.{field}"
    return f"{path}.{field}" if path and field else path or field


def _resource(value: Mapping[str, object], path: str) -> Judged:
    conversion = resources.read(value, path)
    items, faults = [], list(conversion.faults)
    for found in conversion.found if not faults else []:
        try:
            obj = policy_input.parse(found.kind, found.spec)
            wrong = policy_rules.faults(obj)
        except InvalidInput as error:
            wrong = list(error.faults)
        if wrong:
            faults += [Remark(found.path, f"{found.kind}: {fault.message}") for fault in wrong]
            continue
        document: dict[str, object] = {"kind": found.kind, "spec": msgspec.to_builtins(obj)}
        name = KINDS[found.kind].key(obj)
        items.append(
            Item(kind=found.kind, name=name, obj=obj, document=document, path=found.path, foreign=True)
        )
    kind = str(value.get("kind", ""))[:100]
    return Judged(kind=kind, path=path, items=items, remarks=conversion.remarks, faults=faults)
