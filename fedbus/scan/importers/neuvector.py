"""NeuVector's results: `scan_result.json` of its standalone scanner, and what CI pipelines submit."""

from collections.abc import Iterator, Sequence

from fedbus.core.scan import image, packages, secrets
from fedbus.core.scan.identity import Given
from fedbus.core.scan.values import cut, cves, moment, score, seconds, severity, size, texts
from fedbus.errors import Fault, InvalidInput
from fedbus.model import scan
from fedbus.model.scan import Report
from fedbus.scan.importers import neuvector_words as words
from fedbus.scan.importers.reading import Part, decode, refusal

_REQUIRED = {"image_id": "ImageID", "digest": "Digest", "repository": "Repository", "tag": "Tag"}

Body = words.Report | words.Result


def parts(raw: bytes) -> Iterator[Part]:
    """Return the one report of a `scan_result.json`."""
    yield Part("$.report", lambda: _standalone(raw))


def result_parts(raw: bytes, given: Given) -> Iterator[Part]:
    """Return the one report of a submission; as there, image id, digest, repository and tag must be said."""
    yield Part("$.result", lambda: _submitted(raw, given))


def _standalone(raw: bytes) -> Report:
    sent: words.Standalone = decode(raw, words.Standalone)
    if sent.report is None or sent.error_message:
        why = sent.error_message or "there is no report"
        raise refusal("$.report", f"the scan failed: {cut(why, 512)}")
    return _report(sent.report, "$.report")


def _submitted(raw: bytes, given: Given) -> Report:
    sent: words.Submission = decode(raw, words.Submission)
    result = sent.result or words.Result()
    missing = [
        name for field, name in _REQUIRED.items() if not (getattr(result, field) or getattr(given, field, ""))
    ]
    if missing:
        faults = tuple(Fault(f"$.result.{name}", f"{name} is missing") for name in missing)
        # NeuVector answers 400 here, not 422.
        raise InvalidInput(f"The result has no {', '.join(missing)}", faults, code="BODY_MALFORMED")
    if result.error:
        raise refusal("$.result.Error", f"the scan failed: {cut(str(result.error), 512)}")
    return _report(result, "$.result")


def _report(body: Body, path: str) -> Report:
    cmds = tuple(image.command(one) for one in body.cmds or () if one)
    signature = body.signature or words.Signature()
    return Report(
        digest=body.digest or "",
        registry_url=body.registry or "",
        repository=body.repository or "",
        tag=body.tag or "",
        image_id=body.image_id or "",
        scanner="neuvector",
        cvedb_version=cut(body.cvedb_version, 64),
        cvedb_create_time=cut(body.cvedb_create_time, 64),
        scanned_at=moment(body.scanned_at) if isinstance(body, words.Report) else 0.0,
        created_at=moment(body.created_at),
        author=cut(body.author, 256),
        size=size(body.size),
        base_os=cut(body.base_os, 128),
        run_as_root=image.root_by_cmds(cmds),
        envs=image.envs(_flat(body.envs)),
        labels=image.labels({key: ",".join(_flat([value])) for key, value in (body.labels or {}).items()}),
        cmds=cmds,
        layers=tuple(_layer(one) for one in body.layers or () if one.digest),
        vulnerabilities=tuple(_vulnerabilities(body, path)),
        modules=tuple(_module(one) for one in body.modules or () if one.name),
        checks=tuple(map(_check, body.checks or ())) if isinstance(body, words.Report) else (),
        secrets=_secrets(body.secrets),
        setid_perms=tuple(_setid(one) for one in body.setid_perms or () if one.type or one.path),
        signature=scan.Signature(
            verifiers=texts(signature.verifiers, 512),
            verification_timestamp=seconds(signature.verification_timestamp),
        ),
    )


def _vulnerabilities(body: Body, path: str) -> Iterator[scan.Vulnerability]:
    where = f"{path}.{'Vuls' if isinstance(body, words.Result) else 'vulnerabilities'}"
    found: Sequence[words.Vulnerability | words.Vul] = body.vulnerabilities or ()
    return (_vulnerability(one, f"{where}[{index}]") for index, one in enumerate(found))


def _flat(given: Sequence[str | list[str] | None] | None) -> list[str]:
    found: list[str] = []
    for one in given or ():
        found += one if isinstance(one, list) else [one] if one else []
    return found


def _vulnerability(one: words.Vulnerability | words.Vul, path: str) -> scan.Vulnerability:
    if not one.name:
        raise refusal(path, "the vulnerability has no name")
    return scan.Vulnerability(
        name=cut(one.name, 255),
        severity=severity(one.severity),
        score=score(one.score),
        score_v3=score(one.score_v3),
        vectors=cut(one.vectors, 255),
        vectors_v3=cut(one.vectors_v3, 255),
        description=cut(one.description),
        file_name=cut(one.file_name, 1024),
        package_name=cut(one.package_name, 512),
        package_version=cut(one.package_version, 256),
        fixed_version=cut(one.fixed_version, 512),
        link=cut(one.link, 1024),
        published_timestamp=seconds(one.published),
        last_modified_timestamp=seconds(one.last_modified),
        cpes=texts(one.cpes, 255),
        cves=cves(one.name, one.cves or ()),
        feed_rating=cut(one.feed_rating, 64),
        in_base_image=bool(one.in_base_image),
        tags=texts(one.tags, 255),
    )


def _module(one: words.Module | words.ScanModule) -> scan.Module:
    source = cut(one.source, 255)
    states = {state.name: state.status for state in one.states or () if state.name}
    return scan.Module(
        name=cut(one.name, 512),
        version=cut(one.version, 256),
        file=cut(one.file, 1024),
        source=source,
        # A package of the system names its distribution, `alpine:3.17.0`; one of a language its own.
        ecosystem=packages.ecosystem(None, source.partition(":")[0]),
        cves=tuple(
            scan.ModuleCve(name=cut(name, 255), status=packages.fix_status(state, "") if state else "")
            for name, state in states.items()
        ),
        cpes=texts(one.cpes, 255),
    )


def _layer(one: words.Layer | words.ScanLayer) -> scan.Layer:
    return scan.Layer(
        digest=cut(one.digest, 255),
        cmds=image.command(one.cmds),
        size=size(one.size),
        vulnerabilities=texts([found.name for found in one.vulnerabilities or ()], 255),
    )


def _check(one: words.Check) -> scan.Check:
    return scan.Check(
        test_number=cut(one.test_number, 255),
        category=cut(one.category or one.catalog, 255),
        type=cut(one.type, 255),
        profile=cut(one.profile, 255),
        scored=bool(one.scored),
        automated=bool(one.automated),
        level=cut(one.level, 255),
        description=cut(one.description),
        message=tuple(secrets.redacted(text) for text in texts(one.message)),
        remediation=cut(one.remediation),
        group=cut(one.group, 255),
        evidence=secrets.redacted(cut(one.evidence)),
        location=cut(one.location, 1024),
        tags=texts(one.tags, 255),
    )


def _secrets(given: Sequence[words.Secret | words.SecretLog] | None) -> tuple[scan.Secret, ...] | None:
    if given is None:
        return None
    return tuple(
        scan.Secret(
            type=cut(one.type, 255),
            evidence=secrets.evidence(one.evidence or ""),
            path=cut(one.path, 1024),
            suggestion=cut(one.suggestion, 1024),
        )
        for one in given
        if one.type or one.path or one.evidence
    )


def _setid(one: words.SetidPerm | words.SetIdPerm) -> scan.SetidFile:
    return scan.SetidFile(type=cut(one.type, 255), path=cut(one.path, 1024), evidence=cut(one.evidence, 1024))
