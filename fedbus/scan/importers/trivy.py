"""Trivy's JSON: schema 2, the older list of results, and `null`, which it once wrote for no results."""

from collections.abc import Iterator, Sequence

import msgspec

from fedbus.core.scan import image, packages, secrets
from fedbus.core.scan.findings import Findings
from fedbus.core.scan.identity import first_digest, reference, target_name
from fedbus.core.scan.image import ImageConfig
from fedbus.core.scan.values import cut, cves, moment, score, seconds, severity, size, texts
from fedbus.model.scan import Check, Layer, Report, Secret, Vulnerability
from fedbus.scan.importers.reading import Part, decode


class _Struct(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    pass


class Cvss(_Struct, frozen=True):
    """The scores of one source."""

    v2_score: float | None = msgspec.field(name="V2Score", default=None)
    v3_score: float | None = msgspec.field(name="V3Score", default=None)
    v40_score: float | None = msgspec.field(name="V40Score", default=None)
    v2_vector: str | None = msgspec.field(name="V2Vector", default=None)
    v3_vector: str | None = msgspec.field(name="V3Vector", default=None)
    v40_vector: str | None = msgspec.field(name="V40Vector", default=None)


class Identifier(_Struct, frozen=True):
    """How a package is known elsewhere."""

    purl: str | None = msgspec.field(name="PURL", default=None)


class LayerRef(_Struct, frozen=True):
    """The layer that brought something."""

    digest: str | None = None
    diff_id: str | None = msgspec.field(name="DiffID", default=None)
    size: int | None = None


class Found(_Struct, frozen=True):
    """One vulnerability."""

    vulnerability_id: str = msgspec.field(name="VulnerabilityID")
    vendor_ids: list[str] | None = msgspec.field(name="VendorIDs", default=None)
    pkg_name: str | None = None
    pkg_path: str | None = None
    pkg_identifier: Identifier | None = None
    installed_version: str | None = None
    fixed_version: str | None = None
    status: str | None = None
    layer: LayerRef | None = None
    severity_source: str | None = None
    primary_url: str | None = msgspec.field(name="PrimaryURL", default=None)
    title: str | None = None
    description: str | None = None
    severity: str | None = None
    cvss: dict[str, Cvss] | None = msgspec.field(name="CVSS", default=None)
    references: list[str] | None = None
    published_date: str | float | None = None
    last_modified_date: str | float | None = None


class Package(_Struct, frozen=True):
    """One package."""

    name: str | None = None
    version: str | None = None
    release: str | None = None
    epoch: int | None = None
    file_path: str | None = None
    identifier: Identifier | None = None


class FoundSecret(_Struct, frozen=True):
    """One secret in a file."""

    rule_id: str | None = msgspec.field(name="RuleID", default=None)
    title: str | None = None
    match: str | None = None
    start_line: int | None = None


class Misconfiguration(_Struct, frozen=True):
    """One check of a configuration file."""

    id: str | None = msgspec.field(name="ID", default=None)
    type: str | None = None
    title: str | None = None
    description: str | None = None
    message: str | None = None
    resolution: str | None = None
    status: str | None = None


class Result(_Struct, frozen=True):
    """What was found in one target: the system's packages, or those of one file."""

    target: str | None = None
    class_: str | None = msgspec.field(name="Class", default=None)
    type: str | None = None
    packages: list[Package] | None = None
    vulnerabilities: list[Found] | None = None
    secrets: list[FoundSecret] | None = None
    misconfigurations: list[Misconfiguration] | None = None


class Os(_Struct, frozen=True):
    """The distribution."""

    family: str | None = None
    name: str | None = None


class Metadata(_Struct, frozen=True):
    """What is known of the image."""

    size: int | None = None
    os: Os | None = msgspec.field(name="OS", default=None)
    image_id: str | None = msgspec.field(name="ImageID", default=None)
    repo_tags: list[str] | None = None
    repo_digests: list[str] | None = None
    image_config: ImageConfig | None = None
    layers: list[LayerRef] | None = None


class Program(_Struct, frozen=True):
    """The scanner."""

    version: str | None = None


class Document(_Struct, frozen=True):
    """One report."""

    schema_version: int | None = None
    trivy: Program | None = None
    created_at: str | None = None
    artifact_name: str | None = None
    artifact_type: str | None = None
    metadata: Metadata | None = None
    results: list[Result] | None = None


_PREFERRED = ("nvd", "ghsa", "redhat")


def parts(raw: bytes) -> Iterator[Part]:
    """Return the one report of a file of schema 2."""
    yield Part("$", lambda: report(decode(raw, Document)))


def legacy_parts(raw: bytes) -> Iterator[Part]:
    """Return the one report of a list of results, or of `null`."""
    yield Part("$", lambda: _legacy(raw))


def _legacy(raw: bytes) -> Report:
    results: list[Result] = decode(raw, list[Result] | None) or []
    return report(Document(artifact_name=image_of(results), results=results))


def image_of(results: Sequence[Result]) -> str:
    """Return the name of the image whose system's packages are among the results."""
    return next((name for one in results for name, os in [target_name(one.target or "")] if os), "")


def report(document: Document) -> Report:
    """Return what a document says."""
    results, about = document.results or [], document.metadata or Metadata()
    config = about.image_config or ImageConfig()
    named = reference(next((one for one in (*(about.repo_tags or ()), document.artifact_name) if one), ""))
    found = Findings()
    base_os = _base_os(about, results)
    for result in results:
        _read_result(result, found, base_os)
    return Report(
        digest=first_digest(about.repo_digests, named.digest),
        registry_url=named.registry,
        repository=named.repository,
        tag=named.tag,
        image_id=cut(about.image_id, 255),
        scanner="trivy",
        scanner_version=cut(document.trivy.version if document.trivy else "", 64),
        scanned_at=moment(document.created_at),
        created_at=config.created_at,
        author=cut(config.author, 256),
        size=size(about.size),
        base_os=base_os,
        platform=cut(config.platform, 64),
        run_as_root=config.run_as_root,
        envs=config.envs,
        labels=config.labels,
        cmds=config.cmds,
        layers=_layers(about.layers or [], found, config),
        vulnerabilities=found.vulnerabilities,
        modules=found.modules,
        checks=tuple(_check(one) for result in results for one in result.misconfigurations or ()),
        secrets=_secrets(results),
    )


def _base_os(about: Metadata, results: Sequence[Result]) -> str:
    if about.os and about.os.family:
        return cut(f"{about.os.family}:{about.os.name}" if about.os.name else about.os.family, 128)
    return cut(next((os for one in results for _, os in [target_name(one.target or "")] if os), ""), 128)


def _layers(given: Sequence[LayerRef], found: Findings, config: ImageConfig) -> tuple[Layer, ...]:
    named = [
        (one.digest or one.diff_id or "", one.size, found.in_layer(one.digest or "", one.diff_id or ""))
        for one in given
    ]
    return image.layers(named, config.layer_cmds)


def _read_result(result: Result, found: Findings, base_os: str) -> None:
    is_os = result.class_ == "os-pkgs" or (not result.class_ and bool(target_name(result.target or "")[1]))
    source = base_os if is_os else cut(result.type, 64)
    file = "" if is_os else cut(result.target, 1024)
    for package in result.packages or ():
        url = package.identifier.purl if package.identifier else None
        found.module(
            package.name or "",
            _full_version(package),
            packages.ecosystem(url, result.type),
            source=source,
            file=cut(package.file_path, 1024) or file,
        )
    for one in result.vulnerabilities or ():
        url = one.pkg_identifier.purl if one.pkg_identifier else None
        layer = one.layer or LayerRef()
        made = _vulnerability(one, file)
        found.add(
            made,
            ecosystem=packages.ecosystem(url, result.type),
            source=source,
            status=packages.fix_status(one.status, made.fixed_version),
            layers=(layer.digest or "", layer.diff_id or ""),
        )


def _full_version(package: Package) -> str:
    epoch = f"{package.epoch}:" if package.epoch else ""
    release = f"-{package.release}" if package.release else ""
    return f"{epoch}{package.version or ''}{release}"


def _vulnerability(one: Found, file: str) -> Vulnerability:
    v2, v3 = _scores(one)
    return Vulnerability(
        name=cut(one.vulnerability_id, 255),
        severity=severity(one.severity),
        score=score(v2.v2_score),
        vectors=cut(v2.v2_vector, 255),
        score_v3=score(v3.v3_score) or score(v3.v40_score),
        vectors_v3=cut(v3.v3_vector if v3.v3_score else v3.v40_vector, 255),
        description=cut(one.description or one.title),
        file_name=cut(one.pkg_path, 1024) or file,
        package_name=cut(one.pkg_name, 512),
        package_version=cut(one.installed_version, 256),
        fixed_version=cut(one.fixed_version, 512),
        link=cut(one.primary_url or next(iter(one.references or ()), ""), 1024),
        published_timestamp=seconds(one.published_date),
        last_modified_timestamp=seconds(one.last_modified_date),
        cves=cves(one.vulnerability_id, one.vendor_ids or ()),
        feed_rating=cut(one.severity_source, 64),
    )


def _scores(one: Found) -> tuple[Cvss, Cvss]:
    """Return the sources whose scores of version 2 and 3 count: the severity's own first.

    A score of version 4 stands in where no source has one of version 3; its vector says so.
    """
    given = one.cvss or {}
    order = (one.severity_source or "", *_PREFERRED, *sorted(given))
    known = [given[source] for source in order if source in given]
    none = Cvss()
    v2 = next((found for found in known if found.v2_score), none)
    v4 = next((found for found in known if found.v40_score), none)
    return v2, next((found for found in known if found.v3_score), v4)


def _secrets(results: Sequence[Result]) -> tuple[Secret, ...] | None:
    """Return the secrets; None unless a result says that it looked for them."""
    looked = [one for one in results if one.class_ == "secret" or one.secrets]
    if not looked:
        return None
    return tuple(
        Secret(
            type=cut(one.rule_id or one.title, 255),
            evidence=secrets.evidence(one.match or ""),
            path=cut(result.target, 1024),
            suggestion=cut(one.title, 1024),
        )
        for result in looked
        for one in result.secrets or ()
    )


def _check(one: Misconfiguration) -> Check:
    return Check(
        test_number=cut(one.id, 255),
        category=cut(one.type, 255),
        type="image",
        level="PASS" if one.status == "PASS" else "WARN",
        scored=True,
        automated=True,
        description=cut(one.title or one.description),
        message=texts([one.message or ""]),
        remediation=cut(one.resolution),
    )
