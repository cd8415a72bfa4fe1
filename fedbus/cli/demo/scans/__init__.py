"""Scan results that the demo brings along, so that it needs neither a registry nor a scanner."""

from importlib import resources

REGISTRY = "fed.shop"
"""The name of the federated registry whose results `registry` returns."""


def registry() -> list[bytes]:
    """Return the results of a federated registry with four images, a file each, in NeuVector's form."""
    folder = resources.files(__package__) / "registry"
    return [file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)]


def pipeline() -> bytes:
    """Return what a CI pipeline submits: the output of Trivy for one image."""
    return (resources.files(__package__) / "pipeline.json").read_bytes()
