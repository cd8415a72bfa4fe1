"""From a Kubernetes object to the workload that admission decides upon."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import msgspec

from fedbus.core.image_reference import image_reference
from fedbus.core.manifest import Field
from fedbus.core.quantity import quantity
from fedbus.errors import InvalidInput
from fedbus.model.policy.admission import ContainerType
from fedbus.model.review import (
    Container,
    EnvVar,
    ImageReference,
    Operation,
    Owner,
    Resources,
    SecurityContext,
    SeLinux,
    Volume,
    Workload,
)

CLAIM: Final = "PersistentVolumeClaim"
MAX_CONTAINERS: Final = 500
MAX_VOLUMES: Final = 1000
"""What admission looks at (ours, beyond what any node runs): it bounds the time that a request takes."""

ReadImage = Callable[[str, str], ImageReference]
"""Reads the name of an image that stands at a path. May raise InvalidInput."""

_TEMPLATE = ("spec", "template")
POD_PATHS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Pod": (),
        "CronJob": ("spec", "jobTemplate", "spec", "template"),
        **dict.fromkeys(
            (
                "DaemonSet",
                "Deployment",
                "DeploymentConfig",
                "Job",
                "ReplicaSet",
                "ReplicationController",
                "StatefulSet",
            ),
            _TEMPLATE,
        ),
    }
)
"""Where each kind of workload keeps its pod."""

_CONTAINERS: Sequence[tuple[ContainerType, str]] = (
    ("init_containers", "initContainers"),
    ("containers", "containers"),
    ("ephemeral_containers", "ephemeralContainers"),
)
"""The containers of a pod in the order in which they are looked at."""

_SIDECARS = frozenset(
    {
        ("docker.io", "istio/proxyv2"),
        ("gcr.io", "istio-release/proxyv2"),
        ("cr.l5d.io", "linkerd/proxy"),
        ("ghcr.io", "linkerd/proxy"),
        ("gcr.io", "linkerd-io/proxy"),
    }
)
"""What service meshes inject, registry and all: nobody else's image may pass for one."""

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_POD_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_PROFILES = {
    "runtime/default": "RuntimeDefault",
    "docker/default": "RuntimeDefault",
    "unconfined": "Unconfined",
}


def workload_of(
    document: Mapping[str, Any],
    *,
    user: str = "",
    groups: Sequence[str] = (),
    operation: Operation = "CREATE",
    dry_run: bool = False,
    read_image: ReadImage = image_reference,
) -> Workload:
    """Return what `document` asks for; known sidecars are left out of its containers.

    Of more than MAX_CONTAINERS or MAX_VOLUMES one more is read, for `is_too_big`.
    Raises InvalidInput: KIND_UNSUPPORTED, MANIFEST_INVALID or IMAGE_INVALID, with the path.
    """
    root = Field(document)
    kind = root["kind"].text()
    if kind != CLAIM and kind not in POD_PATHS:
        raise InvalidInput(
            f"kind must be one of {', '.join([*POD_PATHS, CLAIM])}, not {kind[:100]!r}",
            code="KIND_UNSUPPORTED",
        )
    pod_path = POD_PATHS.get(kind, ())
    pod = root.at(*pod_path)
    metadata, template = root["metadata"], pod["metadata"]
    spec = pod["spec"] if kind != CLAIM else Field(None, "spec")
    annotations = metadata["annotations"].pairs() | template["annotations"].pairs()
    volumes = tuple(_volume(one) for one in islice(spec["volumes"].items(), MAX_VOLUMES + 1))
    host_paths = {volume.name: volume.host_path for volume in volumes if volume.host_path}
    shared = _Pod(spec["securityContext"], annotations, host_paths)
    return Workload(
        kind=kind,
        name=metadata["name"].text() or metadata["generateName"].text(),
        namespace=metadata["namespace"].text() or "default",
        uid=metadata["uid"].text(),
        operation=operation,
        dry_run=dry_run,
        user=user,
        groups=tuple(groups),
        labels=metadata["labels"].pairs() | template["labels"].pairs(),
        annotations=annotations,
        owner=_owner(metadata),
        phase=root.at("status", "phase").text() if kind == "Pod" else "",
        containers=tuple(islice(_containers(spec, shared, read_image), MAX_CONTAINERS + 1)),
        volumes=volumes,
        os=spec.at("os", "name").text().lower(),
        host_network=bool(spec["hostNetwork"].flag()),
        host_pid=bool(spec["hostPID"].flag()),
        host_ipc=bool(spec["hostIPC"].flag()),
        sysctls=tuple(one["name"].text() for one in spec.at("securityContext", "sysctls").items()),
        service_account=spec["serviceAccountName"].text() or spec["serviceAccount"].text() or "default",
        storage_classes=tuple(_storage_classes(root, kind)),
        document=document,
        pod_path=pod_path,
    )


def is_too_big(workload: Workload) -> bool:
    """Tell whether a workload has more than admission looks at."""
    return len(workload.containers) > MAX_CONTAINERS or len(workload.volumes) > MAX_VOLUMES


def is_sidecar(image: ImageReference) -> bool:
    """Tell whether an image is the proxy of a service mesh, which is injected and not asked for."""
    return (image.registry, image.repository) in _SIDECARS


def _owner(metadata: Field) -> Owner | None:
    owners = list(metadata["ownerReferences"].items())
    owner = next((one for one in owners if one["controller"].flag()), owners[0] if owners else None)
    if owner is None:
        return None
    return Owner(kind=owner["kind"].text(), name=owner["name"].text(), uid=owner["uid"].text())


def _storage_classes(root: Field, kind: str) -> Iterator[str]:
    claims = [root] if kind == CLAIM else []
    if kind == "StatefulSet":
        claims = list(root.at("spec", "volumeClaimTemplates").items())
    for claim in claims:
        yield claim.at("spec", "storageClassName").text()


def _volume(field: Field) -> Volume:
    kind = next((name for name in field.table() if name != "name" and field[name]), "")
    path = field.at("hostPath", "path").text() if kind == "hostPath" else ""
    return Volume(name=field["name"].text(), kind=kind, host_path=path)


class _Pod(msgspec.Struct, frozen=True):
    """What all containers of a pod share: security context, annotations, host paths by volume."""

    security: Field
    annotations: Mapping[str, str]
    host_paths: Mapping[str, str]


def _containers(spec: Field, pod: _Pod, read_image: ReadImage) -> Iterator[Container]:
    for kind, name in _CONTAINERS:
        for field in spec[name].items():
            image = read_image(field["image"].text(), field["image"].path)
            if not is_sidecar(image):
                yield _container(kind, image, field, pod)


def _container(kind: ContainerType, image: ImageReference, field: Field, pod: _Pod) -> Container:
    mounted = [one["name"].text() for one in field["volumeMounts"].items()]
    paths = [pod.host_paths[name] for name in mounted if name in pod.host_paths]
    return Container(
        name=field["name"].text(),
        kind=kind,
        image=image,
        env=tuple(_variables(field)),
        security=_security(field, pod),
        resources=_resources(field["resources"]),
        host_ports=tuple(port for one in field["ports"].items() if (port := one["hostPort"].integer())),
        host_paths=tuple(dict.fromkeys(paths)),
    )


def _variables(container: Field) -> Iterator[EnvVar]:
    for field in container["env"].items():
        yield EnvVar(name=field["name"].text(), value=field["value"].text(), literal=not field["valueFrom"])


def _security(container: Field, pod: _Pod) -> SecurityContext:
    own, name = container["securityContext"], container["name"].text()

    def over(*path: str) -> Field:
        """Return the container's own setting, else its pod's."""
        return own.at(*path) or pod.security.at(*path)

    seccomp = pod.annotations.get(_SECCOMP + name) or pod.annotations.get(_POD_SECCOMP, "")
    apparmor = pod.annotations.get(_APPARMOR + name, "")
    selinux = over("seLinuxOptions")
    return SecurityContext(
        privileged=bool(own["privileged"].flag()),
        run_as_user=over("runAsUser").integer(),
        run_as_non_root=over("runAsNonRoot").flag(),
        allow_privilege_escalation=own["allowPrivilegeEscalation"].flag(),
        host_process=bool(over("windowsOptions", "hostProcess").flag()),
        capabilities_added=_capabilities(own.at("capabilities", "add")),
        capabilities_dropped=_capabilities(own.at("capabilities", "drop")),
        proc_mount=own["procMount"].text(),
        seccomp=over("seccompProfile", "type").text() or _profile(seccomp),
        apparmor=over("appArmorProfile", "type").text() or _profile(apparmor),
        selinux=SeLinux(
            type=selinux["type"].text(), user=selinux["user"].text(), role=selinux["role"].text()
        ),
    )


def _capabilities(field: Field) -> tuple[str, ...]:
    """Return capabilities by the names that the standards use, without `CAP_`."""
    return tuple(name.upper().removeprefix("CAP_") for name in field.texts())


def _profile(annotation: str) -> str:
    """Return what a profile's annotation says, in the words of the field that replaced it."""
    return "Localhost" if annotation.startswith("localhost/") else _PROFILES.get(annotation, annotation)


def _resources(field: Field) -> Resources:
    cpu, memory = _amount(field, "limits", "cpu"), _amount(field, "limits", "memory")
    return Resources(
        cpu_limit=cpu,
        memory_limit=memory,
        cpu_request=_amount(field, "requests", "cpu", cpu),
        memory_request=_amount(field, "requests", "memory", memory),
    )


def _amount(field: Field, part: str, name: str, default: float = 0.0) -> float:
    written = field.at(part, name)
    if not written:
        return default
    number = quantity(written.value)
    if number is None:
        written.refuse("a quantity such as 500m or 1Gi")
    return number
