"""The example in `deploy/nats/`: what `fedbus bus config` writes, from a keyring that anybody can make.

`python -m tests.support.deploy_example` writes it anew. Certificates and keys are not part of it.
"""

import itertools
import tempfile
from collections.abc import Mapping
from hashlib import shake_256
from pathlib import Path

from fedbus.bus.deployment import CONFIG, Layout, Node, files_of
from fedbus.pki.ca import Randomness
from fedbus.pki.keyring import Keyring

DIRECTORY = Path(__file__).parents[2] / "deploy" / "nats"
NODES = [Node(name=f"n{i}", host=f"nats-{i}.fed.example.com") for i in (1, 2, 3)]
_NOW = 1_767_225_600.0
"""The first second of 2026."""


def files(layout: Layout) -> Mapping[str, Mapping[str, bytes]]:
    """Return every node's files, the same at every call but for their paths."""
    randomness = _predictable()
    with tempfile.TemporaryDirectory() as directory:
        keyring = Keyring.create(
            Path(directory) / "keyring", federation_id="example", hosts=["nats-1.fed.example.com"],
            now=_NOW, randomness=randomness,
        )  # fmt: skip
    return {
        node.name: files_of(node, NODES, keyring, layout, now=_NOW, randomness=randomness) for node in NODES
    }


def _predictable() -> Randomness:
    calls = itertools.count()
    return lambda size: shake_256(f"an example {next(calls)}".encode()).digest(size)


if __name__ == "__main__":
    for name, made in files(Layout()).items():
        target = DIRECTORY / name
        target.mkdir(parents=True, exist_ok=True)
        (target / CONFIG).write_bytes(made[CONFIG])
