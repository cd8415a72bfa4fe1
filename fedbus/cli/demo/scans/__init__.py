"""Scan results that the demo brings along, so that it needs neither a registry nor a scanner."""

from importlib import resources

import msgspec

from fedbus.model.scan import Report, ScannedImage

REGISTRY = "fed.shop"
"""The name of the federated registry whose results `registry` returns."""


class RegistryResults(msgspec.Struct, frozen=True):
    """What a run over a registry gave: reports, and the tags that name their digests."""

    reports: list[Report]
    images: list[ScannedImage]


def registry() -> RegistryResults:
    """Return the results of a federated registry with four images."""
    return msgspec.json.decode(_content("registry.json"), type=RegistryResults)


def pipeline() -> bytes:
    """Return what a CI pipeline submits: the output of Trivy for one image."""
    return _content("pipeline.json")


def _content(name: str) -> bytes:
    return (resources.files(__package__) / name).read_bytes()
