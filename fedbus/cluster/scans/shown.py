"""Scan results as NeuVector's API shows them, with their source and age beside."""

from typing import Any

import msgspec

from fedbus.model.scan import Report, ScannedImage, Source, is_federated
from fedbus.runtime import rfc3339
from fedbus.store.scans import Brief, Listed


class ShownImage(msgspec.Struct, frozen=True, kw_only=True):
    """One scanned image: NeuVector's image summary, and where the result comes from.

    `federated` tells the federation's results from the cluster's own; `age_seconds` is since the scan.
    """

    domain: str = ""
    registry: str
    repository: str
    tag: str
    image_id: str
    digest: str
    size: int = 0
    author: str = ""
    created_at: str = ""
    base_os: str = ""
    status: str = ""
    result: str = ""
    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    scanned_timestamp: int = 0
    scanned_at: str = ""
    scanner_version: str = ""
    cvedb_create_time: str = ""
    scanner: str = ""
    source: Source = "registry"
    federated: bool = False
    age_seconds: int | None = None


class ShownImages(msgspec.Struct, frozen=True, kw_only=True):
    """A page of images; `next_cursor` goes on behind it, and is empty at the end."""

    images: list[ShownImage]
    next_cursor: str = ""


class ShownReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report: NeuVector's scan report, what it is of, and where it comes from."""

    image: ShownImage
    report: dict[str, Any]


class WithCve(msgspec.Struct, frozen=True, kw_only=True):
    """The images that a vulnerability is in; `total` counts reports, each page has some of them."""

    cve: str
    total: int
    images: list[ShownImage]
    next_cursor: str = ""


def image(brief: Brief, now: float, tag: ScannedImage | None = None) -> ShownImage:
    """Return an image that was scanned; under a tag of it, if one is given."""
    return ShownImage(
        registry=tag.registry if tag else brief.registry,
        repository=tag.repository if tag else brief.repository,
        tag=tag.tag if tag else brief.tag,
        image_id=brief.image_id,
        digest=brief.digest,
        size=brief.size,
        author=brief.author,
        created_at=_moment(brief.created_at),
        base_os=brief.base_os,
        status="finished",
        result="succeeded",
        critical=brief.critical,
        high=brief.high,
        medium=brief.medium,
        low=brief.low,
        scanned_timestamp=int(brief.scanned_at),
        scanned_at=_moment(brief.scanned_at),
        scanner_version=brief.cvedb_version,
        cvedb_create_time=brief.cvedb_create_time,
        scanner=brief.scanner,
        source=brief.source,
        federated=is_federated(brief.registry),
        age_seconds=max(0, int(now - brief.scanned_at)) if brief.scanned_at else None,
    )


def listed(one: Listed, now: float) -> ShownImage:
    """Return a tag; one whose digest has no report says no more than its name."""
    if one.brief is not None:
        return image(one.brief, now, one.image)
    i = one.image
    return ShownImage(
        registry=i.registry, repository=i.repository, tag=i.tag, image_id=i.image_id, digest=i.digest
    )


def report(content: Report) -> dict[str, Any]:
    """Return a report with all of NeuVector's fields, those that are empty too."""
    return {
        "os_scan_status": "succeeded",
        "vulnerabilities": [_full(one) for one in content.vulnerabilities],
        "modules": [_full(one) for one in content.modules],
        "checks": [_full(one) for one in content.checks],
        "secrets": [_full(one) for one in content.secrets or ()],
        "setid_perms": [_full(one) for one in content.setid_perms],
        "envs": content.envs,
        "labels": content.labels,
        "cmds": content.cmds,
        "run_as_root": content.run_as_root,
        "signature_data": _full(content.signature),
        "platform": content.platform,
        "scanner": content.scanner,
        "scanner_version": content.scanner_version,
        "cvedb_version": content.cvedb_version,
        "cvedb_create_time": content.cvedb_create_time,
    }


def layers(content: Report) -> list[dict[str, Any]]:
    """Return the layers of an image, each with its vulnerabilities."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for found in content.vulnerabilities:
        by_name.setdefault(found.name, []).append(_full(found))
    return [
        {
            "digest": layer.digest,
            "cmds": layer.cmds,
            "size": layer.size,
            "vulnerabilities": [one for name in layer.vulnerabilities for one in by_name.get(name, ())],
        }
        for layer in content.layers
    ]


def _full(one: msgspec.Struct) -> dict[str, Any]:
    """Return every field of a struct, also of those within."""
    return {
        name: [_full(v) for v in value]
        if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct)
        else value
        for name, value in msgspec.structs.asdict(one).items()
    }


def _moment(seconds: float) -> str:
    return rfc3339(seconds) if seconds else ""
