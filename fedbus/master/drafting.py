"""Drafting: what changes would do to what the store holds, and the signed events that do it.

Nothing is published and nothing written here.
"""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from fedbus.bus import publisher
from fedbus.core.difference import difference
from fedbus.core.targets import as_document
from fedbus.core.writes import Changed, Committed, Preview, Request
from fedbus.errors import Conflict, InvalidInput
from fedbus.master.changes import Change
from fedbus.model import codec, events, subjects, targets
from fedbus.model.events import Event
from fedbus.pki.signing import Signer
from fedbus.pki.verification import source
from fedbus.runtime import Clock
from fedbus.store.transaction import Transaction

Reach = Mapping[tuple[str, str], int]
_NOWHERE: Reach = MappingProxyType({})


class Draft(msgspec.Struct, frozen=True):
    """A planned changeset: its events, the sequence expected below each, and the answer to give."""

    events: list[Event]
    expected: list[int]
    committed: Committed
    complete: bool = True
    reach: Reach = _NOWHERE


class _Header(msgspec.Struct, frozen=True):
    """What the events of a changeset have in common."""

    changeset: str
    version: int
    epoch: int
    request: Request


class Drafter:
    """Makes the events of one federation; `epoch` and `foreign` are what recovery found out."""

    def __init__(self, signer: Signer, federation_id: str, clock: Clock) -> None:
        self._signer, self._federation_id, self._clock = signer, federation_id, clock
        self.epoch = 1
        self.foreign: dict[str, int] = {}
        """Sequences of messages that are not ours, by subject: what a write there must expect."""

    def draft(
        self,
        tx: Transaction,
        changes: Sequence[Change],
        request: Request,
        *,
        epoch: int = 0,
        keep_revisions: bool = False,
        reach: Reach = _NOWHERE,
    ) -> Draft:
        """Turn changes into signed events; what would change nothing gets none.

        A rewritten stream (`epoch` given) keeps every object's revision, since its content is the same.
        """
        changeset = self._clock.random_bytes(16).hex()
        version = 1 + tx.newest_version()
        planned: list[tuple[Change, int]] = []
        done: list[Changed] = []
        for change in changes:
            op, revision = _operation(tx, change, keep_revisions=keep_revisions)
            if kind := change.kind if change.shown is None else change.shown:
                done.append(
                    Changed(
                        kind=kind,
                        name=change.name,
                        op=op,
                        revision=revision,
                        document=change.document,
                        clusters=reach.get((kind, change.name)),
                    )
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
        return Draft(drafted, expected, committed, reach=reach)

    def _expected(self, tx: Transaction, event: Event) -> int:
        a = event.address
        return max(tx.sequence(a.scope, a.kind, a.name), self.foreign.get(event.subject, 0))

    def _events(self, planned: list[tuple[Change, int]], header: "_Header") -> list[Event]:
        if len(planned) > publisher.MAX_EVENTS:
            raise InvalidInput(
                f"one request changes {len(planned)} objects with all that follows; "
                f"the most is {publisher.MAX_EVENTS}, since all of it takes effect together",
                code="CHANGESET_TOO_LARGE",
                remedy=(
                    f"send it in parts of at most {publisher.MAX_EVENTS}, "
                    "each with what its objects refer to, or after it"
                ),
            )
        # Members of one scope stand side by side, and are counted by scope: a worker sees one scope.
        planned = sorted(planned, key=lambda p: p[0].scope)
        counts: dict[str, int] = {}
        for change, _ in planned:
            counts[change.scope] = counts.get(change.scope, 0) + 1
        seen: dict[str, int] = {}
        result = []
        time = self._clock.stamp()
        for number, (change, revision) in enumerate(planned):
            index = seen.get(change.scope, 0)
            seen[change.scope] = index + 1
            type_, body, encoding = _content_of(change)
            event = events.build(
                address=subjects.Address(change.scope, change.category, change.kind, change.name),
                type=type_,
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


def _check_size(event: Event, change: Change) -> None:
    if len(event.body) > codec.MAX_BODY:
        raise InvalidInput(
            f"{change.kind} {change.name!r} has {len(event.body)} bytes after compression; "
            f"the most is {codec.MAX_BODY}",
            code="OBJECT_TOO_LARGE",
        )


def _content_of(change: Change) -> tuple[str, bytes, str]:
    """Return type, body and encoding of a change's event."""
    if (newer := change.verbatim) is not None:
        return newer.type, newer.body, newer.encoding
    type_ = events.type_of(change.category, deleted=change.payload is None)
    if change.payload is None:
        return type_, b"", codec.PLAIN
    return type_, *((change.payload, codec.LARGE) if change.large else codec.pack(change.payload))


def _operation(tx: Transaction, change: Change, *, keep_revisions: bool) -> tuple[str, int]:
    """Return what a change does and the revision after it. Raises Conflict for a stale one."""
    held = tx.object(change.scope, change.kind, change.name)
    newest, parked = tx.newest(change.scope, change.kind, change.name)
    current = newest.revision if newest is not None else 0
    if keep_revisions:
        return "updated", current or 1
    live = parked or (held is not None and not held.deleted)
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
    if live and not parked and held is not None and held.payload == change.payload:
        return "unchanged", current
    return ("updated" if live else "created"), current + 1


def preview(tx: Transaction, change: Change, reach: Reach = _NOWHERE) -> Preview:
    """Return what one change would do. Raises Conflict for a stale revision."""
    op, revision = _operation(tx, change, keep_revisions=False)
    held = tx.object(change.scope, change.kind, change.name)
    before = held.payload if held is not None and not held.deleted else None
    kind = change.shown or change.kind
    return Preview(
        kind=kind,
        name=change.name,
        op=op,
        revision=revision,
        document=change.document,
        diff=difference(_content(change.kind, before), _content(change.kind, change.payload)),
        clusters=reach.get((kind, change.name)),
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
