"""Signed events made by hand, and a store in memory to fold them into."""

import base64
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache

import msgspec

from fedbus.bus.session import Message
from fedbus.model import codec, events, subjects
from fedbus.model.events import Event
from fedbus.model.subjects import escape
from fedbus.pki.signing import Signer, Verifier
from fedbus.pki.verification import source
from fedbus.store.schema import migrate
from fedbus.store.transaction import Transaction

FEDERATION = "f" * 32
SIGNER = Signer(b"s" * 32)
VERIFIER = Verifier(SIGNER.public_key)


@cache
def event(
    name: str,
    revision: int,
    *,
    version: int = 0,
    epoch: int = 1,
    content: str = "",
    deleted: bool = False,
    scope: str = subjects.SCOPE_ALL,
    changeset: str = "",
    index: int = 0,
    count: int = 1,
    type_: str = "",
    payload: bytes | None = None,
    category: str = subjects.POLICY,
    kind: str = "group",
) -> Event:
    """Make one event, signed by the federation."""
    said = json.dumps({"name": name, "comment": content}).encode() if payload is None else payload
    body, encoding = (b"", codec.PLAIN) if deleted else codec.pack(said)
    made = events.build(
        address=subjects.Address(scope, category, kind, name),
        type=type_ or events.type_of(category, deleted=deleted),
        source=source(FEDERATION),
        id=f"{escape(name)}-{epoch}-{revision}",
        time="2026-01-01T00:00:00.000Z",
        epoch=epoch,
        version=version or revision,
        revision=revision,
        changeset=changeset or f"{escape(name)}-{revision}",
        index=index,
        count=count,
        key_id=SIGNER.key_id,
        body=body,
        encoding=encoding,
    )
    return msgspec.structs.replace(made, signature=base64.b64encode(SIGNER.sign(made.statement)).decode())


def message(of: Event, seq: int, pending: int = 0) -> Message:
    """Return an event as the bus delivers it."""
    return Message(of.subject, f"$JS.ACK.{seq}", of.headers(), of.body, seq, pending)


def messages(of: Sequence[Event], first: int = 1) -> list[Message]:
    """Return a stream that holds these events and nothing after them."""
    return [message(e, first + i, len(of) - 1 - i) for i, e in enumerate(of)]


@contextmanager
def store() -> Iterator[Transaction]:
    """Open an empty store in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:")
        yield Transaction(connection)


def content(tx: Transaction, scope: str = subjects.SCOPE_ALL) -> dict[str, tuple[int, int, bytes]]:
    """Return what a store holds of a scope: epoch, revision and payload by name."""
    return {o.name: (o.epoch, o.revision, o.payload) for o in tx.objects(scope)}
