"""The offline judge of a run with faults: what was acknowledged, what the stream has, what workers applied.

It looks at records only, after the run, so it knows nothing of how the faults were made (after etcd's
robustness tests). V1: no acknowledged write is missing from the stream or has been overtaken by nothing.
V2: per worker and object, versions strictly increase, so nothing is applied twice. V3: nothing is applied
that is not on the stream. V4: everybody holds the same.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple


class Write(NamedTuple):
    """One version of one object."""

    name: str
    epoch: int
    revision: int
    content: str


class Verdict(NamedTuple):
    """The violations found, by rule; all empty is good."""

    lost: list[str]
    doubled: list[str]
    unordered: list[str]
    invented: list[str]
    unequal: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing was violated."""
        return not any(self)


def judge(
    acknowledged: Iterable[Write],
    stream: Sequence[Write],
    applied: Mapping[str, Sequence[Write]],
    held: Mapping[str, Mapping[str, str]],
    digests: Mapping[str, str],
) -> Verdict:
    """Judge one run: `applied` and `held` (content by name) are by holder, `digests` too."""
    acknowledged = list(acknowledged)
    published, there = Counter(stream), set(stream)
    doubled = [f"{w} is {n} times on the stream" for w, n in published.items() if n > 1]
    versions = Counter((w.name, w.epoch, w.revision) for w in there)
    doubled += [f"{v} has {n} contents" for v, n in versions.items() if n > 1]
    answers = Counter((w.name, w.content) for w in acknowledged)
    written = Counter((w.name, w.content) for w in there)
    doubled += [f"{k} was written {written[k]} times" for k in answers if written[k] > 1]
    return Verdict(
        lost=[f"{w} was acknowledged" for w in acknowledged if w not in there]
        + _overtaken(acknowledged, held),
        doubled=doubled,
        unordered=[f"{who}: {text}" for who, journal in applied.items() for text in _unordered(journal)],
        invented=[f"{who}: {w}" for who, journal in applied.items() for w in journal if w not in there],
        unequal=[] if len(set(digests.values())) <= 1 and _same(held.values()) else [f"{digests} {held}"],
    )


def _overtaken(acknowledged: Iterable[Write], held: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Find objects that are not what their newest acknowledged version says."""
    newest: dict[str, Write] = {}
    for write in acknowledged:
        if write.name not in newest or newest[write.name][1:3] < write[1:3]:
            newest[write.name] = write
    return [
        f"{who} has {content.get(w.name)!r}, not {w}"
        for who, content in held.items()
        for w in newest.values()
        if content.get(w.name) != w.content
    ]


def _unordered(journal: Sequence[Write]) -> list[str]:
    last: dict[str, tuple[int, int]] = {}
    found = []
    for write in journal:
        stamp = (write.epoch, write.revision)
        if stamp <= last.get(write.name, (0, 0)):
            found.append(f"{write} after {last[write.name]}")
        last[write.name] = stamp
    return found


def _same(values: Iterable[Mapping[str, str]]) -> bool:
    first, *rest = [dict(v) for v in values] or [{}]
    return all(one == first for one in rest)


def keep_journal(store: Path) -> None:
    """Have SQLite itself note every object that a stopped worker's store will be given."""
    with closing(sqlite3.connect(store)) as database:
        database.executescript(
            "CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT, kind TEXT, name TEXT,"
            " epoch INTEGER, revision INTEGER, body BLOB);"
            "CREATE TRIGGER noted AFTER INSERT ON objects BEGIN"
            " INSERT INTO journal (scope, kind, name, epoch, revision, body)"
            " VALUES (new.scope, new.kind, new.name, new.epoch, new.revision, new.body); END;"
        )


def read_journal(store: Path) -> list[tuple[str, int, int, bytes]]:
    """Return (name, epoch, revision, body) of every policy object in the order it was applied."""
    with closing(sqlite3.connect(store)) as database:
        return database.execute(
            "SELECT name, epoch, revision, body FROM journal WHERE scope='all' ORDER BY id"
        ).fetchall()
