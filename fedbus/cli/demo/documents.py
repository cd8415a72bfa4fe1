"""The policy of the demo: YAML files in this package, to be read by people too."""

from importlib.resources import files

import msgspec

_FOLDER = files("fedbus.cli.demo") / "policy"


def policy_set() -> bytes:
    """Return objects of every kind as one YAML stream."""
    parts = sorted((_FOLDER / "set").iterdir(), key=lambda file: file.name)
    return b"---\n".join(file.read_bytes() for file in parts if file.name.endswith(".yaml"))


def update() -> bytes:
    """Return what changes in the set."""
    return (_FOLDER / "update.yaml").read_bytes()


def deletion() -> bytes:
    """Return the deletion of a group that is in use."""
    return (_FOLDER / "delete.yaml").read_bytes()


def deny() -> bytes:
    """Return an admission rule that denies what has a critical vulnerability, or was not scanned."""
    return (_FOLDER / "deny.yaml").read_bytes()


def allow() -> bytes:
    """Return the deletion of that rule."""
    return (_FOLDER / "allow.yaml").read_bytes()


def review(image: str) -> bytes:
    """Return what a Kubernetes API server asks when somebody wants to run an image."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "demo", "namespace": "shop"},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    request = {
        "uid": "00000000-0000-4000-8000-000000000001",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "shop",
        "userInfo": {"username": "jane"},
        "object": pod,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return msgspec.json.format(msgspec.json.encode(review), indent=1) + b"\n"


def campaign(number: int) -> bytes:
    """Return one small change of many: a group that is new each time."""
    criteria = [{"key": "campaign", "op": "=", "value": str(number)}]
    spec = {"name": f"fed.campaign-{number:02}", "comment": f"Campaign {number}", "criteria": criteria}
    return msgspec.json.encode({"kind": "group", "spec": spec})  # JSON is YAML
