"""What of an inventory goes to the master: enough to judge workloads, bounded, and no secrets.

The values of environment variables stay in the cluster, and so does the annotation in which kubectl keeps
a copy of all it was given.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from fedbus.core.workload import POD_PATHS
from fedbus.model import codec
from fedbus.model.inventory import InventoryReport, ReportedWorkload

_METADATA: Final = ("name", "namespace", "labels", "annotations", "ownerReferences")
_COPY: Final = "kubectl.kubernetes.io/last-applied-configuration"
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_ROOM: Final = codec.MAX_PAYLOAD - 1024
"""Bytes of all workloads together, before they are compressed."""

UNSEEN: Final = frozenset({"envVars", "envVarSecrets"})
"""Criteria on what is left out."""


def reported(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest without what is not reported; parts of it are shared with the one given."""
    kept = {name: manifest[name] for name in ("apiVersion", "kind", "spec") if name in manifest}
    about = manifest.get("metadata")
    kept["metadata"] = _metadata(about) if isinstance(about, Mapping) else {}
    found: dict[str, Any] = _at(kept, (*POD_PATHS.get(str(manifest.get("kind")), ()), "spec"))
    return found


def _metadata(about: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: about[name] for name in _METADATA if about.get(name)}
    annotations = kept.get("annotations")
    if isinstance(annotations, Mapping):
        kept["annotations"] = {name: text for name, text in annotations.items() if name != _COPY}
    return kept


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """Return an object whose pod specification, at that path, has no values of environment variables."""
    if not isinstance(value, Mapping):
        return value
    if not path:
        found = {name: _silent(value[name]) if name in _CONTAINERS else value[name] for name in value}
    else:
        found = dict(value)
        if path[0] in found:
            found[path[0]] = _at(found[path[0]], path[1:])
        about = found.get("metadata")
        if isinstance(about, Mapping):
            found["metadata"] = _metadata(about)
    return found


def _silent(containers: Any) -> Any:
    if not isinstance(containers, list):
        return containers
    return [_without_values(one) if isinstance(one, Mapping) else one for one in containers]


def _without_values(container: Mapping[str, Any]) -> dict[str, Any]:
    variables = container.get("env")
    if not isinstance(variables, list):
        return dict(container)
    named = [
        {name: part for name, part in one.items() if name != "value"} if isinstance(one, Mapping) else one
        for one in variables
    ]
    return {**container, "env": named}


def packed(workloads: Iterable[ReportedWorkload], *, complete: bool) -> tuple[bytes, str, str]:
    """Return the body of a report, its encoding, and the digest of what it says.

    In an order that does not depend on the one given; as many workloads as fit are in it.
    """
    encoded = sorted(((_key(one), codec.encode(one)) for one in workloads), key=lambda pair: pair[0])
    bodies, size = [], 0
    for _, body in encoded:
        size += len(body) + 1
        if size > _ROOM:
            break
        bodies.append(body)
    while True:
        payload = codec.encode(
            {
                "workloads": [msgspec.Raw(body) for body in bodies],
                "left_out": len(encoded) - len(bodies),
                "complete": complete,
            }
        )
        body, encoding = codec.pack(payload)
        if len(body) <= codec.MAX_BODY:
            return body, encoding, hashlib.sha256(payload).hexdigest()
        del bodies[int(len(bodies) * 0.95 * codec.MAX_BODY / len(body)) :]


def _key(one: ReportedWorkload) -> tuple[str, str, str]:
    about = one.manifest.get("metadata", {})
    return str(about.get("namespace", "")), str(one.manifest.get("kind", "")), str(about.get("name", ""))


def read(body: bytes, encoding: str) -> InventoryReport:
    """Return what `packed` packed. Raises InvalidEvent, msgspec.MsgspecError for anything else."""
    return codec.decode(codec.unpack(body, encoding), InventoryReport)
