"""Scan results of realistic size: a hundred vulnerabilities, names that many images have in common."""

import random
from functools import lru_cache
from hashlib import sha256
from typing import Any

from fedbus.model.scan import CI_REGISTRY, Module, Report, ScannedImage, Severity, Vulnerability

_SEVERITIES: tuple[Severity, ...] = ("Critical", "High", "Medium", "Low")
_WORDS = tuple("a buffer overflow in the parser lets remote attackers read memory".split(" "))  # noqa: SIM905
CVES = 40_000
"""How many different CVEs there are; popular ones are in many images."""


def digest_of(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def report(
    number: int,
    *,
    registry: str = "fed.hub",
    vulnerabilities: int = 100,
    scanned_at: float = 1_780_000_000.0,
    **fields: Any,
) -> Report:
    """Return the report of image `number`; the same every time."""
    rng = random.Random(number)
    ci = registry.endswith(CI_REGISTRY)
    given: dict[str, Any] = {
        "digest": digest_of(f"image {number}"),
        "registry": registry,
        "registry_url": "https://registry.example.com/",
        "repository": f"team{number % 50}/app{number % 1000}",
        "tag": f"1.{number}",
        "image_id": f"{number:064x}",
        "source": "ci" if ci else "registry",
        "scanner": "trivy",
        "cvedb_version": "3.512",
        "cvedb_create_time": "2026-08-01T00:00:00Z",
        "scanned_at": scanned_at,
        "base_os": "debian:12.5",
        "vulnerabilities": _vulnerabilities(number, vulnerabilities),
        "modules": tuple(
            Module(name=f"lib{rng.randrange(3000)}", version=f"{rng.randrange(9)}.{rng.randrange(99)}")
            for _ in range(30)
        ),
    }
    return Report(**(given | fields))


def image(of: Report) -> ScannedImage:
    """Return the tag of a report."""
    return ScannedImage(
        registry=of.registry, repository=of.repository, tag=of.tag, digest=of.digest, image_id=of.image_id
    )


@lru_cache(maxsize=10)
def _vulnerabilities(number: int, count: int) -> tuple[Vulnerability, ...]:
    rng = random.Random(-number)
    return tuple(_vulnerability(rng) for _ in range(count))


def _vulnerability(rng: random.Random) -> Vulnerability:
    number = int(CVES * rng.random() ** 3)
    name = f"CVE-{2010 + number % 16}-{10_000 + number}"
    words = random.Random(number)
    return Vulnerability(
        name=name,
        severity=_SEVERITIES[number % 4],
        score=round(words.uniform(2, 10), 1),
        score_v3=round(words.uniform(2, 10), 1),
        vectors_v3="CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        description=" ".join(words.choices(_WORDS, k=30)),
        package_name=f"lib{number % 3000}",
        package_version=f"{number % 9}.{rng.randrange(99)}",
        fixed_version=f"{number % 9}.100",
        link=f"https://security.example.com/{name}",
        published_timestamp=1_600_000_000 + number * 1000,
        last_modified_timestamp=1_700_000_000 + number * 100,
        feed_rating="High",
    )
