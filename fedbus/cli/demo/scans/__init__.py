"""Scan results that the demo brings along, so that it needs neither a registry nor a scanner.

The digests and vulnerabilities that the story asks for are named here, beside the files they stand in.
"""

from importlib import resources
from importlib.resources.abc import Traversable

REGISTRY = "fed.shop"
"""The name of the federated registry whose results `registry` returns."""
ORDERS = "sha256:" + "b2" * 32
"""The digest of an image of that registry."""
ORDERS_IMAGE = "registry.shop.example/shop/orders:2.0"
WEB_IMAGE = "registry.shop.example/shop/web:1.4"
CRITICAL = "CVE-2019-16541"
"""What is critical in the first of these images, and not in the second."""
PIPELINE_CVE = "CVE-2019-11358"
"""What the image has that the pipeline scanned."""


def registry() -> dict[str, bytes]:
    """Return the results of a federated registry, one file an image, as NeuVector's scanner writes them."""
    files = sorted((_folder() / "registry").iterdir(), key=lambda file: file.name)
    return {file.name: file.read_bytes() for file in files if file.name.endswith(".json")}


def pipeline() -> bytes:
    """Return what a CI pipeline submits: the output of Trivy for one image."""
    return (_folder() / "pipeline.json").read_bytes()


def _folder() -> Traversable:
    return resources.files(__package__)
