"""The fields of NeuVector's two forms of a result: snake_case in its REST API, CamelCase in its protobuf.

Both have the same attributes, so that one reading does for both.
"""

import msgspec

Labels = dict[str, str | list[str] | None]
Envs = list[str | list[str] | None]
"""NeuVector writes texts; examples made from its API's description have lists of them."""


class _Struct(msgspec.Struct, frozen=True, gc=False):
    pass


class Vulnerability(_Struct, frozen=True):
    """One vulnerability, as the REST API has it."""

    name: str
    score: float | None = None
    severity: str | None = None
    vectors: str | None = None
    description: str | None = None
    file_name: str | None = None
    package_name: str | None = None
    package_version: str | None = None
    fixed_version: str | None = None
    link: str | None = None
    score_v3: float | None = None
    vectors_v3: str | None = None
    published: str | float | None = msgspec.field(name="published_timestamp", default=None)
    last_modified: str | float | None = msgspec.field(name="last_modified_timestamp", default=None)
    cpes: list[str] | None = None
    cves: list[str] | None = None
    feed_rating: str | None = None
    in_base_image: bool | None = None
    tags: list[str] | None = None


class Vul(_Struct, frozen=True, rename="pascal"):
    """One vulnerability, as the protobuf has it."""

    name: str
    score: float | None = None
    severity: str | None = None
    vectors: str | None = None
    description: str | None = None
    file_name: str | None = None
    package_name: str | None = None
    package_version: str | None = None
    fixed_version: str | None = None
    link: str | None = None
    score_v3: float | None = msgspec.field(name="ScoreV3", default=None)
    vectors_v3: str | None = msgspec.field(name="VectorsV3", default=None)
    published: str | float | None = msgspec.field(name="PublishedDate", default=None)
    last_modified: str | float | None = msgspec.field(name="LastModifiedDate", default=None)
    cpes: list[str] | None = msgspec.field(name="CPEs", default=None)
    cves: list[str] | None = msgspec.field(name="CVEs", default=None)
    feed_rating: str | None = None
    in_base_image: bool | None = msgspec.field(name="InBase", default=None)
    tags: list[str] | None = None


class State(_Struct, frozen=True):
    """What is known of a vulnerability of a module."""

    name: str | None = None
    status: str | None = None


class ModuleVul(_Struct, frozen=True, rename="pascal"):
    """What is known of a vulnerability of a module."""

    name: str | None = None
    status: str | None = None


class Module(_Struct, frozen=True):
    """One package."""

    name: str | None = None
    version: str | None = None
    source: str | None = None
    file: str | None = None
    states: list[State] | None = msgspec.field(name="cves", default=None)
    cpes: list[str] | None = None


class ScanModule(_Struct, frozen=True, rename="pascal"):
    """One package."""

    name: str | None = None
    version: str | None = None
    source: str | None = None
    file: str | None = None
    states: list[ModuleVul] | None = msgspec.field(name="Vuls", default=None)
    cpes: list[str] | None = msgspec.field(name="CPEs", default=None)


class Check(_Struct, frozen=True):
    """One finding of a benchmark."""

    test_number: str | None = None
    category: str | None = None
    catalog: str | None = None
    type: str | None = None
    profile: str | None = None
    scored: bool | None = None
    automated: bool | None = None
    level: str | None = None
    description: str | None = None
    message: list[str] | None = None
    remediation: str | None = None
    group: str | None = None
    evidence: str | None = None
    location: str | None = None
    tags: list[str] | None = None


class Secret(_Struct, frozen=True):
    """One secret in a file."""

    type: str | None = None
    evidence: str | None = None
    path: str | None = None
    suggestion: str | None = None


class SecretLog(_Struct, frozen=True):
    """One secret in a file."""

    type: str | None = msgspec.field(name="Type", default=None)
    evidence: str | None = msgspec.field(name="Text", default=None)
    path: str | None = msgspec.field(name="File", default=None)
    rule: str | None = msgspec.field(name="RuleDesc", default=None)
    suggestion: str | None = msgspec.field(name="Suggestion", default=None)


class SetidPerm(_Struct, frozen=True):
    """One file with the setuid or setgid bit."""

    type: str | None = None
    path: str | None = None
    evidence: str | None = None


class SetIdPerm(_Struct, frozen=True):
    """One file with the setuid or setgid bit."""

    type: str | None = msgspec.field(name="Type", default=None)
    path: str | None = msgspec.field(name="File", default=None)
    evidence: str | None = msgspec.field(name="Evidence", default=None)


class Layer(_Struct, frozen=True):
    """One layer, the newest first in a report."""

    digest: str | None = None
    cmds: str | None = None
    size: int | None = None
    vulnerabilities: list[Vulnerability] | None = None


class ScanLayer(_Struct, frozen=True, rename="pascal"):
    """One layer, the newest first in a report."""

    digest: str | None = None
    cmds: str | None = None
    size: int | None = None
    vulnerabilities: list[Vul] | None = msgspec.field(name="Vuls", default=None)


class Signature(_Struct, frozen=True):
    """Who signed the image."""

    verifiers: list[str] | None = None
    verification_timestamp: str | float | None = None


class SignatureInfo(_Struct, frozen=True, rename="pascal"):
    """Who signed the image."""

    verifiers: list[str] | None = None
    verification_timestamp: str | float | None = None


class Report(_Struct, frozen=True):
    """A whole report of the REST API (`scan_result.json`)."""

    image_id: str | None = None
    registry: str | None = None
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    size: int | None = None
    author: str | None = None
    base_os: str | None = None
    created_at: str | float | None = None
    scanned_at: str | float | None = msgspec.field(name="scanned_timestamp", default=None)
    cvedb_version: str | None = None
    cvedb_create_time: str | None = None
    layers: list[Layer] | None = None
    vulnerabilities: list[Vulnerability] | None = None
    modules: list[Module] | None = None
    checks: list[Check] | None = None
    secrets: list[Secret] | None = None
    setid_perms: list[SetidPerm] | None = None
    envs: Envs | None = None
    labels: Labels | None = None
    cmds: list[str] | None = None
    signature: Signature | None = msgspec.field(name="signature_data", default=None)


class Standalone(_Struct, frozen=True):
    """What the standalone scanner writes."""

    error_message: str | None = None
    report: Report | None = None


class SecretLogs(_Struct, frozen=True, rename="pascal"):
    """All secrets."""

    logs: list[SecretLog] | None = None


class Result(_Struct, frozen=True, rename="pascal"):
    """A whole result of the protobuf, as CI pipelines submit it."""

    error: int | str | None = None
    image_id: str | None = msgspec.field(name="ImageID", default=None)
    registry: str | None = None
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    size: int | None = None
    author: str | None = None
    base_os: str | None = msgspec.field(name="Namespace", default=None)
    created_at: str | float | None = msgspec.field(name="Created", default=None)
    cvedb_version: str | None = msgspec.field(name="Version", default=None)
    cvedb_create_time: str | None = msgspec.field(name="CVEDBCreateTime", default=None)
    layers: list[ScanLayer] | None = None
    vulnerabilities: list[Vul] | None = msgspec.field(name="Vuls", default=None)
    modules: list[ScanModule] | None = None
    logs: SecretLogs | None = msgspec.field(name="Secrets", default=None)
    setid_perms: list[SetIdPerm] | None = msgspec.field(name="SetIdPerms", default=None)
    envs: Envs | None = None
    labels: Labels | None = None
    cmds: list[str] | None = None
    signature: SignatureInfo | None = msgspec.field(name="SignatureInfo", default=None)

    @property
    def secrets(self) -> list[SecretLog] | None:
        """The secrets; None where files were not scanned."""
        return None if self.logs is None else self.logs.logs or []


class Submission(_Struct, frozen=True):
    """The body of NeuVector's submission."""

    result: Result | None = None
