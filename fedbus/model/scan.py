"""The result of scanning one image, whatever scanned it, with NeuVector's field names.

Times are Unix seconds, 0 where unknown; sizes are bytes; a score of 0 is unknown. One report is about one
digest; which tags name that digest is kept apart (`ScannedImage`), so that a tag that moves changes one
small object.
"""

from typing import Literal

import msgspec

MAX_REPORT = 32 * 1024 * 1024
"""The largest report, in bytes of JSON; ten times the largest that was seen."""

Severity = Literal["Critical", "High", "Medium", "Low", "Negligible", "Unknown"]
Source = Literal["registry", "ci"]

REPORT = "report"
IMAGE = "image"
"""The kinds of federated scan objects: a report of a digest, and a tag that names a digest."""

CI_REGISTRY = "_repo_scan"
FED_CI_REGISTRY = "fed._repo_scan"
"""Where NeuVector keeps what CI pipelines submit: on the master, and on the managed clusters."""


class Vex(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One statement of OpenVEX about a vulnerability: it annotates, the vulnerability stays."""

    status: Literal["not_affected", "affected", "fixed", "under_investigation"]
    justification: str = ""
    statement: str = ""
    author: str = ""
    timestamp: int = 0


class Vulnerability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One vulnerability of one package (NeuVector's RESTVulnerability)."""

    name: str
    severity: Severity = "Unknown"
    score: float = 0.0
    score_v3: float = 0.0
    vectors: str = ""
    vectors_v3: str = ""
    description: str = ""
    file_name: str = ""
    package_name: str = ""
    package_version: str = ""
    fixed_version: str = ""
    link: str = ""
    published_timestamp: int = 0
    last_modified_timestamp: int = 0
    cpes: tuple[str, ...] = ()
    cves: tuple[str, ...] = ()
    feed_rating: str = ""
    in_base_image: bool = False
    tags: tuple[str, ...] = ()
    vex: tuple[Vex, ...] = ()


class ModuleCve(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one vulnerability of a module: unpatched, fix exists, will not fix, unaffected."""

    name: str
    status: str = ""


class Module(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One package in the image; `ecosystem` is its package URL's type (deb, apk, rpm, npm, golang, ...)."""

    name: str
    version: str = ""
    file: str = ""
    source: str = ""
    ecosystem: str = ""
    cves: tuple[ModuleCve, ...] = ()
    cpes: tuple[str, ...] = ()


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding of a benchmark of compliance."""

    test_number: str
    category: str = ""
    type: str = ""
    profile: str = ""
    scored: bool = False
    automated: bool = False
    level: str = ""
    description: str = ""
    message: tuple[str, ...] = ()
    remediation: str = ""
    group: str = ""
    evidence: str = ""
    location: str = ""
    tags: tuple[str, ...] = ()


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret in a file; `evidence` is masked before it is kept."""

    type: str
    evidence: str = ""
    path: str = ""
    suggestion: str = ""


class SetidFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file with the setuid or setgid bit."""

    type: str
    path: str = ""
    evidence: str = ""


class Layer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One layer, the newest first; `vulnerabilities` are names."""

    digest: str
    cmds: str = ""
    size: int = 0
    vulnerabilities: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who signed the image, as `root/verifier`."""

    verifiers: tuple[str, ...] = ()
    verification_timestamp: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything one scan found in one image.

    `registry` is the name of the registry object (`CI_REGISTRY` for submissions), `registry_url` where the
    image lies (`https://host/`, empty if the scan does not say). `digest` identifies the report within its
    registry: the manifest's, or where a scanner does not know it the image's id, or a name.
    `scanned_at` and then `cvedb_create_time` order scans of one digest. `secrets` None: not looked for.
    """

    digest: str
    registry: str = ""
    registry_url: str = ""
    repository: str = ""
    tag: str = ""
    image_id: str = ""
    source: Source = "registry"
    scanner: str = ""
    scanner_version: str = ""
    cvedb_version: str = ""
    cvedb_create_time: str = ""
    scanned_at: float = 0.0
    created_at: float = 0.0
    author: str = ""
    size: int = 0
    base_os: str = ""
    platform: str = ""
    run_as_root: bool = False
    envs: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    cmds: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    vulnerabilities: tuple[Vulnerability, ...] = ()
    modules: tuple[Module, ...] = ()
    checks: tuple[Check, ...] = ()
    secrets: tuple[Secret, ...] | None = None
    setid_perms: tuple[SetidFile, ...] = ()
    signature: Signature = Signature()


class ScannedImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tag of a repository in a registry and the digest that it names there."""

    registry: str
    repository: str
    tag: str
    digest: str
    image_id: str = ""


class Large(msgspec.Struct, frozen=True, kw_only=True):
    """Where the payload of a report lies that no message can hold: an object in the scope's bucket.

    `object` is its name, the SHA-256 of its bytes in hexadecimal; `size` is how many those are, after
    compression with zstd.
    """

    object: str
    size: int


def is_federated(registry: str) -> bool:
    """Tell whether a registry's results are the federation's."""
    return registry.startswith("fed.")


def report_name(registry: str, digest: str) -> str:
    """Return the name of a report's object."""
    return f"{registry}/{digest}"


def image_name(registry: str, repository: str, tag: str) -> str:
    """Return the name of a tag's object."""
    return f"{registry}/{repository}:{tag}"
