"""The inventory follows a Kubernetes API through everything that breaks a watch, and a file."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from fedbus.errors import ConfigError, Forbidden, InvalidInput, Unavailable
from fedbus.kube import client, inventory
from fedbus.kube.inventory import RBAC, ApiSource, FileSource, Inventory
from fedbus.runtime import Clock
from tests.support.daemons import eventually
from tests.support.kubernetes import Kubernetes, named, node, pod

PODS, NODES, DEPLOYMENTS = "/api/v1/pods", "/api/v1/nodes", "/apis/apps/v1/deployments"


class Prompt(Clock):
    """A clock that takes every back-off down to next to nothing."""

    def jitter(self) -> float:
        return -1 / 3


class Scene:
    """A Kubernetes API and an inventory that follows it."""

    def __init__(self, api: Kubernetes, held: Inventory) -> None:
        self.api, self.held = api, held

    async def until(self, check: Callable[[], object]) -> None:
        async def checked() -> bool:
            return bool(check())

        await eventually(checked, 5.0)

    async def pods(self, *names: str) -> None:
        """Wait until exactly these pods are held."""
        await self.until(
            lambda: sorted(o.name for o in self.held.objects() if o.kind == "Pod") == sorted(names)
        )


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with Kubernetes() as api:
        await api.put(NODES, node("n1"))
        await api.put(PODS, pod("one"))
        held, stop = Inventory(), asyncio.Event()
        connecting = partial(client.connected, "kubeconfig", api.kubeconfig(tmp_path / "kubeconfig"))
        source = ApiSource(held, connecting, Prompt())
        async with asyncio.TaskGroup() as group:
            group.create_task(source.run(stop))
            try:
                made = Scene(api, held)
                await made.pods("one")
                await made.until(lambda: api.watches[PODS] and held.version)
                yield made
            finally:
                stop.set()


async def test_a_watch_brings_what_comes_changes_and_goes(scene: Scene) -> None:
    await scene.api.put(PODS, pod("two", phase="Pending"))
    await scene.pods("one", "two")
    assert scene.held.counts().running_pods == 1

    await scene.api.put(PODS, pod("two"))
    await scene.until(lambda: scene.held.counts().running_pods == 2)
    await scene.api.delete(PODS, "one", "shop")

    await scene.pods("two")
    assert scene.api.lists[PODS] == 1


async def test_a_watch_that_is_cut_in_a_line_goes_on_from_the_last_version(scene: Scene) -> None:
    await scene.api.put(PODS, pod("two"))
    await scene.pods("one", "two")
    seen = str(scene.api.version)
    await scene.api.cut()
    await scene.api.put(PODS, pod("three"))

    await scene.pods("one", "two", "three")

    assert scene.api.lists[PODS] == 1
    assert seen in scene.api.since


async def test_a_bookmark_moves_the_version_that_a_watch_goes_on_from(scene: Scene) -> None:
    await scene.api.bookmark(PODS)
    marked = str(scene.api.version)
    await scene.api.put(PODS, pod("two"))
    await scene.pods("one", "two")
    await scene.api.delete(PODS, "two", "shop")
    await scene.api.bookmark(PODS)
    await scene.pods("one")
    scene.api.compact()  # only what a bookmark told is known now
    await scene.until(lambda: True)
    await scene.api.cut()
    await scene.api.put(PODS, pod("three"))

    await scene.pods("one", "three")
    assert marked != str(scene.api.version)
    assert scene.api.lists[PODS] == 1


@pytest.mark.parametrize("by_status", [True, False])
async def test_gone_means_that_everything_is_listed_again(scene: Scene, by_status: bool) -> None:
    scene.api.gone_by_status = by_status
    scene.api.lose(PODS, "one", "shop")
    await scene.api.put(PODS, pod("two"))
    await scene.pods("one", "two")
    await scene.api.put(NODES, node("n2"))
    scene.api.compact()
    await scene.api.cut()

    await scene.pods("two")

    assert scene.api.lists[PODS] == 2


async def test_an_api_that_is_away_is_waited_for_and_said(scene: Scene) -> None:
    scene.api.broken = True
    await scene.api.cut()
    await scene.until(lambda: "Pod" in scene.held.errors)
    assert not scene.held.counts().complete
    assert scene.held.counts().pods == 1  # what was known is still told

    scene.api.broken = False
    await scene.api.put(PODS, pod("two"))

    await scene.pods("one", "two")
    await scene.until(lambda: not scene.held.errors)


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"\xff", b'{"type": "ADDED"}', b'{"type": "ADDED", "object": 7}',
     b'{"type": "ADDED", "object": {"metadata": {"name": 7}}}',
     b'{"type": "MODIFIED", "object": {"metadata": {"name": "x", "ownerReferences": 7}}}',
     b'{"type": "ERROR", "object": {"code": 500, "message": "no"}}', b'{"type": "NEWS", "object": {}}'],
)  # fmt: skip
async def test_odd_events_harm_nothing(scene: Scene, line: bytes) -> None:
    await scene.api.raw(line)
    await scene.api.put(PODS, pod("two"))

    await scene.pods("one", "two")


async def test_pages_are_put_together(scene: Scene) -> None:
    for number in range(450):
        scene.api.objects[PODS]["shop", f"p{number}"] = pod(f"p{number}")
    scene.api.compact()
    await scene.api.put(NODES, node("n2"))
    scene.api.compact()
    await scene.api.cut()

    await scene.until(lambda: scene.held.counts().pods == 451)


async def test_a_kind_that_may_not_be_read_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    async with Kubernetes() as api:
        api.forbidden.add(PODS)
        api.missing.add("/apis/apps.openshift.io/v1/deploymentconfigs")
        await api.put(NODES, node("n1", "aws:///zone/i-1"))
        held, stop = Inventory(), asyncio.Event()
        connecting = partial(client.connected, "kubeconfig", api.kubeconfig(tmp_path / "kubeconfig"))
        async with asyncio.TaskGroup() as group:
            group.create_task(ApiSource(held, connecting, Prompt()).run(stop))
            made = Scene(api, held)
            await made.until(lambda: held.counts().hosts == 1 and "Pod" in held.errors and held.version)
            stop.set()

    assert set(held.errors) == {"Pod"}
    counts = held.counts()
    assert (counts.platform, counts.version, counts.complete) == ("Kubernetes (EKS)", "v1.31.4", False)


async def test_a_wrong_token_is_said(tmp_path: Path) -> None:
    async with (
        Kubernetes() as api,
        client.connected("kubeconfig", api.kubeconfig(tmp_path / "k", token="wrong")) as connected,
    ):
        with pytest.raises(Forbidden) as refused:
            await connected.get("/version")
    assert refused.value.code == "KUBERNETES_FORBIDDEN"


@pytest.mark.parametrize("content", [None, "", "[]", "clusters: 7", "{", "clusters: []\ncontexts: []"])
async def test_a_wrong_kubeconfig_is_said(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        async with client.connected("kubeconfig", file):
            pass
    assert refused.value.code == "KUBECONFIG_INVALID"


async def test_roles_are_those_of_all_bindings_and_follow_them(scene: Scene) -> None:
    rules = [{"verbs": ["get"], "resources": ["secrets"]}]
    await scene.api.put(f"{RBAC}/clusterroles", named("ClusterRole", "reader", rules=rules))
    await scene.api.put("/api/v1/serviceaccounts", named("ServiceAccount", "web", "shop"))
    binding = named(
        "RoleBinding",
        "b",
        "shop",
        roleRef={"kind": "ClusterRole", "name": "reader"},
        subjects=[{"kind": "ServiceAccount", "name": "web", "namespace": "shop"}],
    )
    await scene.api.put(f"{RBAC}/rolebindings", binding)
    odd = named("RoleBinding", "odd", "shop", roleRef=7, subjects=[{"kind": "Group"}, 7])
    await scene.api.put(f"{RBAC}/rolebindings", odd)

    await scene.until(lambda: scene.held.risky_roles("shop", "web") == ("risky_role_view_secret",))
    assert scene.held.risky_roles("lab", "web") == ()
    assert scene.held.risky_accounts() == {"shop/web": ("risky_role_view_secret",)}

    await scene.api.delete(f"{RBAC}/rolebindings", "b", "shop")
    await scene.until(lambda: scene.held.risky_roles("shop", "web") == ())


async def test_a_file_is_read_again_when_it_changes_and_kept_while_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "FILE_SECONDS", 0.01)
    file, held, stop = tmp_path / "cluster.json", Inventory(), asyncio.Event()
    made = Scene(Kubernetes(), held)
    async with asyncio.TaskGroup() as group:
        group.create_task(FileSource(held, file).run(stop))
        await made.until(lambda: "file" in held.errors)
        file.write_text(json.dumps({"kind": "List", "items": [pod("one"), node("n1")]}))
        await made.pods("one")
        file.write_text("{")
        await made.until(lambda: "file" in held.errors)
        await made.pods("one")
        file.write_text(json.dumps(pod("two", owner="r")) + "\n")
        await made.pods("two")
        stop.set()
    assert held.counts().workloads == 0
    assert held.images()[0].digest == "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"- 1\n- [",
        b"7",
        b"kind: Pod\nmetadata: 7",
        b"kind: Pod\nmetadata: {name: a}\nspec: &a {again: *a}",
        b"[" * 3000,
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InvalidInput):
        inventory.read(tmp_path / "f")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        inventory.read(tmp_path / "f")
