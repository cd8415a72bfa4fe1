"""Looking up scan results: by digest, image id, tag, registry and CVE; and a cluster's own results.

Whatever its source, the newest scan of a digest wins: by when it was scanned, then by when the database it
was scanned with was made.
"""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from fedbus.core import payload
from fedbus.errors import InvalidEvent, Unavailable
from fedbus.model import codec
from fedbus.model.review import ImageReference
from fedbus.model.scan import MAX_REPORT, Large, Report, ScannedImage, Source, report_name
from fedbus.store.projection import Projection, number_of

SCOPE_LOCAL = "local"
"""The scope of what the cluster scanned itself; never on the bus."""

_BRIEF = (
    "r.id, r.scope, r.registry, r.digest, r.image_id, r.host, r.repository, r.tag, r.source, r.scanner,"
    " r.base_os, r.author, r.created_at, r.size, r.scanned_at, r.cvedb_create_time, r.cvedb_version,"
    " r.critical, r.high, r.medium, r.low, r.bytes"
)
_NEWEST = "ORDER BY r.scanned_at DESC, r.cvedb_create_time DESC, r.scope DESC, r.registry LIMIT 1"


class Brief(msgspec.Struct, frozen=True, gc=False):
    """What is known of a report without reading it."""

    id: int
    scope: str
    registry: str
    digest: str
    image_id: str
    host: str
    repository: str
    tag: str
    source: Source
    scanner: str
    base_os: str
    author: str
    created_at: float
    size: int
    scanned_at: float
    cvedb_create_time: str
    cvedb_version: str
    critical: int
    high: int
    medium: int
    low: int
    bytes: int


class Listed(msgspec.Struct, frozen=True):
    """A tag and the report of the digest that it names; None where that was not scanned."""

    image: ScannedImage
    brief: Brief | None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of a registry."""

    registry: str
    reports: int
    images: int
    bytes: int
    critical: int
    high: int
    medium: int
    low: int
    newest: float
    """When its newest scan was, Unix seconds."""


class Scans:
    """The scan results within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # one image

    def by_digest(self, digest: str) -> Brief | None:
        """Return the newest report of a digest, whatever its source."""
        return self._one(f"WHERE r.digest=? {_NEWEST}", digest)

    def by_image_id(self, image_id: str) -> Brief | None:
        """Return the newest report of an image id, whatever its source."""
        return self._one(f"WHERE r.image_id=? AND r.image_id <> '' {_NEWEST}", image_id)

    def by_tag(self, repository: str, tag: str, host: str = "") -> Brief | None:
        """Return the newest report of an image by its name in a registry, or in any.

        A result that does not say where its image lies counts for every registry.
        """
        digests = self._named(repository, tag, host)
        found = [brief for digest in digests if (brief := self.by_digest(digest)) is not None]
        return max(found, key=_age, default=None)

    def of_image(self, image: ImageReference) -> list[Brief]:
        """Return the newest report of each digest that a workload's name of an image can mean, newest first.

        A digest decides by itself. What a pipeline submitted is about its digest wherever it lies, what a
        registry's scan found about that registry (NeuVector's rule for admission).
        """
        digests = {image.digest} if image.digest else self._named(image.repository, image.tag, image.registry)
        found = [brief for digest in digests if (brief := self._speaking(digest, image.registry)) is not None]
        return sorted(found, key=_age, reverse=True)

    def _named(self, repository: str, tag: str, host: str) -> set[str]:
        """Return the digests that a tag names in a registry, and where nobody says in which."""
        rows = self._connection.execute(
            "SELECT DISTINCT t.digest, r.host FROM tags t JOIN reports r"
            " ON r.digest=t.digest AND r.registry=t.registry AND r.scope=t.scope"
            " WHERE t.repository=? AND t.tag=?",
            (repository, tag),
        )
        return {digest for digest, found in rows if not host or not found or found == host}

    def _speaking(self, digest: str, host: str) -> Brief | None:
        return self._one(f"WHERE r.digest=? AND (r.source='ci' OR r.host IN ('', ?)) {_NEWEST}", digest, host)

    def in_registry(self, registry: str, image: str) -> Brief | None:
        """Return a registry's own report, by image id or digest."""
        by_digest = self._one(f"WHERE r.registry=? AND r.digest=? {_NEWEST}", registry, image)
        return by_digest or self._one(f"WHERE r.registry=? AND r.image_id=? {_NEWEST}", registry, image)

    def payload(self, brief: Brief) -> bytes:
        """Return a report as JSON. Raises Unavailable for one that is damaged, or large and not all here."""
        if brief.scope == SCOPE_LOCAL:
            (body,) = self._connection.execute(
                "SELECT body FROM local_bodies WHERE report=?", (brief.id,)
            ).fetchone()
            return codec.unpack(body, codec.ZSTD, MAX_REPORT)
        body, encoding, digest = self._connection.execute(
            "SELECT body, encoding, digest FROM objects WHERE scope=? AND kind='report' AND name=?",
            (brief.scope, report_name(brief.registry, brief.digest)),
        ).fetchone()
        if sha256(body).hexdigest() != digest:  # the file is looked through later than it is served
            raise _damaged(brief)
        if encoding != codec.LARGE:
            return codec.unpack(body, encoding, MAX_REPORT)
        large = codec.decode(body, Large)
        if (whole := self.large(large)) is None:
            raise Unavailable(f"the report of {brief.digest} is not here yet", code="REPORT_INCOMPLETE")
        if sha256(whole).hexdigest() != large.object:
            raise _damaged(brief)
        return codec.unpack(whole, codec.ZSTD, MAX_REPORT)

    def report(self, brief: Brief) -> Report:
        """Return a report. Raises Unavailable as `payload`."""
        return codec.decode(self.payload(brief), Report)

    # many

    def registry(self, registry: str, scope: str | None = None, *, limit: int = -1) -> list[Brief]:
        """Return the reports of a registry, or some of them."""
        return self._many("WHERE r.registry=? AND r.scope=ifnull(?, r.scope) LIMIT ?", registry, scope, limit)

    def images(self, registry: str, scope: str | None = None, *, limit: int = -1) -> list[ScannedImage]:
        """Return the tags of a registry, or some of them."""
        rows = self._connection.execute(
            "SELECT registry, repository, tag, digest, image_id FROM tags"
            " WHERE registry=? AND scope=ifnull(?, scope) ORDER BY repository, tag LIMIT ?",
            (registry, scope, limit),
        )
        return [_image(row) for row in rows]

    def tags_of(self, digest: str) -> list[ScannedImage]:
        """Return every tag that names a digest, in all registries."""
        rows = self._connection.execute(
            "SELECT registry, repository, tag, digest, image_id FROM tags WHERE digest=?"
            " ORDER BY registry, repository, tag",
            (digest,),
        )
        return [_image(row) for row in rows]

    def listed(
        self, *, registry: str = "", text: str = "", after: Sequence[str] = (), limit: int = 100
    ) -> list[Listed]:
        """Return tags by registry, repository and tag, each with its registry's own report.

        `text` is looked for in repository, tag and digest; `after` is the (registry, repository, tag) to go
        on behind.
        """
        where, values = ["(t.registry, t.repository, t.tag) > (?,?,?)"], [*(after or ("", "", ""))]
        if registry:
            where.append("t.registry=?")
            values.append(registry)
        if text:
            where.append("instr(lower(t.repository || ':' || t.tag || '@' || t.digest), ?) > 0")
            values.append(text.lower())
        rows = self._connection.execute(
            f"SELECT t.registry, t.repository, t.tag, t.digest, t.image_id, {_BRIEF}"  # noqa: S608
            " FROM tags t INDEXED BY tags_by_registry LEFT JOIN reports r"
            " ON r.digest=t.digest AND r.registry=t.registry AND r.scope=t.scope"
            f" WHERE {' AND '.join(where)} ORDER BY t.registry, t.repository, t.tag LIMIT ?",
            (*values, limit),
        )
        return [Listed(_image(row[:5]), Brief(*row[5:]) if row[5] is not None else None) for row in rows]

    def with_cve(self, name: str, *, after: int = 0, limit: int = 100) -> list[Brief]:
        """Return the reports that name a vulnerability, in the order in which they came first.

        `after` is the number of the report to go on behind.
        """
        rows = self._connection.execute(
            f"SELECT {_BRIEF} FROM postings p JOIN reports r ON r.id=p.report"  # noqa: S608
            " WHERE p.cve=? AND p.report > ? ORDER BY p.report LIMIT ?",
            (number_of(name), after, limit),
        )
        return [Brief(*row) for row in rows]

    def counted_with_cve(self, name: str) -> int:
        """Return how many reports name a vulnerability."""
        row = self._connection.execute(
            "SELECT count(*) FROM postings WHERE cve=?", (number_of(name),)
        ).fetchone()
        return int(row[0])

    def counts(self, registry: str | None = None) -> list[Counts]:
        """Return what is held of each registry, or of one."""
        images = dict(
            self._connection.execute(
                "SELECT registry, count(*) FROM tags WHERE registry=ifnull(?, registry) GROUP BY registry",
                (registry,),
            ).fetchall()
        )
        rows = self._connection.execute(
            "SELECT registry, count(*), sum(bytes), sum(critical), sum(high), sum(medium), sum(low),"
            " max(scanned_at) FROM reports WHERE registry=ifnull(?, registry) GROUP BY registry",
            (registry,),
        ).fetchall()
        return [
            Counts(
                registry=r[0], reports=r[1], images=images.get(r[0], 0), bytes=r[2], critical=r[3],
                high=r[4], medium=r[5], low=r[6], newest=r[7],
            )
            for r in rows
        ]  # fmt: skip

    def total(self, scope: str) -> tuple[int, int]:
        """Return how many reports a scope has, and their bytes."""
        row = self._connection.execute("SELECT reports, bytes FROM totals WHERE scope=?", (scope,)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def registries(self, scope: str) -> set[str]:
        """Return the names of the registries that a scope has something of."""
        rows = self._connection.execute(
            "SELECT DISTINCT registry FROM reports WHERE scope=? UNION"
            " SELECT DISTINCT registry FROM tags WHERE scope=?",
            (scope, scope),
        )
        return {row[0] for row in rows}

    def held(self, scope: str, registry: str, digest: str) -> Brief | None:
        """Return what is known of one report."""
        return self._one("WHERE r.digest=? AND r.registry=? AND r.scope=?", digest, registry, scope)

    def is_outdated(self, scope: str, image: ScannedImage, scan: Report | Brief) -> bool:
        """Tell whether a tag names another digest by now, by a newer scan than the one that says `image`."""
        row = self._connection.execute(
            "SELECT digest FROM tags WHERE repository=? AND tag=? AND registry=? AND scope=?",
            (image.repository, image.tag, image.registry, scope),
        ).fetchone()
        if row is None or row[0] == image.digest:
            return False
        held = self.held(scope, image.registry, row[0])
        return held is not None and is_older(scan, held)

    def _one(self, where: str, *values: object) -> Brief | None:
        row = self._connection.execute(f"SELECT {_BRIEF} FROM reports r {where}", values).fetchone()  # noqa: S608
        return Brief(*row) if row else None

    def _many(self, where: str, *values: object) -> list[Brief]:
        rows = self._connection.execute(f"SELECT {_BRIEF} FROM reports r {where}", values)  # noqa: S608
        return [Brief(*row) for row in rows]

    # the cluster's own

    def put_local(self, reports: Sequence[tuple[Report, bytes]], images: Sequence[ScannedImage]) -> None:
        """Keep reports, each with its compressed JSON, and tags of this cluster's own registries.

        What is older than what is held of the digest is passed over, and so is a pipeline's tag that a
        newer scan has given to another digest. (A registry's scan knows its tags; a pipeline only says so.)
        """
        projection = Projection(self._connection)
        by_pipelines = newest_of_each(report for report, _ in reports if report.source == "ci")
        for report, body in reports:
            held = self.held(SCOPE_LOCAL, report.registry, report.digest)
            if held is None or not is_older(report, held):
                number = projection.put_report(SCOPE_LOCAL, report, len(body))
                self._connection.execute(
                    "INSERT OR REPLACE INTO local_bodies (report, body) VALUES (?,?)", (number, body)
                )
        for image in images:
            said = by_pipelines.get(image.digest)
            if said is None or not self.is_outdated(SCOPE_LOCAL, image, said):
                projection.put_image(SCOPE_LOCAL, image)
        projection.save()

    def drop_local(
        self, registry: str, digests: Collection[str], images: Collection[tuple[str, str]]
    ) -> None:
        """Drop some of one of this cluster's own registries."""
        projection = Projection(self._connection)
        for digest in digests:
            projection.drop_report(SCOPE_LOCAL, registry, digest)
        for repository, tag in images:
            projection.drop_image(SCOPE_LOCAL, registry, repository, tag)
        projection.save()

    # large reports, as they come in

    def chunk_count(self, object_: str) -> tuple[int, int]:
        """Return how many chunks of an object are here, and where the bucket had the last one."""
        row = self._connection.execute(
            "SELECT count(*), ifnull(max(seq), 0) FROM chunks WHERE object=?", (object_,)
        ).fetchone()
        return int(row[0]), int(row[1])

    def put_chunk(self, object_: str, number: int, seq: int, body: bytes) -> None:
        """Keep one chunk of an object."""
        self._connection.execute(
            "INSERT OR REPLACE INTO chunks (object, number, seq, body) VALUES (?,?,?,?)",
            (object_, number, seq, body),
        )

    def drop_chunks(self, object_: str) -> None:
        """Drop what is here of an object."""
        self._connection.execute("DELETE FROM chunks WHERE object=?", (object_,))

    def large(self, large: Large) -> bytes | None:
        """Return the bytes of an object, None unless all are here."""
        (size,) = self._connection.execute(
            "SELECT ifnull(sum(length(body)), 0) FROM chunks WHERE object=?", (large.object,)
        ).fetchone()
        if size != large.size:
            return None
        rows = self._connection.execute(
            "SELECT body FROM chunks WHERE object=? ORDER BY number", (large.object,)
        )
        return b"".join(row[0] for row in rows)

    def whole(self, name: str, content: object) -> object:
        """Return the report that a reference under this name stands for, anything else as it is.

        Raises InvalidEvent: LARGE_MISSING, or as `codec.unpack` and a payload that does not decode.
        """
        if not isinstance(content, Large):
            return content
        if (body := self.large(content)) is None:
            raise InvalidEvent("the object of a large report is not here", code="LARGE_MISSING")
        if sha256(body).hexdigest() != content.object:
            raise InvalidEvent("the object of a large report is another", code="LARGE_ALTERED")
        try:
            report = codec.decode(codec.unpack(body, codec.ZSTD, MAX_REPORT), Report)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidEvent(
                f"a large report does not decode: {error}", code="PAYLOAD_UNDECODABLE"
            ) from error
        payload.check_place(name, report)
        return report

    def has_chunks(self) -> bool:
        """Tell whether anything of an object is here."""
        return self._connection.execute("SELECT 1 FROM chunks LIMIT 1").fetchone() is not None

    def keep_chunks(self, objects: Collection[str]) -> None:
        """Drop what is here of all other objects."""
        held = {row[0] for row in self._connection.execute("SELECT DISTINCT object FROM chunks")}
        for object_ in held.difference(objects):
            self.drop_chunks(object_)

    def references(self, scope: str) -> list[Large]:
        """Return the references of the large reports of a scope."""
        rows = self._connection.execute(
            f"SELECT body FROM objects WHERE scope=? AND encoding='{codec.LARGE}' AND NOT deleted",  # noqa: S608
            (scope,),
        )
        return [codec.decode(body, Large) for (body,) in rows]


def _age(brief: Brief) -> tuple[float, str, str]:
    return brief.scanned_at, brief.cvedb_create_time, brief.digest


def _damaged(brief: Brief) -> Unavailable:
    return Unavailable(
        f"the report of {brief.digest} is damaged",
        code="REPORT_DAMAGED",
        remedy="wait until the store was looked through: the bus brings it again",
    )


def is_older(scan: Report | Brief, held: Brief) -> bool:
    """Tell whether a report is of an earlier scan than the one that is held."""
    return (scan.scanned_at, scan.cvedb_create_time) < (held.scanned_at, held.cvedb_create_time)


def newest_of_each(reports: Iterable[Report]) -> dict[str, Report]:
    """Return the report of the newest scan of each digest."""
    return {one.digest: one for one in sorted(reports, key=lambda r: (r.scanned_at, r.cvedb_create_time))}


def _image(row: Sequence[Any]) -> ScannedImage:
    return ScannedImage(registry=row[0], repository=row[1], tag=row[2], digest=row[3], image_id=row[4])
