"""What runs in a cluster, as its Kubernetes API says, cut down to what is asked of it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fedbus.model.review import RiskyRole


class InventoryCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster in numbers, for heartbeats and the summary.

    `workloads` are those that nothing else in the cluster made: deployments, but not their pods; pods, if
    somebody made them by hand. `unscanned_images` are those that run and that no scan is held of; None
    while nobody looked.
    """

    platform: str = ""
    version: str = ""
    hosts: int = 0
    namespaces: int = 0
    services: int = 0
    workloads: int = 0
    pods: int = 0
    running_pods: int = 0
    images: int = 0
    unscanned_images: int | None = None
    complete: bool = True
    """Whether every kind of object could be read."""


class PodImage(msgspec.Struct, frozen=True):
    """An image that a container runs: as the pod names it, and the digest that was pulled."""

    image: str
    digest: str = ""


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One pod."""

    namespace: str
    name: str
    phase: str = ""
    node: str = ""
    service_account: str = "default"
    images: tuple[PodImage, ...] = ()


class RunningImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that runs, and in how many pods of which namespaces."""

    image: str
    digest: str = ""
    pods: int = 0
    namespaces: tuple[str, ...] = ()


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one Kubernetes object.

    `root`: a workload that nothing else made; `body` is its manifest then, in the encoding that is said.
    `document` is what is kept of bindings and nodes, `tags` what a role gives away.
    """

    kind: str
    namespace: str = ""
    name: str = ""
    root: bool = False
    body: bytes = b""
    encoding: str = ""
    pod: Pod | None = None
    document: Mapping[str, Any] = {}
    tags: tuple[RiskyRole, ...] = ()


class ReportedWorkload(msgspec.Struct, frozen=True, kw_only=True):
    """A workload as the master gets it: its manifest without what must not leave the cluster.

    `risky_roles` are those of its service account; None while the cluster does not know.
    """

    manifest: dict[str, Any]
    risky_roles: tuple[RiskyRole, ...] | None = None


class InventoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in a cluster, for previews on the master; `left_out` workloads did not fit into it.

    `complete` is whether the cluster could read every kind of object.
    """

    workloads: list[ReportedWorkload]
    left_out: int = 0
    complete: bool = True
