"""From Kubernetes objects to what is kept of them, and from that to numbers."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from fedbus.core.admission.risky_roles import tags_of_role
from fedbus.core.manifest import Field
from fedbus.core.workload import POD_PATHS
from fedbus.errors import InvalidInput
from fedbus.model import codec
from fedbus.model.inventory import InventoryCounts, Kept, Pod, PodImage, RunningImage

BINDINGS: Final = frozenset(("RoleBinding", "ClusterRoleBinding"))
ROLES: Final = frozenset(("Role", "ClusterRole"))
COUNTED: Final = frozenset(("Namespace", "Service", "ServiceAccount"))

_PROVIDERS: Final = {
    "aws": "EKS",
    "gce": "GKE",
    "azure": "AKS",
    "rke2": "RKE2",
    "k3s": "K3s",
    "kind": "kind",
}
"""Platforms by the scheme of a node's `providerID`."""


def kept(document: Mapping[str, Any]) -> Kept | None:
    """Return what is kept of an object; None of one that nobody asks for.

    Raises InvalidInput (MANIFEST_INVALID) for one that cannot be read.
    """
    root = Field(document)
    kind, metadata = root["kind"].text(), root["metadata"]
    named = Kept(kind=kind, namespace=metadata["namespace"].text(), name=metadata["name"].text())
    if kind in POD_PATHS:
        return _workload(root, named)
    if kind in ROLES:
        return msgspec.structs.replace(named, tags=tags_of_role(document))
    if kind in BINDINGS:
        return msgspec.structs.replace(named, document=_binding(document))
    if kind == "Node":
        return msgspec.structs.replace(named, document=_node(root))
    return named if kind in COUNTED else None


def _workload(root: Field, named: Kept) -> Kept | None:
    owners = root["metadata"]["ownerReferences"].items()
    if any(owner["controller"].flag() for owner in owners):
        # Made by what is kept already: only pods say more, namely what runs.
        return msgspec.structs.replace(named, pod=_pod(root, named)) if named.kind == "Pod" else None
    body, encoding = codec.pack(codec.encode(_manifest(root.table())))
    pod = _pod(root, named) if named.kind == "Pod" else None
    return msgspec.structs.replace(named, root=True, body=body, encoding=encoding, pod=pod)


def manifest(one: Kept) -> dict[str, Any]:
    """Return the manifest of a workload that nothing else made."""
    return codec.decode(codec.unpack(one.body, one.encoding), dict[str, Any])


def service_account(document: Mapping[str, Any]) -> str:
    """Return the service account of a workload's pods. Raises InvalidInput."""
    spec = Field(document).at(*POD_PATHS.get(str(document.get("kind")), ()), "spec")
    return spec["serviceAccountName"].text() or spec["serviceAccount"].text() or "default"


def _manifest(document: Mapping[str, Any]) -> dict[str, Any]:
    about = Field(document)["metadata"].table()
    metadata = {name: value for name, value in about.items() if name != "managedFields"}
    parts = {name: document[name] for name in ("apiVersion", "kind", "spec") if name in document}
    return parts | {"metadata": metadata}


def _binding(document: Mapping[str, Any]) -> dict[str, Any]:
    about = Field(document)["metadata"].table()
    names = {name: about.get(name) for name in ("namespace", "name")}
    parts = {name: document[name] for name in ("subjects", "roleRef") if name in document}
    return parts | {"metadata": {name: value for name, value in names.items() if value}}


def _node(node: Field) -> dict[str, Any]:
    info = node.at("status", "nodeInfo")
    return {
        "provider": node.at("spec", "providerID").text().partition(":")[0],
        "version": info["kubeletVersion"].text(),
        "openshift": "node.openshift.io/os_id" in node.at("metadata", "labels").table(),
    }


def _pod(root: Field, named: Kept) -> Pod:
    spec, status = root["spec"], root["status"]
    pulled = {
        one["name"].text(): one["imageID"].text().rpartition("@")[2]
        for statuses in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for one in status[statuses].items()
    }
    images = {
        PodImage(container["image"].text(), digest if digest.startswith("sha256:") else "")
        for containers in ("initContainers", "containers", "ephemeralContainers")
        for container in spec[containers].items()
        for digest in (pulled.get(container["name"].text(), ""),)
    }
    return Pod(
        namespace=named.namespace,
        name=named.name,
        phase=status["phase"].text(),
        node=spec["nodeName"].text(),
        service_account=spec["serviceAccountName"].text() or "default",
        images=tuple(sorted(images, key=lambda one: (one.image, one.digest))),
    )


def counts(
    objects: Iterable[Kept], *, version: str = "", unscanned: int | None = None, complete: bool = True
) -> InventoryCounts:
    """Return a cluster in numbers; `version` is the API server's, else the nodes' own is taken."""
    number: dict[str, int] = defaultdict(int)
    workloads = running = 0
    nodes: list[Mapping[str, Any]] = []
    images: set[PodImage] = set()
    for one in objects:
        number[one.kind] += 1
        workloads += one.root
        if one.kind == "Node":
            nodes.append(one.document)
        if one.pod is not None and one.pod.phase == "Running":
            running += 1
            images.update(one.pod.images)
    return InventoryCounts(
        platform=_platform(nodes, version),
        version=version or max((str(node["version"]) for node in nodes), default=""),
        hosts=number["Node"],
        namespaces=number["Namespace"],
        services=number["Service"],
        workloads=workloads,
        pods=number["Pod"],
        running_pods=running,
        images=len(images),
        unscanned_images=unscanned,
        complete=complete,
    )


def _platform(nodes: Collection[Mapping[str, Any]], version: str) -> str:
    if not nodes:
        return ""
    if any(node["openshift"] for node in nodes):
        return "OpenShift"
    words = {name for node in nodes for name in _PROVIDERS if str(node["provider"]).startswith(name)}
    words |= {name for name in ("k3s", "rke2") if f"+{name}" in version}
    flavour = next((_PROVIDERS[word] for word in sorted(words)), "")
    return f"Kubernetes ({flavour})" if flavour else "Kubernetes"


def running_images(objects: Iterable[Kept]) -> list[RunningImage]:
    """Return the images of running pods, by name and digest."""
    pods: dict[PodImage, int] = defaultdict(int)
    namespaces: dict[PodImage, set[str]] = defaultdict(set)
    for one in objects:
        if one.pod is not None and one.pod.phase == "Running":
            for image in one.pod.images:
                pods[image] += 1
                namespaces[image].add(one.pod.namespace)
    return [
        RunningImage(
            image=one.image, digest=one.digest, pods=pods[one], namespaces=tuple(sorted(namespaces[one]))
        )
        for one in sorted(pods, key=lambda one: (one.image, one.digest))
    ]


def flattened(documents: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of documents, those of a `List` one by one. Raises InvalidInput for no object."""
    for number, document in enumerate(documents):
        if document is None:
            continue
        if not isinstance(document, Mapping):
            raise InvalidInput(f"document {number} is no Kubernetes object", code="MANIFEST_INVALID")
        items = document.get("items")
        kind = str(document.get("kind", ""))
        if kind.endswith("List") and isinstance(items, list):
            # What an API lists does not say its kind, what kubectl lists does.
            of = {"kind": kind.removesuffix("List")}
            yield from flattened(of | item if isinstance(item, dict) else item for item in items)
        else:
            yield document


def kept_of(documents: Iterable[Any]) -> dict[tuple[str, str, str], Kept]:
    """Return what is kept of many documents, by kind, namespace and name. Raises InvalidInput."""
    found = (kept(document) for document in flattened(documents))
    return {(one.kind, one.namespace, one.name): one for one in found if one is not None}
