"""What a run has to do: which digests are scanned, and what of the held results goes."""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from fedbus.model.scan import ScannedImage

Reason = Literal["manual", "periodical", "database", "forced", "submitted"]
"""Why a registry is scanned; `forced` scans again what is known, `submitted` is never scanned."""

Tag = tuple[str, str]
"""Repository and tag."""


class Known(msgspec.Struct, frozen=True):
    """What is held of a digest: when it was scanned, and with which vulnerability database."""

    scanned_at: float
    database: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What listing a registry found.

    `missing` are tags that the registry names and does not have; `unread` are repositories, or with a tag
    single images, of which nothing is known this time: what is held of them stays.
    """

    images: tuple[ScannedImage, ...]
    missing: frozenset[Tag] = frozenset()
    unread_repositories: frozenset[str] = frozenset()
    unread_tags: frozenset[Tag] = frozenset()


class Plan(msgspec.Struct, frozen=True):
    """The tags to keep, the digests to scan in order, and the tags and digests that go."""

    tags: tuple[ScannedImage, ...]
    scan: tuple[str, ...]
    gone_tags: frozenset[Tag]
    gone_digests: frozenset[str]


def plan(
    found: Found,
    held_images: Collection[ScannedImage],
    held: Mapping[str, Known],
    wanted: Collection[str],
    *,
    again: "Again",
) -> Plan:
    """Compare a listing with what is held.

    `wanted` are the digests that should have a report: those that tags name, and further platforms.
    """
    now = {(one.repository, one.tag): one for one in found.images}
    before = {(one.repository, one.tag): one for one in held_images}
    unread = {
        key for key in before if key[0] in found.unread_repositories or key in found.unread_tags
    } - now.keys()
    kept = {before[key].digest for key in unread}
    unread |= {key for key, one in before.items() if ":" in key[1] and one.digest in kept} - now.keys()
    changed = tuple(one for key, one in now.items() if before.get(key) != one)
    return Plan(
        tags=changed,
        scan=tuple(digest for digest in _once(wanted) if again.needed(held.get(digest))),
        gone_tags=frozenset(before.keys() - now.keys() - unread),
        gone_digests=frozenset(held.keys() - kept - set(wanted)),
    )


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """When a digest that was scanned is scanned again.

    `database` is the vulnerability database of now, empty where it is not known; a run that goes on after
    a restart has the `since` it began with, so that what it did is not done again.
    """

    reason: Reason
    database: str
    since: float
    rescan_after_update: bool

    def needed(self, known: Known | None) -> bool:
        """Tell whether a digest is scanned."""
        if known is None:
            return True
        if self.reason == "forced":
            return known.scanned_at < self.since
        updated = bool(self.database) and known.database != self.database
        return updated and (self.rescan_after_update or self.reason == "manual")


def due(schedule: str, interval: float, started_at: float, now: float) -> bool:
    """Tell whether a registry is scanned by its schedule; `started_at` is 0 before its first run."""
    if schedule == "manual":
        return False
    every = interval if schedule == "periodical" else AUTO_SECONDS
    return not started_at or now - started_at >= every


AUTO_SECONDS = 300.0
"""How often a registry with the schedule `auto` is looked at: it cannot tell us of its changes."""


def _once(digests: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(digests))
