"""Folding messages into the store: verify, judge, apply, all in one transaction (guarantees 2 to 4, 8)."""

from collections.abc import Sequence

import msgspec

from fedbus import tracing
from fedbus.bus.session import Message
from fedbus.core import changesets, payload
from fedbus.core.fold import Verdict
from fedbus.errors import InvalidEvent
from fedbus.model import subjects
from fedbus.model.events import Event
from fedbus.model.federation import ScopeState
from fedbus.pki.signing import Verifier
from fedbus.pki.verification import verified
from fedbus.store.quarantine import Quarantined
from fedbus.store.transaction import Transaction


class Item(msgspec.Struct, frozen=True):
    """A message after verification: an event, or the reason it was refused."""

    seq: int
    event: Event | None
    refused: Quarantined | None = None
    trace: str = ""
    """The `traceparent` it came with; not signed."""
    content: object = None
    """What its payload says."""

    @property
    def changeset(self) -> str:
        """The changeset it belongs to; empty for a refused message."""
        return self.event.changeset if self.event else ""

    @property
    def index(self) -> int:
        """Its place in the changeset."""
        return self.event.index if self.event else 0

    @property
    def count(self) -> int:
        """How many members its changeset has."""
        return self.event.count if self.event else 1


class Folded(msgspec.Struct, kw_only=True):
    """What one transaction did in a scope."""

    scope: str
    state: ScopeState
    applied: int = 0
    duplicates: int = 0
    parked: int = 0
    refused: list[str] = []
    alarms: int = 0
    controls: list[Event] = []
    seen: list[tuple[str, str]] = []
    tail: list[Item] = []
    tally: dict[tuple[str, str], int] = {}
    """How many events of each (kind, result)."""
    traces: set[str] = set()
    """Whose requests were applied; only where anything is traced, and only so many."""

    def count(self, kind: str, result: str) -> None:
        """Count one event."""
        self.tally[kind, result] = self.tally.get((kind, result), 0) + 1


class Folder:
    """Turns messages of one scope into the effects of their events."""

    def __init__(self, verifier: Verifier, federation_id: str, scope: str) -> None:
        self._verifier = verifier
        self._federation_id = federation_id
        self.scope = scope

    def fold(
        self, tx: Transaction, tail: list[Item], messages: Sequence[Message], *, at: str, snapshot: bool
    ) -> Folded:
        """Apply every complete changeset in `tail` and `messages`; what is not complete comes back as tail.

        In a snapshot the stored position stays zero, so that a restart in its middle begins it again.
        """
        items = tail + [self._verify(message, at) for message in messages]
        more = bool(messages) and messages[-1].pending > 0
        end = changesets.complete(items, more=more)
        work = _Pass(tx, self.scope, at)
        for item in items[:end]:
            work.apply(item)
        if snapshot and more:
            work.fold.seq = 0
        work.result.state = work.fold.save()
        work.result.tail = items[end:]
        return work.result

    def _verify(self, message: Message, at: str) -> Item:
        try:
            event = verified(
                self._verifier, self._federation_id, message.subject, message.headers, message.data
            )
            _check_scope(event, self.scope)
            content = payload.check(event)
        except InvalidEvent as error:
            refused = Quarantined(
                at=at,
                scope=self.scope,
                subject=message.subject,
                seq=message.seq,
                code=error.code,
                reason=error.message,
                headers=dict(message.headers),
                body=message.data,
            )
            return Item(message.seq, None, refused)
        trace = message.headers.get(tracing.HEADER, "") if tracing.on() else ""
        return Item(message.seq, event, trace=tracing.well_formed(trace), content=content)


class _Pass:
    """One transaction's way through the items."""

    def __init__(self, tx: Transaction, scope: str, at: str) -> None:
        self._tx, self._scope, self._at = tx, scope, at
        self.fold = tx.folding(scope)
        self._before = self.fold.seq
        self.result = Folded(scope=scope, state=self.fold.state)

    def apply(self, item: Item) -> None:
        if item.event is None:
            if item.refused is not None:
                self._quarantine(item.refused)
                self.result.count("", "refused")
            self.fold.seq = max(self.fold.seq, item.seq)
        else:
            self._put_whole(item.event, item)

    def _put_whole(self, event: Event, item: Item) -> None:
        """Put an event, a large one with what it names; without that it is set aside."""
        try:
            content = self._tx.scans.whole(event.address.name, item.content)
        except InvalidEvent as error:
            self.result.count(event.address.kind, "refused")
            self._set_aside(event, item.seq, error.code, error.message)
            self.fold.seq = max(self.fold.seq, item.seq)
        else:
            self._put(event, item.seq, item.trace, content)

    def _put(self, event: Event, seq: int, trace: str, content: object) -> None:
        park = not payload.understood(event)
        verdict = self.fold.put(event, seq, content, park=park)
        self.result.seen.append((event.address.kind, event.address.name))
        if verdict is Verdict.APPLY and park:
            self.result.parked += 1
            self.result.count(event.address.kind, "parked")
        elif verdict is Verdict.APPLY:
            self.result.applied += 1
            self.result.count(event.address.kind, "applied")
            if trace and len(self.result.traces) < tracing.MAX_TRACES:
                self.result.traces.add(trace)
            if event.address.category == subjects.CONTROL:
                self.result.controls.append(event)
        elif verdict is Verdict.CONFLICT:
            self.result.alarms += 1
            self.result.count(event.address.kind, "conflict")
            self._set_aside(event, seq, "VERSION_CONFLICT", "the same version with other content")
        elif verdict is Verdict.STALE and seq > self._before:
            self.result.count(event.address.kind, "refused")
            self._set_aside(event, seq, "REPLAYED", "an older version came back")
        else:
            self.result.duplicates += 1
            self.result.count(event.address.kind, "duplicate")

    def _set_aside(self, event: Event, seq: int, code: str, reason: str) -> None:
        self._quarantine(
            Quarantined(
                at=self._at,
                scope=self._scope,
                subject=event.subject,
                seq=seq,
                code=code,
                reason=reason,
                headers=event.headers(),
                body=event.body,
            )
        )

    def _quarantine(self, refused: Quarantined) -> None:
        self._tx.quarantine.add(refused)
        self.result.refused.append(refused.code)


def _check_scope(event: Event, scope: str) -> None:
    if event.address.scope != scope:
        raise InvalidEvent("meant for another cluster", code="SUBJECT_FOREIGN")
