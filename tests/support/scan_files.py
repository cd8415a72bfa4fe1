"""The real reports of `tests/data/scan`, and what is made of them."""

from pathlib import Path

import msgspec

from fedbus.scan.importers import Given, Imported, read

DATA = Path(__file__).parents[1] / "data" / "scan"

REPORTS = (
    "grype/many_vulns3.json",
    "grype/no_vuln.json",
    "neuvector-scan/no_vuln.json",
    "neuvector-scan/one_vuln.json",
    "sarif/no_runs.sarif",
    "sarif/trivy-alpine-310.sarif",
    "sbom-vex/cyclonedx-1.4-vuln.json",
    "trivy/alpine-310.json",
    "trivy/dd-no-vuln.json",
    "trivy/gomod-vex.json",
    "trivy/npm.json",
    "trivy/secrets.json",
)
"""Those that are scans of something."""

RECEIVED = 1_700_000_000.0
IMAGE = Given(registry="registry.example.com", repository="team/app", tag="1.4", digest="sha256:" + "ab" * 32)

CI_RESULT: dict[str, object] = {
    "Version": "3.512",
    "CVEDBCreateTime": "2026-08-01T00:00:00Z",
    "Namespace": "alpine:3.17.0",
    "Registry": "https://registry.example.com/",
    "Repository": "team/app",
    "Tag": "1.4",
    "Digest": "sha256:" + "aa" * 32,
    "ImageID": "49" * 32,
    "Created": "2026-07-30T10:00:00Z",
    "Size": 6700000,
    "Vuls": [
        {
            "Name": "CVE-2026-0001",
            "Severity": "High",
            "Score": 6.8,
            "ScoreV3": 8.1,
            "PackageName": "busybox",
            "PackageVersion": "1.25.1-r2",
            "FixedVersion": "1.28.3-r2",
            "PublishedDate": "1767225600",
            "Link": "https://example.com/CVE-2026-0001",
            "DBKey": "alpine:CVE-2026-0001",
        }
    ],
    "Modules": [{"Name": "busybox", "Version": "1.25.1-r2", "Source": "alpine:3.17.0"}],
    "Layers": [],
    "Envs": ["A=b", "DB_PASSWORD=hunter22"],
    "Labels": {"x": "y"},
    "Cmds": ["CMD sh", "USER 1001"],
    "Secrets": {"Logs": []},
    "SetIdPerms": [],
    "SignatureInfo": {"Verifiers": ["root1/ver1"]},
}
"""What a CI pipeline submits to NeuVector."""


def content(name: str) -> bytes:
    """Return a file's bytes."""
    return (DATA / name).read_bytes()


def imported(name: str, given: Given = IMAGE) -> Imported:
    """Read a file."""
    return read(content(name), received=RECEIVED, given=given)


def ci_body(**changed: object) -> bytes:
    """Return the body of a submission, some fields changed; None leaves one out."""
    result = {key: value for key, value in (CI_RESULT | changed).items() if value is not None}
    return msgspec.json.encode({"result": result})


def many_matches(size: int) -> bytes:
    """Return a report of Grype of about `size` bytes: the real one's matches, each of another package."""
    document = msgspec.json.decode(content("grype/many_vulns3.json"))
    matches, length, round_ = document["matches"], 0, 0
    made = []
    while length < size:
        for one in matches:
            artifact = one["artifact"] | {"name": f"{one['artifact']['name']}-{round_}"}
            made.append(one | {"artifact": artifact})
        round_ += 1
        length += len(msgspec.json.encode(matches))
    return msgspec.json.encode(document | {"matches": made})
