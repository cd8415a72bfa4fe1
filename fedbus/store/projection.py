"""What look-ups read of scan results: kept beside the objects, in the same transaction as the fold.

A posting is two numbers, that of a vulnerability and that of a report: ten million postings (100,000 images
of a hundred vulnerabilities) are about a hundred megabytes. They are written once a transaction, in order,
so that one transaction of many reports touches each page once. No table of names is needed: the number of a
CVE is made of its year and number.
"""

import re
import sqlite3
from array import array
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from fedbus.core.image_reference import host_of
from fedbus.model.scan import REPORT, Report, ScannedImage

_COLUMNS = (
    "scope, registry, digest, image_id, host, repository, tag, source, scanner, base_os, author, created_at,"
    " size, scanned_at, cvedb_create_time, cvedb_version, critical, high, medium, low, bytes, cves"
)
_PUT = f"INSERT INTO reports ({_COLUMNS}) VALUES ({','.join('?' * 22)}) RETURNING id"  # noqa: S608 - constants
_HELD = "SELECT id, cves, bytes FROM reports WHERE digest=? AND registry=? AND scope=?"
_CHANGE = f"UPDATE reports SET ({_COLUMNS}) = ({','.join('?' * 22)}) WHERE id=?"  # noqa: S608 - constants
_CVE = re.compile(r"CVE-(\d{4})-(\d{4,8})")
_FIRST_YEAR, _YEARS, _NUMBERS = 1990, 1 << 8, 1 << 24


@lru_cache(maxsize=50_000)
def number_of(name: str) -> int:
    """Return the number that stands for a vulnerability: under 2**32 for a CVE, a hash for other names."""
    name = name.upper()
    if (found := _CVE.fullmatch(name)) is not None:
        year, number = int(found[1]) - _FIRST_YEAR, int(found[2])
        # A name with leading zeros that it need not have is another name.
        if 0 <= year < _YEARS and number < _NUMBERS and found[2] == f"{number:04d}":
            return year * _NUMBERS + number
    hashed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    return hashed >> 1 | 1 << 62


class Projection:
    """Writes the projection within one transaction; `save` at its end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._added: list[tuple[int, int]] = []
        self._removed: list[tuple[int, int]] = []
        self._totals: dict[str, tuple[int, int]] = {}

    def put_report(self, scope: str, report: Report, size: int) -> int:
        """Write what a report says, `size` being the bytes it takes; return its number."""
        numbers = sorted(_numbers(report))
        row = (*_row(scope, report), size, _packed(numbers))
        held = self._connection.execute(_HELD, (report.digest, report.registry, scope)).fetchone()
        if held is None:
            (number,) = self._connection.execute(_PUT, row).fetchone()
            self._added += [(cve, number) for cve in numbers]
            self._count(scope, 1, size)
        else:
            number, before = held[0], set(_unpacked(held[1]))
            self._connection.execute(_CHANGE, (*row, number))
            now = set(numbers)
            self._added += [(cve, number) for cve in now - before]
            self._removed += [(cve, number) for cve in before - now]
            self._count(scope, 0, size - held[2])
        return int(number)

    def drop_report(self, scope: str, registry: str, digest: str) -> None:
        """Take a report out, if it is there."""
        held = self._connection.execute(_HELD, (digest, registry, scope)).fetchone()
        if held is not None:
            number, cves, size = held
            self._removed += [(cve, number) for cve in _unpacked(cves)]
            self._connection.execute("DELETE FROM reports WHERE id=?", (number,))
            self._connection.execute("DELETE FROM local_bodies WHERE report=?", (number,))
            self._count(scope, -1, -size)
            self._flush()  # its number may be given out again

    def put_image(self, scope: str, image: ScannedImage) -> None:
        """Write which digest a tag names."""
        self._connection.execute(
            "INSERT OR REPLACE INTO tags (repository, tag, registry, scope, digest, image_id)"
            " VALUES (?,?,?,?,?,?)",
            (image.repository, image.tag, image.registry, scope, image.digest, image.image_id),
        )

    def drop_image(self, scope: str, registry: str, repository: str, tag: str) -> None:
        """Take a tag out, if it is there."""
        self._connection.execute(
            "DELETE FROM tags WHERE repository=? AND tag=? AND registry=? AND scope=?",
            (repository, tag, registry, scope),
        )

    def drop(self, scope: str, kind: str, name: str) -> None:
        """Take out what an object's name names, if it is there."""
        registry, _, rest = name.partition("/")
        if kind == REPORT:
            self.drop_report(scope, registry, rest)
        else:
            colon = rest.find(":", rest.rfind("/") + 1)
            self.drop_image(scope, registry, rest[:colon], rest[colon + 1 :])

    def save(self) -> None:
        """Write the postings and totals."""
        self._flush()
        self._connection.executemany(
            "INSERT INTO totals (scope, reports, bytes) VALUES (?,?,?) ON CONFLICT (scope)"
            " DO UPDATE SET reports = reports + excluded.reports, bytes = bytes + excluded.bytes",
            [(scope, *change) for scope, change in self._totals.items()],
        )
        self._totals.clear()

    def _flush(self) -> None:
        if self._removed:
            self._connection.executemany(
                "DELETE FROM postings WHERE cve=? AND report=?", sorted(self._removed)
            )
            self._removed.clear()
        if self._added:
            self._connection.executemany("INSERT OR IGNORE INTO postings VALUES (?,?)", sorted(self._added))
            self._added.clear()

    def _count(self, scope: str, reports: int, size: int) -> None:
        held = self._totals.get(scope, (0, 0))
        self._totals[scope] = (held[0] + reports, held[1] + size)


def _numbers(report: Report) -> set[int]:
    found = {number_of(v.name) for v in report.vulnerabilities}
    found.update(number_of(name) for v in report.vulnerabilities if v.cves for name in v.cves)
    return found


def _packed(numbers: list[int]) -> bytes:
    """Return sorted numbers as bytes, behind the type that holds the largest."""
    kind = "I" if not numbers or numbers[-1] < 1 << 32 else "Q"
    return kind.encode() + array(kind, numbers).tobytes()


def _unpacked(packed: bytes) -> Sequence[int]:
    return array(packed[:1].decode(), packed[1:])


def _row(scope: str, report: Report) -> tuple[object, ...]:
    counts = Counter([v.severity for v in report.vulnerabilities])
    low = sum(counts.values()) - counts["Critical"] - counts["High"] - counts["Medium"]
    return (
        scope, report.registry, report.digest, report.image_id, host_of(report.registry_url),
        report.repository, report.tag, report.source, report.scanner, report.base_os, report.author,
        report.created_at, report.size, report.scanned_at, report.cvedb_create_time, report.cvedb_version,
        counts["Critical"], counts["High"], counts["Medium"], low,
    )  # fmt: skip
