"""Names: what NeuVector calls something in a cluster, and what it is called in the federation."""

from fedbus.core.exchange.reading import Conversion
from fedbus.model.policy.scope import PREFIX

_OF_ONE_CLUSTER = ("host:", "workload:", "nv.ip.")
"""How groups start that NeuVector makes for what runs in one cluster; none of it exists in another."""


def federal(name: str, path: str, out: Conversion, *, kept: frozenset[str] = frozenset()) -> str:
    """Return `name` with the prefix of federated objects, saying so; names in `kept` stay as they are."""
    if not name or name in kept or name.startswith(PREFIX):
        return name
    if name.lower().startswith(_OF_ONE_CLUSTER):
        out.refuse(path, f"{name!r} belongs to one cluster; a federated rule cannot use it")
        return name
    out.remark(path, f"{name!r} is called {PREFIX + name!r} in the federation")
    return PREFIX + name
