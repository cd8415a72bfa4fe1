"""Custom paths: where they start, what a number in them means, and what is not there."""

from typing import Any

import pytest

from tests.support.admission import decide, pod, rule


def denied(manifest: dict[str, Any], path: str, op: str, value: str = "", kind: str = "key") -> bool:
    criterion = {
        "name": "mine",
        "type": "customPath",
        "path": path,
        "op": op,
        "value": value,
        "value_type": kind,
    }
    return not decide(manifest, local=[rule(criterion)]).allowed


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "CronJob", "Job"])
def test_a_path_starts_at_the_pod_of_every_kind(kind: str) -> None:
    manifest = pod(kind=kind, spec={"hostname": "a"})

    assert denied(manifest, "item.spec.hostname", "exist")
    assert denied(manifest, "item.spec.hostname", "containsAny", "a", "string")


def test_what_only_the_resource_has_is_found_there() -> None:
    manifest = pod()
    manifest["spec"]["replicas"] = 5

    assert denied(manifest, "item.spec.replicas", ">", "3", "number")
    assert not denied(manifest, "item.spec.replicas", "notExist")
    assert denied(pod(), "item.spec.replicas", "notExist")


TWO = {"containers": [{"name": "a", "image": "x", "tty": True}, {"name": "b", "image": "y", "tty": False}]}


def test_a_number_stands_for_every_item() -> None:
    assert denied(pod(spec=TWO), "item.spec.containers.0.tty", "=", "false", "boolean")
    assert denied(pod(spec=TWO), "item.spec.containers.0.name", "notContainsAny", "a", "string")
    assert not denied(pod(spec=TWO), "item.spec.containers.0.name", "containsAny", "c", "string")


def test_any_item_without_the_path_lacks_it() -> None:
    spec = {"containers": [{"name": "a", "image": "x", "livenessProbe": {}}, {"name": "b", "image": "y"}]}

    assert denied(pod(spec=spec), "item.spec.containers.0.livenessProbe", "notExist")
    assert denied(pod(spec=spec), "item.spec.containers.0.livenessProbe", "exist")


def test_no_item_at_all_lacks_it_too() -> None:
    assert denied(pod(), "item.spec.volumes.0.name", "notExist")
    assert not denied(pod(), "item.spec.volumes.0.name", "exist")


def test_sidecars_are_left_out() -> None:
    spec = {"containers": [{"name": "a", "image": "x"}, {"name": "p", "image": "istio/proxyv2", "tty": True}]}

    assert not denied(pod(spec=spec), "item.spec.containers.0.tty", "exist")


@pytest.mark.parametrize(
    ("written", "kind", "op", "value"),
    [
        ("5", "number", "=", "5"),
        (True, "number", "=", "1"),
        (1, "boolean", "=", "true"),
        (5, "string", "containsAny", "5"),
    ],
)
def test_a_value_of_another_type_does_not_compare(written: Any, kind: str, op: str, value: str) -> None:
    assert not denied(pod(spec={"x": written}), "item.spec.x", op, value, kind)


def test_several_custom_criteria_must_all_hold() -> None:
    def one(name: str) -> dict[str, str]:
        return {
            "name": "n",
            "type": "customPath",
            "path": f"item.spec.{name}",
            "op": "exist",
            "value_type": "key",
        }

    both = rule(one("hostname"), one("subdomain"))

    assert decide(pod(spec={"hostname": "a"}), local=[both]).allowed
    assert not decide(pod(spec={"hostname": "a", "subdomain": "b"}), local=[both]).allowed


def test_other_criteria_stand_beside_a_custom_one() -> None:
    path = {
        "name": "n",
        "type": "customPath",
        "path": "item.spec.hostname",
        "op": "exist",
        "value_type": "key",
    }
    image = {"name": "image", "op": "containsAny", "value": "redis"}

    assert decide(pod(spec={"hostname": "a"}), local=[rule(path, image)]).allowed
