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


def campaign(number: int) -> bytes:
    """Return one small change of many: a group that is new each time."""
    criteria = [{"key": "campaign", "op": "=", "value": str(number)}]
    spec = {"name": f"fed.campaign-{number:02}", "comment": f"Campaign {number}", "criteria": criteria}
    return msgspec.json.encode({"kind": "group", "spec": spec})  # JSON is YAML
