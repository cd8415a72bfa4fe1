"""What admission decides upon: a workload as somebody asks the Kubernetes API to create or change it.

Read from a manifest once (`fedbus.core.workload`), so that no rule reads YAML. Numbers are in base
units: CPU in cores, memory in bytes; an absent limit is 0.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from fedbus.model.policy.admission import ContainerType

Operation = Literal["CREATE", "UPDATE"]
RiskyRole = Literal[
    "risky_role_view_secret",
    "risky_role_any_action_workload",
    "risky_role_any_action_rbac",
    "risky_role_create_pod",
    "risky_role_exec_into_container",
]
"""What a service account may do that gives away the cluster, as NeuVector tags it."""

DOCKER_HUB = "docker.io"


class ImageReference(msgspec.Struct, frozen=True, kw_only=True):
    """An image as a workload names it.

    `text` is what was written. `registry` is host[:port] in lower case, `DOCKER_HUB` for all of its
    names and where none is written. `tag` is `latest` when neither tag nor digest is written, and empty
    beside a digest alone. `digest` is `sha256:...`, or empty.
    """

    text: str
    registry: str = DOCKER_HUB
    repository: str
    tag: str = ""
    digest: str = ""


class EnvVar(msgspec.Struct, frozen=True, kw_only=True):
    """An environment variable; `literal` is false when its value comes from elsewhere."""

    name: str
    value: str = ""
    literal: bool = True


class SeLinux(msgspec.Struct, frozen=True, kw_only=True):
    """SELinux options, empty where none are asked for."""

    type: str = ""
    user: str = ""
    role: str = ""


class SecurityContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a container may do: its own security context over its pod's; None is not written.

    `seccomp` and `apparmor` are profile types (`RuntimeDefault`, `Localhost`, `Unconfined`), whichever
    of field and annotation says so; a name of neither stays as it is written.
    """

    privileged: bool = False
    run_as_user: int | None = None
    run_as_non_root: bool | None = None
    allow_privilege_escalation: bool | None = None
    host_process: bool = False
    capabilities_added: tuple[str, ...] = ()
    capabilities_dropped: tuple[str, ...] = ()
    proc_mount: str = ""
    seccomp: str = ""
    apparmor: str = ""
    selinux: SeLinux = SeLinux()


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """Requests and limits: cores and bytes, 0 where there is none; a request defaults to its limit."""

    cpu_request: float = 0.0
    cpu_limit: float = 0.0
    memory_request: float = 0.0
    memory_limit: float = 0.0


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One container; `host_paths` are the paths of the node that it mounts."""

    name: str
    kind: ContainerType = "containers"
    image: ImageReference
    env: tuple[EnvVar, ...] = ()
    security: SecurityContext = SecurityContext()
    resources: Resources = Resources()
    host_ports: tuple[int, ...] = ()
    host_paths: tuple[str, ...] = ()


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the pod; `kind` is the name of its source (`hostPath`, `secret`, ...)."""

    name: str
    kind: str = ""
    host_path: str = ""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The object that controls this one."""

    kind: str
    name: str
    uid: str = ""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One request to create or change a workload or a volume claim.

    `labels` and `annotations` are the workload's with its pod template's over them. `user` is empty
    when nobody knows who asks. `storage_classes` are those of a volume claim, or of the claim templates
    of a stateful set. `phase` is a pod's. `risky_roles` are those of its service account, None when they
    were not looked up. `os` is `windows`, `linux` or not said. `document` is the object as it was sent,
    for custom paths, `pod_path` the names that lead to its pod in there (none: it is the pod, or has none).
    """

    kind: str
    name: str = ""
    namespace: str = "default"
    uid: str = ""
    operation: Operation = "CREATE"
    dry_run: bool = False
    user: str = ""
    groups: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    owner: Owner | None = None
    phase: str = ""
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    os: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    sysctls: tuple[str, ...] = ()
    service_account: str = "default"
    risky_roles: tuple[RiskyRole, ...] | None = None
    storage_classes: tuple[str, ...] = ()
    document: Mapping[str, Any] = {}
    pod_path: tuple[str, ...] = ()
