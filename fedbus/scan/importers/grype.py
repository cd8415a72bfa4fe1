"""Grype's JSON, from its first releases to those of today."""

import base64
import binascii
from collections.abc import Iterator, Sequence

import msgspec

from fedbus.core.scan import image, packages
from fedbus.core.scan.findings import Findings
from fedbus.core.scan.identity import first_digest, reference
from fedbus.core.scan.image import ImageConfig
from fedbus.core.scan.values import cut, cves, moment, score, seconds, severity, size, texts
from fedbus.model.scan import Report, Vulnerability
from fedbus.scan.importers.reading import Part, decode


class _Struct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


class _Metrics(_Struct, frozen=True):
    base_score: float | None = None


class _Cvss(_Struct, frozen=True):
    version: str | None = None
    vector: str | None = None
    type: str | None = None
    metrics: _Metrics | None = None


class _OldCvss(_Struct, frozen=True):
    base_score: float | None = None
    vector: str | None = None


class _Fix(_Struct, frozen=True):
    versions: list[str] | None = None
    state: str | None = None


class _Advisory(_Struct, frozen=True):
    id: str | None = None


class _Known(_Struct, frozen=True):
    id: str = ""
    data_source: str | None = None
    severity: str | None = None
    urls: list[str] | None = None
    links: list[str] | None = None
    description: str | None = None
    cvss: list[_Cvss] | None = None
    cvss_v2: _OldCvss | None = None
    cvss_v3: _OldCvss | None = None
    fix: _Fix | None = None
    fixed_in_version: str | None = None
    advisories: list[_Advisory] | None = None
    aliases: list[str] | None = None
    published_date: str | float | None = None
    modified_date: str | float | None = None


class _Location(_Struct, frozen=True):
    path: str | None = None
    layer_id: str | None = msgspec.field(name="layerID", default=None)


class _Artifact(_Struct, frozen=True):
    name: str | None = None
    version: str | None = None
    type: str | None = None
    language: str | None = None
    locations: list[_Location] | None = None
    purl: str | None = None


class _Match(_Struct, frozen=True):
    vulnerability: _Known
    artifact: _Artifact
    related_vulnerabilities: list[_Known] | None = None


class _Layer(_Struct, frozen=True):
    digest: str | None = None
    size: int | None = None


class _Image(_Struct, frozen=True):
    user_input: str | None = None
    image_id: str | None = msgspec.field(name="imageID", default=None)
    manifest_digest: str | None = None
    tags: list[str] | None = None
    repo_digests: list[str] | None = None
    image_size: int | None = None
    layers: list[_Layer] | None = None
    config: str | None = None
    architecture: str | None = None
    os: str | None = None


class _Source(_Struct, frozen=True):
    target: _Image | str | None = None


class _Distro(_Struct, frozen=True):
    name: str | None = None
    version: str | None = None


class _DbStatus(_Struct, frozen=True):
    built: str | None = None
    schema_version: str | int | None = None


class _Db(_Struct, frozen=True):
    built: str | None = None
    schema_version: str | int | None = None
    status: _DbStatus | None = None


class _Descriptor(_Struct, frozen=True):
    version: str | None = None
    timestamp: str | None = None
    db: _Db | None = None


class _Document(_Struct, frozen=True):
    matches: list[_Match] | None = None
    source: _Source | None = None
    distro: _Distro | None = None
    descriptor: _Descriptor | None = None


_OS_PACKAGES = frozenset({"apk", "deb", "rpm"})


def parts(raw: bytes) -> Iterator[Part]:
    """Return the one report of a file."""
    yield Part("$", lambda: _report(decode(raw, _Document)))


def _report(document: _Document) -> Report:
    target = document.source.target if document.source else None
    about = target if isinstance(target, _Image) else _Image(user_input=target)
    config = _config(about)
    named = reference(next((one for one in (*(about.tags or ()), about.user_input) if one), ""))
    descriptor = document.descriptor or _Descriptor()
    db = _database(descriptor.db)
    base_os, found = _base_os(document.distro), Findings()
    for match in document.matches or ():
        _read(match, found, base_os)
    layers = [(one.digest or "", one.size, found.in_layer(one.digest or "")) for one in about.layers or ()]
    return Report(
        digest=first_digest(about.repo_digests, about.manifest_digest, named.digest),
        registry_url=named.registry,
        repository=named.repository,
        tag=named.tag,
        image_id=cut(about.image_id, 255),
        scanner="grype",
        scanner_version=cut(descriptor.version, 64),
        cvedb_version=db.version,
        cvedb_create_time=db.built,
        scanned_at=moment(descriptor.timestamp),
        created_at=config.created_at,
        author=cut(config.author, 256),
        size=size(about.image_size),
        base_os=base_os,
        platform=cut(config.platform or "/".join(one for one in (about.os, about.architecture) if one), 64),
        run_as_root=config.run_as_root,
        envs=config.envs,
        labels=config.labels,
        cmds=config.cmds,
        layers=image.layers(layers, config.layer_cmds),
        vulnerabilities=found.vulnerabilities,
        modules=found.modules,
    )


def _config(about: _Image) -> ImageConfig:
    """Return the image's configuration, which Grype carries in base64; what cannot be read says nothing."""
    try:
        raw = base64.b64decode(about.config or "", validate=True)
        return msgspec.json.decode(raw, type=ImageConfig) if raw else ImageConfig()
    except (binascii.Error, ValueError, RecursionError):  # msgspec's and Unicode's are ValueErrors
        return ImageConfig()


def _base_os(distro: _Distro | None) -> str:
    if distro is None or not distro.name:
        return ""
    return cut(f"{distro.name}:{distro.version}" if distro.version else distro.name, 128)


class _Database(msgspec.Struct, frozen=True):
    version: str = ""
    built: str = ""


def _database(db: _Db | None) -> _Database:
    if db is None:
        return _Database()
    status = db.status or _DbStatus()
    return _Database(cut(str(db.schema_version or status.schema_version or ""), 64),
                     cut(db.built or status.built, 64))  # fmt: skip


def _read(match: _Match, found: Findings, base_os: str) -> None:
    one, package = match.vulnerability, match.artifact
    made = _vulnerability(one, match.related_vulnerabilities or (), package)
    ecosystem = packages.ecosystem(package.purl, package.type, package.language)
    found.add(
        made,
        ecosystem=ecosystem,
        source=base_os if ecosystem in _OS_PACKAGES else cut(package.type, 64),
        status=packages.fix_status(one.fix.state if one.fix else None, made.fixed_version),
        layers=dict.fromkeys(place.layer_id or "" for place in package.locations or ()),
    )


def _vulnerability(one: _Known, related: Sequence[_Known], package: _Artifact) -> Vulnerability:
    sources = (one, *related)
    v2, v3 = _scores(sources)
    fixed = texts(one.fix.versions if one.fix else None) or texts([one.fixed_in_version or ""])
    links = (one.data_source, *(one.urls or one.links or ()))
    return Vulnerability(
        name=cut(one.id or next((other.id for other in related), ""), 255),
        severity=severity(one.severity),
        score=v2[0],
        vectors=v2[1],
        score_v3=v3[0],
        vectors_v3=v3[1],
        description=cut(next((source.description for source in sources if source.description), "")),
        file_name=cut(next((place.path for place in package.locations or () if place.path), ""), 1024),
        package_name=cut(package.name, 512),
        package_version=cut(package.version, 256),
        fixed_version=cut(", ".join(fixed), 512),
        link=cut(next((link for link in links if link), ""), 1024),
        published_timestamp=next((at for source in sources if (at := seconds(source.published_date))), 0),
        last_modified_timestamp=next((at for source in sources if (at := seconds(source.modified_date))), 0),
        cves=cves(one.id, (other.id for other in related), one.aliases or ()),
    )


def _scores(sources: Sequence[_Known]) -> tuple[tuple[float, str], tuple[float, str]]:
    """Return score and vector of version 2 and 3, the vulnerability's own before those of related ones."""
    none = (0.0, "")
    v2, v3, v4 = none, none, none
    for source in sources:
        for one in sorted(source.cvss or (), key=lambda one: one.type != "Primary"):
            found = (score(one.metrics.base_score if one.metrics else None), cut(one.vector, 255))
            kind = (one.version or "")[:1]
            v2 = v2 if v2[0] or kind != "2" else found
            v3 = v3 if v3[0] or kind != "3" else found
            v4 = v4 if v4[0] or kind != "4" else found
        v2 = v2 if v2[0] else _old(source.cvss_v2)
        v3 = v3 if v3[0] else _old(source.cvss_v3)
    return v2, v3 if v3[0] else v4


def _old(given: _OldCvss | None) -> tuple[float, str]:
    return (score(given.base_score), cut(given.vector, 255)) if given else (0.0, "")
