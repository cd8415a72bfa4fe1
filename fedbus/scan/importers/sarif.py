"""SARIF 2.1.0: each run is a report of its own.

SARIF has no fields for packages: they are read from the messages of Trivy and Grype where those wrote it.
What is no vulnerability becomes a check.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from fedbus.core.scan import packages, secrets
from fedbus.core.scan.findings import Findings
from fedbus.core.scan.identity import first_digest, reference
from fedbus.core.scan.values import (
    advisory,
    cut,
    moment,
    score,
    severity,
    severity_of_score,
    texts,
)  # fmt: skip
from fedbus.errors import InvalidInput
from fedbus.model.scan import Check, Report, Secret, Severity, Vulnerability
from fedbus.scan.importers.reading import Part, decode, failed, refusal


class _Struct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


class _Text(_Struct, frozen=True):
    text: str | None = None


class _Level(_Struct, frozen=True):
    level: str | None = None


class _RuleFacts(_Struct, frozen=True):
    security_severity: str | float | None = msgspec.field(name="security-severity", default=None)
    tags: list[str] | None = None


class _Rule(_Struct, frozen=True):
    id: str | None = None
    name: str | None = None
    short_description: _Text | None = None
    full_description: _Text | None = None
    default_configuration: _Level | None = None
    help_uri: str | None = None
    properties: _RuleFacts | None = None


class _Driver(_Struct, frozen=True):
    name: str | None = None
    version: str | None = None
    semantic_version: str | None = None
    rules: list[_Rule] | None = None


class _Tool(_Struct, frozen=True):
    driver: _Driver | None = None


class _Artifact(_Struct, frozen=True):
    uri: str | None = None


class _Physical(_Struct, frozen=True):
    artifact_location: _Artifact | None = None


class _Location(_Struct, frozen=True):
    physical_location: _Physical | None = None
    message: _Text | None = None


class _RuleRef(_Struct, frozen=True):
    id: str | None = None
    index: int | None = None


class _Result(_Struct, frozen=True):
    rule_id: str | None = None
    rule_index: int | None = None
    rule: _RuleRef | None = None
    level: str | None = None
    kind: str | None = None
    message: _Text | None = None
    locations: list[_Location] | None = None


class _RunFacts(_Struct, frozen=True):
    image_id: str | None = msgspec.field(name="imageID", default=None)
    image_name: str | None = None
    repo_tags: list[str] | None = None
    repo_digests: list[str] | None = None


class _Invocation(_Struct, frozen=True):
    end_time_utc: str | None = None


class _Run(_Struct, frozen=True):
    tool: _Tool | None = None
    results: list[_Result] | None = None
    properties: _RunFacts | None = None
    invocations: list[_Invocation] | None = None


class _Document(msgspec.Struct, frozen=True):
    version: str | None = None
    runs: list[msgspec.Raw] | None = None


_LABELLED = re.compile(
    r"^(Package|Installed Version|Severity|Fixed Version|Link): (?:\[[^\]\n]{0,512}\]\()?([^)\n]{1,1024})",
    re.MULTILINE,
)
_GRYPE = re.compile(
    r"An? (?P<severity>\w{1,16}) vulnerability in (?P<type>[\w-]{1,32}) package: (?P<name>\S{1,512}), "
    r"version (?P<version>\S{1,256}) was found at: (?P<path>[^\n]{1,1024})"
)
_PACKAGE = re.compile(r": (?P<name>[^\s:@]{1,512})@(?P<version>\S{1,256})$")


def parts(raw: bytes) -> Iterator[Part]:
    """Return one report a run."""
    document: _Document = decode(raw, _Document)
    if document.version != "2.1.0":
        raise refusal("$.version", f"SARIF {document.version} is not read, only 2.1.0")
    for index, one in enumerate(document.runs or ()):
        path = f"$.runs[{index}]"
        try:
            run: _Run = decode(one, _Run, path)
        except InvalidInput as error:
            yield failed(path, error)
        else:
            yield Part(path, partial(_report, run))


def _report(run: _Run) -> Report:
    driver = (run.tool.driver if run.tool else None) or _Driver()
    about = run.properties or _RunFacts()
    named = reference(next((one for one in (*(about.repo_tags or ()), about.image_name) if one), ""))
    found = Findings()
    checks: list[Check] = []
    leaked: list[Secret] = []
    rules, by_id = driver.rules or [], {one.id: one for one in driver.rules or ()}
    for result in run.results or ():
        if result.kind in ("pass", "notApplicable", "informational"):
            continue
        rule = _rule(result, rules, by_id)
        if rule.name == "Secret":
            leaked.append(_secret(result, rule))
        elif _is_vulnerability(result, rule):
            _read(result, rule, found)
        else:
            checks.append(_check(result, rule))
    return Report(
        digest=first_digest(about.repo_digests, named.digest),
        registry_url=named.registry,
        repository=named.repository,
        tag=named.tag,
        image_id=cut(about.image_id, 255),
        scanner=cut((driver.name or "sarif").lower(), 64),
        scanner_version=cut(driver.version or driver.semantic_version, 64),
        scanned_at=max((moment(one.end_time_utc) for one in run.invocations or ()), default=0.0),
        vulnerabilities=found.vulnerabilities,
        modules=found.modules,
        checks=tuple(checks),
        secrets=tuple(leaked) or None,
    )


def _rule(result: _Result, rules: Sequence[_Rule], by_id: dict[str | None, _Rule]) -> _Rule:
    ref = result.rule or _RuleRef()
    index = result.rule_index if result.rule_index is not None else ref.index
    if index is not None and 0 <= index < len(rules):
        return rules[index]
    name = result.rule_id or ref.id
    return by_id.get(name) or _Rule(id=name)


def _is_vulnerability(result: _Result, rule: _Rule) -> bool:
    return bool(advisory(result.rule_id or rule.id or "")) or (rule.name or "").endswith("Vulnerability")


def _text(result: _Result) -> str:
    return cut(result.message.text if result.message else "")


def _read(result: _Result, rule: _Rule, found: Findings) -> None:
    text = _text(result)
    said = dict(_LABELLED.findall(text))
    by_grype = _GRYPE.search(text)
    location = next(iter(result.locations or ()), _Location())
    name, version = said.get("Package", ""), said.get("Installed Version", "")
    if by_grype:
        name, version = by_grype["name"], by_grype["version"]
    elif not name and (where := _PACKAGE.search(cut(location.message.text if location.message else ""))):
        name, version = where["name"], where["version"]
    known = advisory(result.rule_id or rule.id or "") or cut(result.rule_id or rule.id, 255)
    rating = score(_number(rule))
    fixed = said.get("Fixed Version", "")
    description = rule.full_description or rule.short_description or _Text()
    found.add(
        Vulnerability(
            name=known,
            severity=_severity(
                said.get("Severity") or (by_grype["severity"] if by_grype else ""), result, rule
            ),
            score_v3=rating,
            description=cut(description.text) or text,
            file_name=by_grype["path"] if by_grype else _uri(location),
            package_name=name,
            package_version=version,
            fixed_version=fixed,
            link=cut(rule.help_uri or said.get("Link"), 1024),
        ),
        ecosystem=packages.ecosystem(None, by_grype["type"] if by_grype else None),
        status=packages.fix_status(None, fixed),
    )


def _uri(location: _Location) -> str:
    place = location.physical_location
    return cut(place.artifact_location.uri if place and place.artifact_location else "", 1024)


def _number(rule: _Rule) -> float | None:
    given = rule.properties.security_severity if rule.properties else None
    try:
        return float(given) if given is not None else None
    except ValueError:
        return None


def _severity(said: str, result: _Result, rule: _Rule) -> Severity:
    """Return the severity that is said, else that of the score, else that of the level."""
    tags = rule.properties.tags if rule.properties else None
    words = (said, *(tag for tag in tags or () if tag.isupper()))
    worded: Severity = next((found for word in words if (found := severity(word)) != "Unknown"), "Unknown")
    if worded != "Unknown":
        return worded
    if (scored := severity_of_score(score(_number(rule)))) != "Unknown":
        return scored
    default = rule.default_configuration.level if rule.default_configuration else None
    return severity(result.level or default or "warning")


def _secret(result: _Result, rule: _Rule) -> Secret:
    return Secret(
        type=cut(result.rule_id or rule.id, 255),
        evidence=secrets.MASK,
        path=_uri(next(iter(result.locations or ()), _Location())),
        suggestion=cut(rule.short_description.text if rule.short_description else "", 1024),
    )


def _check(result: _Result, rule: _Rule) -> Check:
    default = rule.default_configuration.level if rule.default_configuration else None
    level = result.level or default or "warning"
    return Check(
        test_number=cut(result.rule_id or rule.id, 255),
        category=cut(rule.name, 255),
        type="image",
        level={"error": "WARN", "warning": "WARN", "note": "NOTE"}.get(level, "INFO"),
        description=cut(rule.short_description.text if rule.short_description else "")
        or secrets.redacted(_text(result)),
        message=texts([secrets.redacted(_text(result))]),
        location=_uri(next(iter(result.locations or ()), _Location())),
        automated=True,
    )
