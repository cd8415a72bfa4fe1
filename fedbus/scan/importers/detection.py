"""Which scanner wrote a file."""

from enum import StrEnum

import msgspec

from fedbus.errors import InvalidInput
from fedbus.scan.importers.reading import decode


class Format(StrEnum):
    """The formats that are read."""

    NEUVECTOR = "neuvector"
    NEUVECTOR_RESULT = "neuvector-result"
    TRIVY = "trivy"
    TRIVY_LEGACY = "trivy-legacy"
    TRIVY_KUBERNETES = "trivy-kubernetes"
    GRYPE = "grype"
    CYCLONEDX = "cyclonedx"
    SARIF = "sarif"


class _Marks(msgspec.Struct, frozen=True):
    """What tells formats apart: that a key is there, or its value."""

    result: msgspec.Raw = msgspec.Raw()
    report: msgspec.Raw = msgspec.Raw()
    matches: msgspec.Raw = msgspec.Raw()
    runs: msgspec.Raw = msgspec.Raw()
    items: msgspec.Raw = msgspec.Raw()
    statements: msgspec.Raw = msgspec.Raw()
    cluster: msgspec.Raw = msgspec.field(name="ClusterName", default=msgspec.Raw())
    schema: msgspec.Raw = msgspec.field(name="SchemaVersion", default=msgspec.Raw())
    artifact: msgspec.Raw = msgspec.field(name="ArtifactName", default=msgspec.Raw())
    bom: msgspec.Raw = msgspec.field(name="bomFormat", default=msgspec.Raw())
    spdx: msgspec.Raw = msgspec.field(name="spdxVersion", default=msgspec.Raw())
    context: msgspec.Raw = msgspec.field(name="@context", default=msgspec.Raw())


def detect(raw: bytes) -> Format:
    """Return the format of a file by its outermost keys.

    Raises InvalidInput, with what it is and what to do where it is something else that is known.
    """
    start = raw[:64].lstrip()
    if raw.strip() == b"null" or start.startswith(b"["):
        return Format.TRIVY_LEGACY
    if not start:
        raise InvalidInput("The file is empty", code="BODY_MALFORMED")
    if not start.startswith(b"{"):
        decode(raw, dict[str, msgspec.Raw])  # says what is wrong with it
    found: _Marks = decode(raw, _Marks)
    for form, marks in (
        (Format.NEUVECTOR_RESULT, (found.result,)),
        (Format.NEUVECTOR, (found.report,)),
        (Format.TRIVY_KUBERNETES, (found.cluster,)),
        (Format.TRIVY, (found.schema, found.artifact)),
        (Format.GRYPE, (found.matches,)),
        (Format.SARIF, (found.runs,)),
    ):
        if any(map(bytes, marks)):
            return form
    if bytes(found.bom) == b'"CycloneDX"':
        return Format.CYCLONEDX
    raise _unknown(found)


def _unknown(found: _Marks) -> InvalidInput:
    context = bytes(found.context).lower()
    if bytes(found.spdx) or b"spdx" in context:
        return InvalidInput(
            "This is an SPDX document: it lists packages and says nothing of vulnerabilities",
            code="FORMAT_UNSUPPORTED",
            remedy="Scan it (trivy sbom --format json FILE, grype sbom:FILE -o json) and submit the result",
        )
    if b"openvex" in context or bytes(found.statements):
        return InvalidInput(
            "This is an OpenVEX document: it says something about a scan, and is none",
            code="FORMAT_UNSUPPORTED",
            remedy="Submit the scan, and name this file with --vex",
        )
    if bytes(found.items):
        return InvalidInput(
            "This is a report of compliance of hosts or containers, not a scan of an image",
            code="FORMAT_UNSUPPORTED",
        )
    return InvalidInput(
        "This is none of the formats that are read",
        code="FORMAT_UNKNOWN",
        remedy=f"Known are: {', '.join(Format)}",
    )
