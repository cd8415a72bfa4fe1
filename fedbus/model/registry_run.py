"""Where the scan of a registry stands, with the words of NeuVector's summary."""

from typing import Literal

import msgspec

State = Literal["listing", "scanning", "done", "stopped", "failed"]

MAX_FAILURES = 1000
"""Failures that are kept of a run; their number counts all."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What could not be listed or scanned, and why; an empty tag means the whole repository."""

    repository: str
    tag: str = ""
    digest: str = ""
    code: str
    message: str


class Run(msgspec.Struct, kw_only=True):
    """One run over a registry; times are Unix seconds, 0 for not yet.

    `images` are tags that filters take, `digests` what should have a report, `scanned` those that have one,
    `scheduled` those still to be scanned; `limits` says what was left out and why. `submitted` was no run:
    what is held was found elsewhere, and is counted where it is.
    """

    registry: str
    reason: Literal["manual", "periodical", "database", "forced", "submitted"] = "manual"
    state: State = "listing"
    started_at: float = 0.0
    ended_at: float = 0.0
    images: int = 0
    digests: int = 0
    scheduled: int = 0
    scanning: int = 0
    scanned: int = 0
    failed: int = 0
    failures: list[Failure] = []
    limits: list[str] = []
    error_code: str = ""
    error_message: str = ""
    error_detail: str = ""
    cvedb_version: str = ""
    cvedb_create_time: str = ""

    @property
    def going(self) -> bool:
        """Whether it is not over."""
        return self.state in ("listing", "scanning")

    def fail(self, failure: Failure) -> None:
        """Count a failure."""
        self.failed += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(failure)


class RegistryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a summary has beside the registry itself: NeuVector's fields, and the run's own words."""

    status: Literal["idle", "scanning"] = "idle"
    error_message: str = ""
    error_detail: str = ""
    started_at: str = ""
    ended_at: str = ""
    scheduled: int = 0
    scanning: int = 0
    scanned: int = 0
    failed: int = 0
    cvedb_version: str = ""
    cvedb_create_time: str = ""
    state: Literal["", "listing", "scanning", "done", "stopped", "failed"] = ""
    reason: str = ""
    error_code: str = ""
    images: int = 0
    limits: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
