"""Which file an exported object stands in, and how it is written there, so that diffs stay small.

One file an object, `<kind>/<name>.yaml`. What is a list in its own right stands in one file,
`<kind>.yaml`, in its order: moving a rule moves its lines. Fields that have their default are left
out; so is the rank, since the order of the file says it.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType

import msgspec

from fedbus.core.exchange.neuvector.resources import API_VERSION
from fedbus.model.policy import KINDS, Policy, kind_of
from fedbus.model.policy.common import Part

_SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_ONE_FILE = frozenset({name for name, kind in KINDS.items() if kind.ordered or not kind.identity})
_ONE_FILE_RESOURCES = frozenset(
    {"NvAdmissionControlSecurityRule", "NvResponseRuleSecurityRule", "NvConfigSecurityRule"}
)
_SAID_ELSEWHERE = frozenset({"rank", "cfg_type"})
NO_TARGETS: Mapping[tuple[str, str], Mapping[str, object]] = MappingProxyType({})
_DERIVED = {"group": frozenset({"kind"})}
"""Fields that follow from the others when an object is read."""


def documents(
    objects: Sequence[Policy], targets: Mapping[tuple[str, str], Mapping[str, object]] = NO_TARGETS
) -> list[dict[str, object]]:
    """Return our own documents: kinds in the order of their table, rules in theirs, the rest by name.

    `targets` has those of the objects (kind and name) that are not for all.
    """
    found = []
    for obj in sorted_objects(objects):
        kind = kind_of(obj)
        target = targets.get((kind.name, kind.key(obj)))
        found.append(own_document(obj) | ({"target": target} if target else {}))
    return found


def sorted_objects(objects: Sequence[Policy]) -> list[Policy]:
    """Return objects in the order in which they are written."""
    order = list(KINDS)
    return sorted(objects, key=lambda obj: (order.index(kind_of(obj).name), _sort_key(obj)))


def _sort_key(obj: Policy) -> tuple[str, int, str]:
    kind = kind_of(obj)
    if kind.ordered:
        return str(getattr(obj, "rank", "")), int(kind.key(obj)), ""
    return "", 0, kind.key(obj)


def own_document(obj: Policy) -> dict[str, object]:
    """Return one object as a document of ours, without what a reader would add anyway."""
    kind = kind_of(obj)
    spec = {kind.identity: getattr(obj, kind.identity)} if kind.identity else {}
    spec |= {k: v for k, v in _shortened(obj).items() if k not in _DERIVED.get(kind.name, ())}
    return {"kind": kind.name, "spec": spec}


def _shortened(part: Part) -> dict[str, object]:
    short: dict[str, object] = {}
    for field in msgspec.structs.fields(type(part)):
        value = getattr(part, field.name)
        if field.name not in _SAID_ELSEWHERE and (field.required or value != field.default):
            short[field.encode_name] = _plain(value)
    return short


def _plain(value: object) -> object:
    if isinstance(value, Part):
        return _shortened(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def files(written: Sequence[Mapping[str, object]]) -> dict[str, list[Mapping[str, object]]]:
    """Return the documents of each file by its path below the directory."""
    found: dict[str, list[Mapping[str, object]]] = {}
    for document in written:
        found.setdefault(path_of(document), []).append(document)
    return found


def path_of(document: Mapping[str, object]) -> str:
    """Return the path of the file that an exported document stands in."""
    kind = str(document["kind"])
    if kind in _ONE_FILE | _ONE_FILE_RESOURCES:
        return f"{kind}.yaml"
    holder = document["metadata"] if document.get("apiVersion") == API_VERSION else document["spec"]
    assert isinstance(holder, Mapping)  # noqa: S101 - we wrote the document
    identity = "name" if document.get("apiVersion") == API_VERSION else KINDS[kind].identity
    return f"{kind}/{file_name(str(holder[identity]))}"


def file_name(name: str) -> str:
    """Return a file name for an object that no other object gets.

    A name that some file system could not keep (capitals, a colon, too long) gets a digest of itself.
    """
    if _SAFE.fullmatch(name):
        return f"{name}.yaml"
    return f"{_UNSAFE.sub('_', name)[:200]}-{sha256(name.encode()).hexdigest()[:12]}.yaml"
