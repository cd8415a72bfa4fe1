"""The record of admission: counted in memory, written in batches, never on a request's path."""

import asyncio
from collections import Counter
from collections.abc import Iterable

import msgspec
import structlog

from fedbus import metrics
from fedbus.errors import Unavailable
from fedbus.model.admission_events import (
    ALLOWED,
    DENIED,
    VIOLATION,
    AdmissionEvent,
    AdmissionStats,
    EventName,
    Result,
    RuleCount,
)
from fedbus.model.decision import Decision, RuleResult
from fedbus.model.review import Workload
from fedbus.runtime import Clock, first
from fedbus.store.admission_log import Counted
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

WRITE_SECONDS = 1.0
"""How long what happened may wait to be written; a crash forgets that much of statistics."""
MAX_PENDING = 2_000
"""Different events that may wait; those beyond are counted only."""

log = structlog.get_logger(__name__)


class Recorder:
    """Keeps the counts and the events of this cluster's admission."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._counts: Counter[Counted] = Counter()
        self._unwritten: Counter[Counted] = Counter()
        self._events: dict[str, AdmissionEvent] = {}
        self._pending = asyncio.Event()
        self.processing = 0
        """Reviews that are being decided now."""

    async def load(self) -> None:
        """Go on from the counts of the last run. Raises Unavailable."""
        self._counts = Counter(await self._database.read(lambda tx: tx.admission.counts()))

    @property
    def stats(self) -> AdmissionStats:
        """The counts of requests."""
        return AdmissionStats(
            k8s_allowed_requests=self._counts["", 0, "allowed"],
            k8s_denied_requests=self._counts["", 0, "denied"],
            k8s_erroneous_requests=self._counts["", 0, "error"],
            k8s_ignored_requests=self._counts["", 0, "ignored"],
            k8s_processing_requests=self.processing,
            violations=self._counts["", 0, "violation"],
        )

    def rules(self) -> list[RuleCount]:
        """Return the counts by rule."""
        return [
            msgspec.convert({"scope": scope, "rule": rule, "result": result, "count": count}, RuleCount)
            for (scope, rule, result), count in sorted(self._counts.items())
            if scope
        ]

    def ignored(self) -> None:
        """Count a request that there was nothing to judge in."""
        self._count("", 0, "ignored")

    def failed(self) -> None:
        """Count a request that could not be decided."""
        self._count("", 0, "error")

    def decided(self, workload: Workload, decision: Decision) -> None:
        """Count a decision, and note what each rule did."""
        self._count("", 0, "allowed" if decision.allowed else "denied")
        if any(container.violations for container in decision.containers):
            self._count("", 0, "violation")
        for said, result, name in _sayings(decision):
            self._count(said.scope, said.rule, result)
            self._note(workload, decision, said, name)

    def _count(self, scope: str, rule: int, result: Result) -> None:
        self._counts[scope, rule, result] += 1
        self._unwritten[scope, rule, result] += 1
        self._pending.set()
        if not scope:
            metrics.admission(result)

    def _note(self, workload: Workload, decision: Decision, said: RuleResult, name: EventName) -> None:
        now = self._clock.now()
        event = AdmissionEvent(
            name=name,
            first_at=now,
            last_at=now,
            namespace=workload.namespace,
            kind=workload.owner.kind if workload.owner else workload.kind,
            workload=workload.owner.name if workload.owner else workload.name,
            image=said.image,
            user=workload.user,
            rule=said.rule,
            rule_scope=said.scope,
            rule_type=said.rule_type,
            mode=said.mode,
            message=decision.message,
        )
        held = self._events.get(event.key)
        if held is not None:
            event = msgspec.structs.replace(event, first_at=held.first_at, count=held.count + 1)
        elif len(self._events) >= MAX_PENDING:
            return
        self._events[event.key] = event

    async def run(self, stop: asyncio.Event) -> None:
        """Write what happened, once a second at most, until `stop`; then what is left."""
        while not stop.is_set():
            await first(stop.wait(), self._pending.wait())
            await first(stop.wait(), timeout=WRITE_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what happened since the last time; what cannot be written now stays for the next."""
        self._pending.clear()
        counts, self._unwritten = self._unwritten, Counter()
        events, self._events = self._events, {}
        if not counts:
            return

        def write(tx: Transaction) -> None:
            tx.admission.count(counts)
            tx.admission.add(events.values())

        try:
            await self._database.write(write)
        except Unavailable as error:
            log.warning("admission_not_recorded", error=error.message)
            self._unwritten.update(counts)
            self._events = events | self._events
            self._pending.set()


def _sayings(decision: Decision) -> Iterable[tuple[RuleResult, Result, EventName]]:
    """Yield every rule that did something, once however many containers it did it to."""
    seen: set[tuple[str, int, str]] = set()
    for container in decision.containers:
        found: list[tuple[RuleResult, Result, EventName]] = [
            (said, "violation", VIOLATION) for said in container.violations
        ]
        if (by := container.decided_by) is not None:
            found.append((by, "allowed", ALLOWED) if container.allowed else (by, "denied", DENIED))
        for said, result, name in found:
            if (key := (said.scope, said.rule, result)) not in seen:
                seen.add(key)
                yield said, result, name
