"""The ledger: the one way anything federated is written (guarantee 1).

A write is planned against the store, signed, published as one atomic changeset, folded into the store,
and only then answered. Policy and the master's own records (clusters, tokens) go the same way, so the
stream and the store each hold everything that was ever acknowledged.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from fedbus import metrics, tracing
from fedbus.bus import publisher, topology
from fedbus.bus.session import Connection
from fedbus.core.difference import Difference, difference
from fedbus.core.targets import as_document
from fedbus.errors import Conflict, InvalidInput, Unavailable
from fedbus.model import codec, events, subjects, targets
from fedbus.model.events import Event
from fedbus.pki.signing import Signer
from fedbus.pki.verification import source
from fedbus.runtime import Clock
from fedbus.store.database import Database
from fedbus.store.transaction import Answer, Transaction

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 8.0
"""How long a write waits for the bus to say whether it has it."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One object to write; `payload` None deletes it, `revision` is the one the caller expects.

    `shown` is the kind that the answer has it under; empty for what only follows from the rest.
    """

    scope: str
    category: str
    kind: str
    name: str
    payload: bytes | None
    revision: int | None = None
    document: int | None = None
    shown: str | None = None


def record(kind: str, name: str, value: msgspec.Struct | None) -> Change:
    """Return the change of one of the master's own records; None deletes it."""
    return Change(
        scope=subjects.SCOPE_MASTER,
        category=subjects.RECORD,
        kind=kind,
        name=name,
        payload=None if value is None else codec.encode(value),
    )


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a write and why, both kept in its events, and how to know the request again.

    With an idempotency `key` the same request (`digest`) gets the same answer for a day.
    """

    actor: str = ""
    comment: str = ""
    key: str = ""
    digest: str = ""


BY_MASTER = Request(actor="master")


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one change."""

    kind: str
    name: str
    op: str
    revision: int
    document: int | None = None


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """An acknowledged changeset; `version` is the federation's after it."""

    changeset: str
    epoch: int
    version: int
    changes: list[Changed]


Plan = Callable[[Transaction], Sequence[Change]]


class Derived(msgspec.Struct, frozen=True):
    """What follows from a changeset; `complete` unless there is more than fitted into it."""

    changes: Sequence[Change] = ()
    complete: bool = True


Derive = Callable[[Transaction, Sequence[Change]], Derived]
"""Says what must be written with some changes, in the same changeset; may refuse them."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What one change would do: the fields that would differ."""

    kind: str
    name: str
    op: str
    revision: int
    document: int | None
    diff: list[Difference]


class Draft(msgspec.Struct, frozen=True):
    """A planned changeset: its events, the sequence expected below each, and the answer to give."""

    events: list[Event]
    expected: list[int]
    committed: Committed
    complete: bool = True


class _Header(msgspec.Struct, frozen=True):
    """What the events of a changeset have in common."""

    changeset: str
    version: int
    epoch: int
    request: Request


class Ledger:
    """Serialises every write of one master."""

    def __init__(
        self,
        *,
        database: Database,
        signer: Signer,
        federation_id: str,
        connection: Callable[[], Connection],
        clock: Clock,
        on_committed: Callable[[Committed, Sequence[Event]], Awaitable[None]],
        derive: Derive = lambda _tx, _changes: Derived(),
    ) -> None:
        self.database, self.clock = database, clock
        self._derive = derive
        self.unfinished = asyncio.Event()
        """Set when a changeset could not hold all that follows from it: somebody has to write the rest."""
        self._signer, self._federation_id = signer, federation_id
        self._connection, self._on_committed = connection, on_committed
        self._lock = asyncio.Lock()
        self._in_step = False
        self.epoch = 1
        self.foreign: dict[str, int] = {}
        """Sequences of messages that are not ours, by subject: what a write there must expect."""
        self.recover: Callable[[], Awaitable[None]]

    async def synchronise(self, needed: Callable[[Transaction], bool] = lambda _: True) -> None:
        """Compare stream and store before the next write; called for every new bus session.

        `needed` is asked once no write is under way.
        """
        async with self._lock:
            if await self.database.read(needed):
                await self._recover()

    async def commit(self, plan: Plan, request: Request = BY_MASTER) -> Committed:
        """Write one changeset: all of it or nothing.

        Raises what `plan` raises, Conflict for a stale revision, Unavailable when nothing was written,
        and publisher.OutcomeUnknown (with the key to ask again with) when that could not be found out.
        """
        async with self._lock:
            if not self._in_step:
                await self._recover()
            try:
                return await self._answer(request) or await self._commit(plan, request)
            except publisher.SequenceMismatch:
                # Somebody else's message stands on a subject, or one of an earlier try that was thought
                # lost: find out, and plan again.
                log.warning("stream_differs")
                await self._recover()
                return await self._answer(request) or await self._commit(plan, request)

    async def _recover(self) -> None:
        self._in_step = False
        await self.recover()
        self._in_step = True

    async def _commit(self, plan: Plan, request: Request) -> Committed:
        draft = await self.database.read(lambda tx: self._draft_with_all(tx, plan(tx), request))
        if not draft.complete:
            self.unfinished.set()
        if not draft.events:
            return draft.committed
        if request.key:
            await self._remember(request.key, request, draft)
        self._in_step = False
        began = self.clock.monotonic()
        try:
            sequences = await self._publish(draft, began + PUBLISH_SECONDS)
        except publisher.OutcomeUnknown as error:
            error.idempotency_key = request.key or draft.committed.changeset
            await self._remember(error.idempotency_key, request, draft)
            raise
        except Unavailable:
            self._in_step = True  # nothing was sent
            raise
        try:
            await self.database.write(lambda tx: fold(tx, draft.events, sequences, self.clock.now()))
        except Unavailable as error:
            # The stream has it: it is folded as soon as the store can be written again.
            error.idempotency_key = request.key or None
            raise
        self._in_step = True
        _tell(draft, request, self.clock.monotonic() - began)
        await self._on_committed(draft.committed, draft.events)
        return draft.committed

    async def preview(self, plan: Plan) -> list[Preview]:
        """Return what a commit of this plan would change now, and change nothing. Raises what it would."""
        return await self.database.read(
            lambda tx: [_preview(tx, change) for change in plan(tx) if change.shown != ""]
        )

    async def _publish(self, draft: Draft, deadline: float) -> list[int]:
        began = self.clock.monotonic()
        about: dict[str, tracing.Value] = {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": topology.POLICY,
            "messaging.batch.message_count": len(draft.events),
            "messaging.message.conversation_id": draft.committed.changeset,
        }
        with tracing.span(f"publish {topology.POLICY}", "PRODUCER", attributes=about):
            sequences = await publisher.publish(
                draft.events,
                draft.expected,
                self._connection,
                self.clock,
                deadline,
                trace=tracing.traceparent(),
            )
        metrics.published(len(draft.events), self.clock.monotonic() - began)
        return sequences

    async def answered(self, request: Request) -> Committed | None:
        """Return the answer an idempotency key already has, once its changeset is known to be in.

        Raises InvalidInput if the key was used for another request, Unavailable as `commit`.
        """
        if not request.key or await self.database.read(lambda tx: tx.answer(request.key)) is None:
            return None
        async with self._lock:
            done = await self._answer(request)
            if done is None and not self._in_step:
                await self._recover()
                done = await self._answer(request)
            return done

    async def _answer(self, request: Request) -> Committed | None:
        known = await self.database.read(lambda tx: tx.answer(request.key)) if request.key else None
        if known is None:
            return None
        if known.request and known.request != request.digest:
            raise InvalidInput("this idempotency key belongs to another request", code="KEY_REUSED")
        return codec.decode(known.answer, Committed) if known.done else None

    async def _remember(self, key: str, request: Request, draft: Draft) -> None:
        done = draft.committed
        answer = Answer(key, request.digest, done.changeset, codec.encode(done), self.clock.now())
        await self.database.write(lambda tx: tx.remember_answer(answer))

    def _draft_with_all(self, tx: Transaction, changes: Sequence[Change], request: Request) -> Draft:
        derived = self._derive(tx, changes)
        draft = self.draft(tx, [*changes, *derived.changes], request)
        return msgspec.structs.replace(draft, complete=derived.complete)

    def draft(
        self,
        tx: Transaction,
        changes: Sequence[Change],
        request: Request,
        *,
        epoch: int = 0,
        keep_revisions: bool = False,
    ) -> Draft:
        """Turn changes into signed events; what would change nothing gets none.

        A rewritten stream (`epoch` given) keeps every object's revision, since its content is the same.
        """
        changeset = self.clock.random_bytes(16).hex()
        version = 1 + tx.newest_version()
        planned: list[tuple[Change, int]] = []
        done: list[Changed] = []
        for change in changes:
            op, revision = _operation(tx, change, keep_revisions=keep_revisions)
            if kind := change.kind if change.shown is None else change.shown:
                done.append(
                    Changed(kind=kind, name=change.name, op=op, revision=revision, document=change.document)
                )
            if op != "unchanged":
                planned.append((change, revision))
        drafted = self._events(planned, _Header(changeset, version, epoch or self.epoch, request))
        expected = (
            [self._expected(tx, event) for event in drafted] if not keep_revisions else [0] * len(drafted)
        )
        committed = Committed(
            changeset=changeset,
            epoch=epoch or self.epoch,
            version=version if planned else version - 1,
            changes=done,
        )
        return Draft(drafted, expected, committed)

    def _expected(self, tx: Transaction, event: Event) -> int:
        a = event.address
        return max(tx.sequence(a.scope, a.kind, a.name), self.foreign.get(event.subject, 0))

    def _events(self, planned: list[tuple[Change, int]], header: "_Header") -> list[Event]:
        if len(planned) > publisher.MAX_EVENTS:
            raise InvalidInput(
                f"one request changes {len(planned)} objects; the most is {publisher.MAX_EVENTS}",
                code="CHANGESET_TOO_LARGE",
                remedy="split it",
            )
        # Members of one scope stand side by side, and are counted by scope: a worker sees one scope.
        planned = sorted(planned, key=lambda p: p[0].scope)
        counts: dict[str, int] = {}
        for change, _ in planned:
            counts[change.scope] = counts.get(change.scope, 0) + 1
        seen: dict[str, int] = {}
        result = []
        time = self.clock.stamp()
        for number, (change, revision) in enumerate(planned):
            index = seen.get(change.scope, 0)
            seen[change.scope] = index + 1
            body, encoding = codec.pack(change.payload) if change.payload is not None else (b"", codec.PLAIN)
            event = events.build(
                address=subjects.Address(change.scope, change.category, change.kind, change.name),
                type=events.type_of(change.category, deleted=change.payload is None),
                source=source(self._federation_id),
                id=f"{header.changeset}-{number}",
                time=time,
                epoch=header.epoch,
                version=header.version,
                revision=revision,
                changeset=header.changeset,
                index=index,
                count=counts[change.scope],
                key_id=self._signer.key_id,
                body=body,
                encoding=encoding,
                notes={"fbactor": header.request.actor, "fbcomment": header.request.comment},
            )
            _check_size(event, change)
            signature = base64.b64encode(self._signer.sign(event.statement)).decode()
            result.append(msgspec.structs.replace(event, signature=signature))
        return result


def _tell(draft: Draft, request: Request, seconds: float) -> None:
    """Say in one line what was written: kinds and counts, never what is in an object."""
    kinds: dict[str, int] = {}
    for event in draft.events:
        kinds[event.address.kind] = kinds.get(event.address.kind, 0) + 1
    log.info(
        "changeset_written",
        changeset=draft.committed.changeset,
        version=draft.committed.version,
        epoch=draft.committed.epoch,
        kinds=kinds,
        actor=request.actor,
        ms=round(seconds * 1000, 1),
    )


def _check_size(event: Event, change: Change) -> None:
    if len(event.body) > codec.MAX_BODY:
        raise InvalidInput(
            f"{change.kind} {change.name!r} has {len(event.body)} bytes after compression; "
            f"the most is {codec.MAX_BODY}",
            code="OBJECT_TOO_LARGE",
        )


def _operation(tx: Transaction, change: Change, *, keep_revisions: bool) -> tuple[str, int]:
    """Return what a change does and the revision after it. Raises Conflict for a stale one."""
    held = tx.object(change.scope, change.kind, change.name)
    if keep_revisions:
        return "updated", held.revision if held else 1
    live = held is not None and not held.deleted
    current = held.revision if held is not None else 0
    if change.revision is not None and change.revision != (current if live else 0):
        raise Conflict(
            f"{change.kind} {change.name!r} is at revision {current if live else 0}, "
            f"the request expects {change.revision}",
            current_revision=current if live else 0,
            code="REVISION_STALE",
            remedy="read the object again and repeat the change on it",
        )
    if change.payload is None:
        return ("deleted", current + 1) if live else ("unchanged", current)
    if live and held is not None and held.payload == change.payload:
        return "unchanged", current
    return ("updated" if live else "created"), current + 1


def _preview(tx: Transaction, change: Change) -> Preview:
    op, revision = _operation(tx, change, keep_revisions=False)
    held = tx.object(change.scope, change.kind, change.name)
    before = held.payload if held is not None and not held.deleted else None
    return Preview(
        kind=change.shown or change.kind,
        name=change.name,
        op=op,
        revision=revision,
        document=change.document,
        diff=difference(_content(change.kind, before), _content(change.kind, change.payload)),
    )


def _content(kind: str, payload: bytes | None) -> object:
    """Return the fields of an object; of a targeted one, beside its target."""
    if payload is None:
        return {}
    if kind.startswith(targets.TARGETED):
        source = codec.decode(payload, targets.Targeted)
        fields = codec.decode(bytes(source.object), dict[str, object])
        return fields | {"target": as_document(source.target)}
    return codec.decode(payload, object)


def fold(tx: Transaction, folded: Sequence[Event], sequences: Sequence[int], now: float) -> None:
    """Fold our own events into the store, and remember the digest of each scope at its version."""
    for scope in sorted({event.address.scope for event in folded}):
        fold_ = tx.folding(scope)
        for event, seq in zip(folded, sequences, strict=True):
            if event.address.scope == scope:
                fold_.put(event, seq)
                if targets.has_history(event.address):
                    tx.history.remember(event)
        state = fold_.save()
        tx.record_head(scope, state.version, state.digest, now)
    for changeset in {event.changeset for event in folded}:
        tx.settle(changeset)
