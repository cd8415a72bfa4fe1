"""CycloneDX's JSON with vulnerabilities, 1.4 to 1.6, and what its analyses say of them (VEX)."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal
from urllib.parse import unquote

import msgspec

from fedbus.core.scan import packages
from fedbus.core.scan.findings import Findings
from fedbus.core.scan.identity import first_digest, reference
from fedbus.core.scan.values import cut, cves, moment, score, seconds, severity, severity_of_score
from fedbus.model.scan import Report, Vex, Vulnerability
from fedbus.scan.importers.reading import Part, decode, refusal

VERSIONS = ("1.4", "1.5", "1.6")
_OS_PACKAGES = frozenset({"apk", "deb", "rpm"})


class _Struct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


class _Property(_Struct, frozen=True):
    name: str | None = None
    value: str | None = None


class _Component(msgspec.Struct, frozen=True, rename="camel"):  # it holds its like: not without the collector
    bom_ref: str | None = msgspec.field(name="bom-ref", default=None)
    type: str | None = None
    group: str | None = None
    name: str | None = None
    version: str | None = None
    purl: str | None = None
    cpe: str | None = None
    properties: list[_Property] | None = None
    components: "list[_Component] | None" = None


class _Named(_Struct, frozen=True):
    name: str | None = None
    version: str | None = None
    url: str | None = None


class _Tools(_Struct, frozen=True):
    components: list[_Named] | None = None


class _Metadata(_Struct, frozen=True):
    timestamp: str | None = None
    tools: list[_Named] | _Tools | None = None
    component: _Component | None = None


class _Rating(_Struct, frozen=True):
    score: float | None = None
    severity: str | None = None
    method: str | None = None
    vector: str | None = None
    source: _Named | None = None


class _Reference(_Struct, frozen=True):
    id: str | None = None


class _Version(_Struct, frozen=True):
    version: str | None = None
    status: str | None = None


class _Affected(_Struct, frozen=True):
    ref: str
    versions: list[_Version] | None = None


class _Analysis(_Struct, frozen=True):
    state: str | None = None
    justification: str | None = None
    response: list[str] | None = None
    detail: str | None = None
    first_issued: str | None = None
    last_updated: str | None = None


class _Vulnerability(_Struct, frozen=True):
    id: str | None = None
    source: _Named | None = None
    references: list[_Reference] | None = None
    ratings: list[_Rating] | None = None
    description: str | None = None
    recommendation: str | None = None
    advisories: list[_Named] | None = None
    published: str | float | None = None
    updated: str | float | None = None
    affects: list[_Affected] | None = None
    analysis: _Analysis | None = None


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    spec_version: str | None = None
    metadata: _Metadata | None = None
    components: list[_Component] | None = None
    vulnerabilities: list[_Vulnerability] | None = None


Status = Literal["not_affected", "affected", "fixed", "under_investigation"]

_STATES: dict[str, Status] = {
    "not_affected": "not_affected",
    "false_positive": "not_affected",
    "exploitable": "affected",
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "in_triage": "under_investigation",
}
_FIX = re.compile(r"[Uu]pgrade (?P<name>\S{1,512}) to version (?P<version>[^;\n]{1,512})")
_TAIL = re.compile(r"(?: or (?:higher|later|newer))?\.?\s*$")


def parts(raw: bytes) -> Iterator[Part]:
    """Return the one report of a file."""
    yield Part("$", lambda: _report(decode(raw, _Document)))


def _report(document: _Document) -> Report:
    if document.spec_version not in VERSIONS:
        raise refusal(
            "$.specVersion", f"CycloneDX {document.spec_version} is not read, only {', '.join(VERSIONS)}"
        )
    about = document.metadata or _Metadata()
    root = about.component or _Component()
    said = {one.name or "": one.value or "" for one in root.properties or ()}
    known = {one.bom_ref: one for one in _flat([root, *(document.components or ())]) if one.bom_ref}
    base_os, found = _base_os(document.components or ()), Findings()
    for component in _flat(document.components or ()):
        if component.purl or component.type == "library":
            found.module(
                _name(component),
                component.version or "",
                packages.ecosystem(component.purl),
                source=_source(component, base_os),
                cpes=(cut(component.cpe, 255),) if component.cpe else (),
            )
    for one in document.vulnerabilities or ():
        _read(one, known, found, base_os)
    named = reference(said.get("aquasecurity:trivy:RepoTag") or _image_name(root))
    tool = next(iter(_tools(about.tools)), _Named())
    return Report(
        digest=first_digest([said.get("aquasecurity:trivy:RepoDigest", "")], _purl_digest(root), named.digest,
                            root.version),
        registry_url=named.registry,
        repository=named.repository,
        tag=named.tag or ("" if ":" in (root.version or ":") else root.version or ""),
        image_id=cut(said.get("aquasecurity:trivy:ImageID"), 255),
        scanner=cut((tool.name or "cyclonedx").lower(), 64),
        scanner_version=cut(tool.version, 64),
        scanned_at=moment(about.timestamp),
        base_os=base_os,
        vulnerabilities=found.vulnerabilities,
        modules=found.modules,
    )  # fmt: skip


def _flat(components: Iterable[_Component]) -> Iterator[_Component]:
    """Return components and those inside of them."""
    waiting = [iter(components)]
    while waiting:
        one = next(waiting[-1], None)
        if one is None:
            waiting.pop()
            continue
        yield one
        if one.components:
            waiting.append(iter(one.components))


def _tools(given: list[_Named] | _Tools | None) -> list[_Named]:
    return given if isinstance(given, list) else (given.components or []) if given else []


def _base_os(components: Iterable[_Component]) -> str:
    for one in _flat(components):
        if one.type == "operating-system" and one.name:
            return cut(f"{one.name}:{one.version}" if one.version else one.name, 128)
    return ""


def _image_name(root: _Component) -> str:
    return f"{root.group}/{root.name}" if root.group and root.name else root.name or ""


def _purl_digest(root: _Component) -> str:
    found = packages.purl(root.purl)
    return found.version if found and found.type in ("oci", "docker") else ""


def _name(component: _Component) -> str:
    url = packages.purl(component.purl)
    if component.group and component.name:
        return f"{component.group}{':' if url and url.type == 'maven' else '/'}{component.name}"
    return component.name or (url.name if url else "")


def _source(component: _Component, base_os: str) -> str:
    ecosystem = packages.ecosystem(component.purl)
    return base_os if ecosystem in _OS_PACKAGES else ecosystem


def _read(one: _Vulnerability, known: dict[str, _Component], found: Findings, base_os: str) -> None:
    base = _vulnerability(one)
    for affected in one.affects or (_Affected(ref=""),):
        # A BOM-Link, urn:cdx:serial/version#ref, points into this document or another.
        ref = unquote(affected.ref.partition("#")[2]) if affected.ref.startswith("urn:cdx:") else affected.ref
        component = known.get(ref) or _by_url(ref)
        name, version = _name(component), component.version or ""
        fixed = _fixed_version(one.recommendation, name, component.name or "")
        spared = any(v.status == "unaffected" and v.version == version for v in affected.versions or ())
        said = "unaffected" if spared else "will_not_fix" if _will_not_fix(one.analysis) else ""
        made = msgspec.structs.replace(
            base,
            package_name=cut(name, 512),
            package_version=cut(version, 256),
            fixed_version=cut(fixed, 512),
        )
        found.add(
            made,
            ecosystem=packages.ecosystem(component.purl),
            source=_source(component, base_os),
            status=packages.UNAFFECTED if spared else packages.fix_status(said, fixed),
        )


def _by_url(ref: str) -> _Component:
    url = packages.purl(ref)
    return _Component(name=url.name, version=url.version, purl=ref) if url else _Component(name=ref)


def _will_not_fix(analysis: _Analysis | None) -> bool:
    return analysis is not None and any(
        one in ("will_not_fix", "can_not_fix") for one in analysis.response or ()
    )


def _fixed_version(recommendation: str | None, *names: str) -> str:
    """Return the version that a recommendation says to upgrade the package to."""
    for one in _FIX.finditer(cut(recommendation)):
        if one["name"] in names:
            return _TAIL.sub("", one["version"])
    return ""


def _vulnerability(one: _Vulnerability) -> Vulnerability:
    ratings = one.ratings or []
    v2 = next((r for r in ratings if r.method == "CVSSv2" and score(r.score)), _Rating())
    v3 = next((r for r in ratings if (r.method or "").startswith("CVSSv3") and score(r.score)), None)
    v3 = v3 or next((r for r in ratings if r.method == "CVSSv4" and score(r.score)), _Rating())
    own = one.source.name if one.source else None
    rated = sorted(ratings, key=lambda r: (r.source.name if r.source else None) != own)
    worded = next(
        (s for r in rated if (s := severity(r.severity)) != "Unknown"), severity_of_score(score(v3.score))
    )
    links = (one.source.url if one.source else None, *(advisory.url for advisory in one.advisories or ()))
    return Vulnerability(
        name=cut(one.id, 255),
        severity=worded,
        score=score(v2.score),
        vectors=cut(v2.vector, 255),
        score_v3=score(v3.score),
        vectors_v3=cut(v3.vector, 255),
        description=cut(one.description),
        link=cut(next((link for link in links if link), ""), 1024),
        published_timestamp=seconds(one.published),
        last_modified_timestamp=seconds(one.updated),
        cves=cves(one.id or "", (other.id for other in one.references or ())),
        feed_rating=cut(own, 64),
        vex=_vex(one.analysis, own),
    )


def _vex(analysis: _Analysis | None, author: str | None) -> tuple[Vex, ...]:
    if analysis is None or (status := _STATES.get(analysis.state or "")) is None:
        return ()
    return (
        Vex(
            status=status,
            justification=cut(analysis.justification, 255),
            statement=cut(analysis.detail),
            author=cut(author, 255),
            timestamp=seconds(analysis.last_updated) or seconds(analysis.first_issued),
        ),
    )
