"""The inventory of a cluster: held in memory, kept by watches on its Kubernetes API, or by a file."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from fedbus.core import inventory
from fedbus.core.admission.risky_roles import tags_of_account
from fedbus.errors import ConfigError, FedbusError, InvalidInput, Unavailable
from fedbus.kube.client import KubernetesApi
from fedbus.kube.reflector import Reflector, Resource
from fedbus.model.inventory import InventoryCounts, Kept, RunningImage
from fedbus.model.review import RiskyRole
from fedbus.runtime import Clock, first

RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
RESOURCES: Final = (
    Resource("Node", "/api/v1/nodes"),
    Resource("Namespace", "/api/v1/namespaces"),
    Resource("Service", "/api/v1/services"),
    Resource("ServiceAccount", "/api/v1/serviceaccounts"),
    Resource("Pod", "/api/v1/pods"),
    Resource("ReplicationController", "/api/v1/replicationcontrollers"),
    Resource("Deployment", "/apis/apps/v1/deployments"),
    Resource("DaemonSet", "/apis/apps/v1/daemonsets"),
    Resource("StatefulSet", "/apis/apps/v1/statefulsets"),
    Resource("ReplicaSet", "/apis/apps/v1/replicasets"),
    Resource("Job", "/apis/batch/v1/jobs"),
    Resource("CronJob", "/apis/batch/v1/cronjobs"),
    Resource("DeploymentConfig", "/apis/apps.openshift.io/v1/deploymentconfigs", optional=True),
    Resource("Role", f"{RBAC}/roles"),
    Resource("ClusterRole", f"{RBAC}/clusterroles"),
    Resource("RoleBinding", f"{RBAC}/rolebindings"),
    Resource("ClusterRoleBinding", f"{RBAC}/clusterrolebindings"),
)
"""What is read: metadata and specifications, never secrets or configuration."""
FILE_SECONDS: Final = 2.0
"""How often the file is looked at."""
MAX_FILE: Final = 64 * 1024 * 1024
RETRY_SECONDS: Final = 30.0

Connecting = Callable[[], AbstractAsyncContextManager[KubernetesApi]]
log = structlog.get_logger(__name__)


class Inventory:
    """What runs in this cluster now; empty while nobody has read it."""

    def __init__(self) -> None:
        self._objects: dict[str, Mapping[tuple[str, str], Kept]] = {}
        self._errors: dict[str, FedbusError] = {}
        self._roles: dict[tuple[str, str], tuple[RiskyRole, ...]] = {}
        self.version = ""
        """The version of the API server."""
        self.generation = 0
        """Grows with every change."""
        self.changed = asyncio.Event()
        """Set by every change."""

    def replace(self, kind: str, objects: Mapping[tuple[str, str], Kept]) -> None:
        """Take all objects of a kind."""
        self._objects[kind] = dict(objects)
        self._touch(kind)

    def put(self, kind: str, key: tuple[str, str], one: Kept | None) -> None:
        """Take one object as it is now, None if it is gone."""
        held = self._objects.setdefault(kind, {})
        assert isinstance(held, dict)  # noqa: S101 - `replace` made it
        if one is None:
            held.pop(key, None)
        else:
            held[key] = one
        self._touch(kind)

    def failed(self, kind: str, error: FedbusError | None) -> None:
        """Note why a kind cannot be read, None when it can."""
        if error is None:
            self._errors.pop(kind, None)
        else:
            self._errors[kind] = error

    def _touch(self, kind: str) -> None:
        if kind in inventory.ROLES or kind in inventory.BINDINGS:
            self._roles.clear()
        self.generation += 1
        self.changed.set()

    @property
    def known(self) -> bool:
        """Whether anything was read yet."""
        return bool(self._objects)

    @property
    def knows_roles(self) -> bool:
        """Whether bindings were read."""
        return self._objects.keys() >= inventory.BINDINGS

    @property
    def errors(self) -> dict[str, str]:
        """Why kinds of objects cannot be read."""
        return {kind: error.message for kind, error in sorted(self._errors.items())}

    def objects(self) -> Iterator[Kept]:
        """Yield everything that is held."""
        for held in self._objects.values():
            yield from held.values()

    def counts(self, unscanned: int | None = None) -> InventoryCounts:
        """Return the cluster in numbers."""
        return inventory.counts(
            self.objects(), version=self.version, unscanned=unscanned, complete=not self._errors
        )

    def images(self) -> list[RunningImage]:
        """Return the images of running pods."""
        return inventory.running_images(self._objects.get("Pod", {}).values())

    def workloads(self) -> Iterator[dict[str, Any]]:
        """Yield the manifest of every workload that nothing else made."""
        return (inventory.manifest(one) for one in self.objects() if one.root)

    def risky_roles(self, namespace: str, service_account: str) -> tuple[RiskyRole, ...] | None:
        """Return the risky roles of a service account; None while bindings were not read."""
        if not self.knows_roles:
            return None
        key = namespace, service_account
        if key not in self._roles:
            self._roles[key] = self._tags(namespace, service_account)
        return self._roles[key]

    def _tags(self, namespace: str, service_account: str) -> tuple[RiskyRole, ...]:
        roles = {
            (one.namespace, one.name): one.tags
            for kind in inventory.ROLES
            for one in self._objects.get(kind, {}).values()
        }
        bindings = [
            one.document for kind in inventory.BINDINGS for one in self._objects.get(kind, {}).values()
        ]
        tags: set[RiskyRole] = set()
        for binding in bindings:
            with contextlib.suppress(InvalidInput):  # one odd binding harms itself only
                tags.update(tags_of_account(namespace, service_account, [binding], roles))
        return tuple(sorted(tags))

    def risky_accounts(self) -> dict[str, tuple[RiskyRole, ...]]:
        """Return the service accounts with risky roles, as namespace/name."""
        found = {
            f"{one.namespace}/{one.name}": self.risky_roles(one.namespace, one.name)
            for one in self._objects.get("ServiceAccount", {}).values()
        }
        return {name: tags for name, tags in sorted(found.items()) if tags}


class ApiSource:
    """Keeps an inventory equal to a Kubernetes API."""

    def __init__(self, held: Inventory, connecting: Connecting, clock: Clock) -> None:
        self._held, self._connecting, self._clock = held, connecting, clock

    async def run(self, stop: asyncio.Event) -> None:
        """Follow every resource until `stop`.

        Where it is not told whom to ask, it says so and looks again: a cluster enforces without it.
        """
        while not stop.is_set():
            try:
                await self._follow(stop)
            except ConfigError as error:
                log.error("kubernetes_unknown", error=error.message, remedy=error.remedy)  # noqa: TRY400
                self._held.failed("connection", error)
                await first(stop.wait(), timeout=RETRY_SECONDS)

    async def _follow(self, stop: asyncio.Event) -> None:
        async with self._connecting() as api, asyncio.TaskGroup() as group:
            self._held.failed("connection", None)
            tasks = [
                group.create_task(
                    Reflector(api, one, self._held, self._clock).run(), name=f"watch {one.kind}"
                )
                for one in RESOURCES
            ]
            tasks.append(group.create_task(self._ask_version(api), name="kubernetes version"))
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _ask_version(self, api: KubernetesApi) -> None:
        """Ask the version now and every hour: an API server is upgraded while its clients run."""
        while True:
            try:
                found = await api.get("/version")
                self._held.version = str(found.get("gitVersion", ""))
                pause = 3600.0
            except FedbusError:
                pause = RETRY_SECONDS  # the lists say what is wrong
            await asyncio.sleep(pause)


class FileSource:
    """Keeps an inventory equal to a file of Kubernetes objects, such as `kubectl get -o yaml` writes."""

    def __init__(self, held: Inventory, file: Path) -> None:
        self._held, self._file = held, file
        self._seen: object = ()

    async def run(self, stop: asyncio.Event) -> None:
        """Read the file whenever it changes, until `stop`; one that is wrong leaves what was read before."""
        while not stop.is_set():
            if (stamp := await asyncio.to_thread(_stamp, self._file)) != self._seen:
                self._seen = stamp
                await self._read()
            await first(stop.wait(), timeout=FILE_SECONDS)

    async def _read(self) -> None:
        try:
            found = await asyncio.to_thread(read, self._file)
        except FedbusError as error:
            log.warning("inventory_file_refused", error=error.message)
            self._held.failed("file", error)
            return
        for kind, objects in found.items():
            self._held.replace(kind, objects)
        self._held.failed("file", None)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Return what changes with the content of a file, None where there is none."""
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def read(file: Path) -> dict[str, dict[tuple[str, str], Kept]]:
    """Return what a file holds, by kind. Raises InvalidInput, Unavailable."""
    try:
        if file.stat().st_size > MAX_FILE:
            raise InvalidInput(f"{file} is larger than {MAX_FILE} bytes", code="INVENTORY_INVALID")
        documents = list(yaml.load_all(file.read_bytes(), Loader=yaml.CSafeLoader))
        kept = inventory.kept_of(documents)
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror}", code="INVENTORY_UNREADABLE") from error
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} is neither YAML nor JSON: {error}", code="INVENTORY_INVALID") from error
    found: dict[str, dict[tuple[str, str], Kept]] = {one.kind: {} for one in RESOURCES}
    for (kind, namespace, name), one in kept.items():
        found[kind][namespace, name] = one
    return found
