"""Trivy's report of a Kubernetes cluster: the images of its workloads, each a report of its own."""

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from fedbus.core.scan.identity import first_digest, target_name
from fedbus.errors import InvalidInput
from fedbus.scan.importers import trivy
from fedbus.scan.importers.reading import Part, decode, failed, refusal


class _Cluster(msgspec.Struct, frozen=True, rename="pascal"):
    resources: list[msgspec.Raw] | None = None
    findings: list[msgspec.Raw] | None = None
    vulnerabilities: list[msgspec.Raw] | None = None


class _Resource(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    metadata: list[trivy.Metadata] | trivy.Metadata | None = None
    results: list[trivy.Result] | None = None
    error: str | None = None


def parts(raw: bytes) -> Iterator[Part]:
    """Return one report an image; an image of several workloads is reported once."""
    cluster: _Cluster = decode(raw, _Cluster)
    seen: set[str] = set()
    for field in ("resources", "findings", "vulnerabilities"):
        for index, one in enumerate(getattr(cluster, field) or ()):
            yield from _of_resource(one, f"$.{field.capitalize()}[{index}]", seen)


def _of_resource(raw: msgspec.Raw, path: str, seen: set[str]) -> Iterator[Part]:
    try:
        resource: _Resource = decode(raw, _Resource, path)
    except InvalidInput as error:
        yield failed(path, error)
        return
    if resource.error and not resource.results:
        why = f"Trivy could not scan {resource.kind} {resource.namespace}/{resource.name}: {resource.error}"
        yield failed(path, refusal(path, why[:1024]))
        return
    given = resource.metadata
    metadata = given if isinstance(given, list) else [given] if given else []
    for position, results in enumerate(_by_image(resource.results or [])):
        about = _about(metadata, trivy.image_of(results), position)
        identity = first_digest(about.repo_digests, about.image_id) or trivy.image_of(results)
        if identity and identity in seen:
            continue
        seen.add(identity)
        document = trivy.Document(artifact_name=trivy.image_of(results), metadata=about, results=results)
        yield Part(path, partial(trivy.report, document))


def _by_image(results: Sequence[trivy.Result]) -> list[list[trivy.Result]]:
    """Split the results of a workload by image: the packages of a system begin a new one."""
    found: list[list[trivy.Result]] = []
    for one in results:
        if one.misconfigurations and not one.vulnerabilities:
            continue  # of the workload's manifest, not of an image
        if not found or target_name(one.target or "")[1]:
            found.append([])
        found[-1].append(one)
    return found


def _about(metadata: Sequence[trivy.Metadata], name: str, position: int) -> trivy.Metadata:
    """Return what is known of the image of this name, or else at this position if there is one for each."""
    for one in metadata:
        if name and name in (one.repo_tags or ()):
            return one
    if position < len(metadata) and not (name and metadata[position].repo_tags):
        return metadata[position]
    return trivy.Metadata()
