"""What is kept of Kubernetes objects, whatever they look like, and what that adds up to."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import inventory
from fedbus.core.workload import POD_PATHS
from fedbus.errors import InvalidInput
from fedbus.model.inventory import RunningImage
from tests.support.kubernetes import named, node, pod

DIGEST = "sha256:" + "a" * 64

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "image", "kind", "controller", "containers"]), inner)
    ),
    max_leaves=10,
)
_KINDS = [*POD_PATHS, *inventory.ROLES, *inventory.BINDINGS, "Node", "Namespace", "Secret", 7]


@given(
    st.sampled_from(_KINDS), st.dictionaries(st.sampled_from(["metadata", "spec", "status", "rules"]), _json)
)
def test_any_object_is_kept_or_refused(kind: Any, parts: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidInput):
        kept = inventory.kept({"kind": kind} | parts)
        if kept is not None:
            inventory.counts([kept])
            msgspec.json.encode(kept)


def test_secrets_and_what_controllers_made_are_not_kept() -> None:
    replica_set = named("ReplicaSet", "r", "shop")
    replica_set["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "d", "controller": True}]
    assert inventory.kept(named("Secret", "s", "shop")) is None
    assert inventory.kept(replica_set) is None
    owned = inventory.kept(pod("p", owner="r"))
    assert owned is not None
    assert (owned.root, owned.body) == (False, b"")


@pytest.mark.parametrize("filler", ["", "x" * 10_000])
def test_a_workload_is_kept_as_it_was_written_without_what_the_server_adds(filler: str) -> None:
    written = named("Deployment", "d", "shop", apiVersion="apps/v1", spec={"note": filler})
    sent = written | {"status": {"replicas": 1}}
    sent["metadata"] = written["metadata"] | {"managedFields": [{"manager": "kubectl"}]}

    kept = inventory.kept(sent)

    assert kept is not None
    assert inventory.manifest(kept) == written


def test_a_cluster_in_numbers() -> None:
    documents = [
        node("n1"), node("n2"), named("Namespace", "shop"), named("Service", "web", "shop"),
        named("Deployment", "d", "shop"), pod("a", owner="r"), pod("b", owner="r", phase="Pending"), pod("c"),
    ]  # fmt: skip
    found = list(inventory.kept_of([{"kind": "List", "items": documents}]).values())

    counts = inventory.counts(found, unscanned=1)

    assert (counts.hosts, counts.namespaces, counts.services, counts.workloads) == (2, 1, 1, 2)
    assert (counts.pods, counts.running_pods, counts.images, counts.unscanned_images) == (3, 2, 1, 1)
    assert (counts.platform, counts.version) == ("Kubernetes", "v1.31.2")
    assert inventory.running_images(found) == [
        RunningImage(image="nginx:1.27", digest=DIGEST, pods=2, namespaces=("shop",))
    ]


def test_items_of_an_apis_list_get_the_kind_that_the_list_says() -> None:
    item = {key: value for key, value in pod("a").items() if key != "kind"}
    assert [key[0] for key in inventory.kept_of([{"kind": "PodList", "items": [item]}, None])] == ["Pod"]


@pytest.mark.parametrize(
    ("provider", "version", "platform"),
    [
        ("aws:///eu/i-1", "v1.31.4-eks-1", "Kubernetes (EKS)"), ("gce://p/z/n", "", "Kubernetes (GKE)"),
        ("azure:///x", "", "Kubernetes (AKS)"), ("k3s://n", "v1.31.4+k3s1", "Kubernetes (K3s)"),
        ("", "v1.31.4+rke2r1", "Kubernetes (RKE2)"), ("", "v1.31.4", "Kubernetes"),
    ],
)  # fmt: skip
def test_platforms_are_told_by_their_nodes(provider: str, version: str, platform: str) -> None:
    found = inventory.kept_of([node("n", provider)]).values()
    assert inventory.counts(found, version=version).platform == platform
