"""Trivy's report of one image (schema 2) as our report."""

import datetime as dt

import msgspec

from fedbus.errors import InvalidInput
from fedbus.model.scan import Layer, Module, ModuleCve, Report, Secret, Severity, Vulnerability

_SEVERITIES: dict[str, Severity] = {"CRITICAL": "Critical", "HIGH": "High", "MEDIUM": "Medium", "LOW": "Low"}
_STATUS = {"fixed": "fix exists", "will_not_fix": "will not fix", "not_affected": "unaffected"}
_FEEDS = ("nvd", "redhat", "ghsa")


class _Part(msgspec.Struct, frozen=True, rename="pascal"):
    """A part of Trivy's output."""


class _Cvss(msgspec.Struct, frozen=True):
    v2: float = msgspec.field(name="V2Score", default=0.0)
    v3: float = msgspec.field(name="V3Score", default=0.0)
    vector: str = msgspec.field(name="V2Vector", default="")
    vector_v3: str = msgspec.field(name="V3Vector", default="")


class _Layer(msgspec.Struct, frozen=True):
    digest: str = msgspec.field(name="Digest", default="")
    diff_id: str = msgspec.field(name="DiffID", default="")
    size: int = msgspec.field(name="Size", default=0)


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="VulnerabilityID")
    package: str = msgspec.field(name="PkgName", default="")
    path: str = msgspec.field(name="PkgPath", default="")
    version: str = msgspec.field(name="InstalledVersion", default="")
    fixed: str = msgspec.field(name="FixedVersion", default="")
    status: str = msgspec.field(name="Status", default="")
    severity: str = msgspec.field(name="Severity", default="")
    source: str = msgspec.field(name="SeveritySource", default="")
    title: str = msgspec.field(name="Title", default="")
    description: str = msgspec.field(name="Description", default="")
    url: str = msgspec.field(name="PrimaryURL", default="")
    cvss: dict[str, _Cvss] = msgspec.field(name="CVSS", default={})
    published: str = msgspec.field(name="PublishedDate", default="")
    modified: str = msgspec.field(name="LastModifiedDate", default="")
    layer: _Layer = msgspec.field(name="Layer", default=_Layer())


class _Package(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="Name", default="")
    version: str = msgspec.field(name="Version", default="")
    epoch: int = msgspec.field(name="Epoch", default=0)
    release: str = msgspec.field(name="Release", default="")
    source: str = msgspec.field(name="SrcName", default="")
    path: str = msgspec.field(name="FilePath", default="")


class _Secret(msgspec.Struct, frozen=True):
    category: str = msgspec.field(name="Category", default="")
    title: str = msgspec.field(name="Title", default="")


class _Result(msgspec.Struct, frozen=True):
    target: str = msgspec.field(name="Target", default="")
    type: str = msgspec.field(name="Type", default="")
    packages: list[_Package] = msgspec.field(name="Packages", default=[])
    vulnerabilities: list[_Vulnerability] = msgspec.field(name="Vulnerabilities", default=[])
    secrets: list[_Secret] = msgspec.field(name="Secrets", default=[])


class _Run(msgspec.Struct, frozen=True):
    env: list[str] | None = msgspec.field(name="Env", default=None)
    labels: dict[str, str] | None = msgspec.field(name="Labels", default=None)
    user: str = msgspec.field(name="User", default="")


class _History(msgspec.Struct, frozen=True):
    created_by: str = ""
    empty_layer: bool = False


class _Config(msgspec.Struct, frozen=True):
    author: str = ""
    created: str = ""
    os: str = ""
    architecture: str = ""
    history: list[_History] = []
    config: _Run = _Run()


class _Os(_Part, frozen=True):
    family: str = ""
    name: str = ""


class _Metadata(_Part, frozen=True):
    size: int = 0
    layers: list[_Layer] = []
    os: _Os | None = msgspec.field(name="OS", default=None)
    image_id: str = msgspec.field(name="ImageID", default="")
    image_config: _Config = _Config()


class _Output(_Part, frozen=True):
    schema_version: int
    metadata: _Metadata = _Metadata()
    results: list[_Result] = []


def read(raw: bytes) -> list[Report]:
    """Return the report; its digest is the image's id until the caller says more. Raises InvalidInput."""
    try:
        output = msgspec.json.decode(raw, type=_Output)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"this is no report of Trivy: {error}") from error
    if output.schema_version != 2:
        raise InvalidInput(f"the schema version is {output.schema_version}, not 2")
    found = output.metadata
    config = found.image_config
    commands = [one for one in reversed(config.history) if one.created_by]
    vulnerabilities = [(result, one) for result in output.results for one in result.vulnerabilities]
    return [
        Report(
            digest=found.image_id,
            image_id=found.image_id,
            created_at=float(_moment(config.created)),
            author=config.author,
            size=found.size,
            base_os=f"{found.os.family}:{found.os.name}" if found.os and found.os.name else "",
            platform="/".join(filter(None, (config.os, config.architecture))),
            run_as_root=config.config.user.partition(":")[0] in ("", "0", "root"),
            envs=tuple(config.config.env or ()),
            labels=config.config.labels or {},
            cmds=tuple(one.created_by for one in commands),
            layers=_layers(found, [one for _, one in vulnerabilities]),
            vulnerabilities=tuple(_vulnerability(result, one) for result, one in vulnerabilities),
            modules=tuple(module for result in output.results for module in _modules(result)),
            secrets=tuple(
                Secret(type=one.category or one.title, path=result.target, suggestion=one.title)
                for result in output.results
                for one in result.secrets
            ),
        )
    ]


def _layers(found: _Metadata, vulnerabilities: list[_Vulnerability]) -> tuple[Layer, ...]:
    """Return the layers, the newest first."""
    names: dict[str, list[str]] = {}
    for one in vulnerabilities:
        names.setdefault(one.layer.digest or one.layer.diff_id, []).append(one.id)
    made = [one.created_by for one in found.image_config.history if not one.empty_layer]
    commands = made + [""] * (len(found.layers) - len(made))
    return tuple(
        Layer(
            digest=layer.digest or layer.diff_id,
            cmds=command,
            size=layer.size,
            vulnerabilities=tuple(dict.fromkeys(names.get(layer.digest or layer.diff_id, []))),
        )
        for layer, command in reversed(list(zip(found.layers, commands, strict=False)))
    )


def _vulnerability(result: _Result, one: _Vulnerability) -> Vulnerability:
    order = (one.source, *_FEEDS, *one.cvss)
    scores = next((one.cvss[feed] for feed in order if feed in one.cvss), _Cvss())
    return Vulnerability(
        name=one.id,
        severity=_SEVERITIES.get(one.severity, "Unknown"),
        score=scores.v2,
        score_v3=scores.v3,
        vectors=scores.vector,
        vectors_v3=scores.vector_v3,
        description=one.description or one.title,
        file_name=one.path,
        package_name=one.package,
        package_version=one.version,
        fixed_version=one.fixed,
        link=one.url,
        published_timestamp=_moment(one.published),
        last_modified_timestamp=_moment(one.modified),
        feed_rating=one.severity,
    )


def _modules(result: _Result) -> list[Module]:
    """Return the packages of a result, each with its vulnerabilities."""
    known: dict[tuple[str, str], list[ModuleCve]] = {}
    for one in result.vulnerabilities:
        status = _STATUS.get(one.status, "fix exists" if one.fixed else "unpatched")
        known.setdefault((one.package, one.version), []).append(ModuleCve(name=one.id, status=status))
    made = []
    for package in result.packages:
        version = "-".join(filter(None, (package.version, package.release)))
        version = f"{package.epoch}:{version}" if package.epoch else version
        cves = known.get((package.name, version), [])
        made.append(
            Module(
                name=package.name,
                version=version,
                file=package.path,
                source=package.source,
                ecosystem=result.type,
                cves=tuple(cves),
            )
        )
    return made


def _moment(text: str) -> int:
    try:
        return max(0, int(dt.datetime.fromisoformat(text).timestamp())) if text else 0
    except (ValueError, OverflowError):
        return 0
