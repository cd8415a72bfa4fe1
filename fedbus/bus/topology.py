"""The streams as data, made idempotently and compared with what exists."""

import msgspec

from fedbus.bus.session import Connection
from fedbus.core import connectivity
from fedbus.errors import ConfigError
from fedbus.model import subjects as names

POLICY = "POLICY"
SCANS = "SCANS"
AUDIT = "AUDIT"
HEARTBEATS = "HB"
PROBE = "PROBE"
PROBE_SUBJECT = "fed.v1.probe"

MAX_MESSAGE = 768 * 1024
"""Bytes of one stored message, headers included: below the server's max_payload, which would end the
session instead of refusing the message."""
_STREAM_NOT_FOUND = 10059
_MESSAGE_NOT_FOUND = 10037
_NO_LEADER = (10003, 10008, 10009, 10118)
"""No quorum, temporarily unavailable, not the leader, stream offline: another moment, another answer."""
_NO_PEERS = (10005, 10023, 10052, 10074)
"""Too few servers, or too little room on them, for the replicas."""
_SECOND = 1_000_000_000


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a stream's configuration that we decide; the rest is the server's default."""

    name: str
    subjects: list[str]
    storage: str = "file"
    retention: str = "limits"
    discard: str = "old"
    max_msgs_per_subject: int = -1
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    max_msg_size: int = MAX_MESSAGE
    max_consumers: int = 20_000
    num_replicas: int = 1
    duplicate_window: int = 120 * _SECOND
    allow_direct: bool = True
    allow_atomic: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False


STREAMS = (
    StreamConfig(
        name=POLICY,
        subjects=[names.scope_filter(scope) for scope in names.POLICY_SCOPES],
        max_msgs_per_subject=64,
        allow_atomic=True,
        deny_delete=True,
        deny_purge=True,
    ),
    # Only the newest of each object: apart from policy, in its file system too.
    StreamConfig(
        name=SCANS,
        subjects=[names.scope_filter(scope) for scope in names.SCAN_SCOPES],
        max_msgs_per_subject=1,
        allow_atomic=True,
        deny_delete=True,
        deny_purge=True,
    ),
    # What is too large for a message of those: an object store for each scope, since whoever may read one
    # object of a bucket may read them all.
    *(
        StreamConfig(
            name=f"OBJ_{scope}",
            subjects=[f"$O.{scope}.C.>", f"$O.{scope}.M.>"],
            max_consumers=100,
            allow_rollup_hdrs=True,
        )
        for scope in names.SCAN_SCOPES
    ),
    StreamConfig(name=AUDIT, subjects=["fed.v1.audit.>"], deny_delete=True, deny_purge=True),
    StreamConfig(
        name=HEARTBEATS,
        subjects=["fed.v1.up.*.hb"],
        storage="memory",
        max_msgs_per_subject=1,
        max_age=3600 * _SECOND,
        max_msg_size=64 * 1024,
        max_consumers=100,
    ),
    # One message in the same file system as the others: a full disk shows here first.
    StreamConfig(name=PROBE, subjects=[PROBE_SUBJECT], max_msgs=1, max_msg_size=1024, max_consumers=1),
)


def stream_of(scope: str) -> str:
    """Return the stream that has the events of a scope."""
    return SCANS if scope in names.SCAN_SCOPES else POLICY


class _Failure(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _State(msgspec.Struct, frozen=True):
    last_seq: int = 0
    messages: int = 0


class _Peer(msgspec.Struct, frozen=True):
    name: str = ""
    current: bool = False
    offline: bool = False


class _Group(msgspec.Struct, frozen=True):
    """The servers that keep a stream; `replicas` are those beside the leader."""

    leader: str = ""
    replicas: list[_Peer] = []


class _Stored(msgspec.Struct, frozen=True):
    seq: int = 0
    time: str = ""
    hdrs: bytes = b""


class _Answer(msgspec.Struct):
    error: _Failure | None = None
    config: msgspec.Raw = msgspec.Raw(b"{}")
    created: str = ""
    state: _State = _State()
    cluster: _Group = _Group()
    message: _Stored = _Stored()


class StreamInfo(msgspec.Struct, frozen=True):
    """Which stream this is (`created` tells it from one of the same name) and where its head is."""

    created: str
    last_seq: int
    behind: tuple[str, ...] = ()
    """Servers that are there and have not caught up with the stream's leader."""
    away: tuple[str, ...] = ()
    """Servers of the stream that are not there."""


class Last(msgspec.Struct, frozen=True):
    """The newest message of a subject."""

    seq: int
    time: str
    headers: bytes


async def info(connection: Connection, stream: str) -> StreamInfo | None:
    """Return a stream's identity and head; None if it does not exist. Raises Unavailable."""
    answer = await _call(connection, f"$JS.API.STREAM.INFO.{stream}", b"")
    if answer is None:
        return None
    peers = answer.cluster.replicas
    return StreamInfo(
        answer.created,
        answer.state.last_seq,
        behind=tuple(p.name for p in peers if not p.current and not p.offline),
        away=tuple(p.name for p in peers if p.offline),
    )


async def last(connection: Connection, stream: str, subject: str) -> Last | None:
    """Return the newest message of a subject, by the stream's leader; None if there is none.

    Not the direct read: any server of the stream answers that, one that lags behind too.
    Raises Unavailable.
    """
    body = msgspec.json.encode({"last_by_subj": subject})
    answer = await _call(connection, f"$JS.API.STREAM.MSG.GET.{stream}", body)
    if answer is None:
        return None
    return Last(answer.message.seq, answer.message.time, answer.message.hdrs)


async def ensure(connection: Connection, replicas: int = 1) -> None:
    """Make the streams that are missing and bring the others to our configuration.

    Raises ConfigError where one exists that the server will not change to it, Unavailable otherwise.
    """
    for stream in STREAMS:
        wanted = msgspec.structs.replace(stream, num_replicas=replicas)
        body = msgspec.json.encode(wanted)
        answer = await _call(connection, f"$JS.API.STREAM.INFO.{wanted.name}", b"")
        if answer is None:
            await _call(connection, f"$JS.API.STREAM.CREATE.{wanted.name}", body)
        elif msgspec.json.decode(answer.config, type=StreamConfig) != wanted:
            await _call(connection, f"$JS.API.STREAM.UPDATE.{wanted.name}", body)


async def recreate(connection: Connection, stream: str, replicas: int = 1) -> None:
    """Delete a stream with all it holds and make it anew. Raises Unavailable."""
    (config,) = (s for s in STREAMS if s.name == stream)
    await _call(connection, f"$JS.API.STREAM.DELETE.{stream}", b"")
    body = msgspec.json.encode(msgspec.structs.replace(config, num_replicas=replicas))
    await _call(connection, f"$JS.API.STREAM.CREATE.{stream}", body)


async def remove(connection: Connection) -> None:
    """Delete every stream with all it holds. Raises Unavailable."""
    for stream in STREAMS:
        await _call(connection, f"$JS.API.STREAM.DELETE.{stream.name}", b"")


async def probe(connection: Connection) -> None:
    """Have the bus store one message: connected does not mean that it can. Raises Unavailable."""
    reply = await connection.request(PROBE_SUBJECT, b"ready?", timeout=2.0)
    answer = msgspec.json.decode(reply.data, type=_Answer)
    if answer.error is not None:
        said = f"the bus does not store: {answer.error.description}"
        raise connectivity.error("BUS_NOT_STORING", said)


async def stamp(connection: Connection) -> str:
    """Have the bus store one message and return when it did, by its own clock. Raises Unavailable."""
    await probe(connection)
    if (stored := await last(connection, PROBE, PROBE_SUBJECT)) is None:
        raise connectivity.error("BUS_NOT_STORING", "the bus does not give back what it stored")
    return stored.time


async def _call(connection: Connection, subject: str, body: bytes) -> _Answer | None:
    reply = await connection.request(subject, body)
    answer = msgspec.json.decode(reply.data, type=_Answer)
    if answer.error is None:
        return answer
    if answer.error.err_code in (_STREAM_NOT_FOUND, _MESSAGE_NOT_FOUND):
        return None
    said = f"the bus refused {subject}: {answer.error.description}"
    if answer.error.err_code in _NO_LEADER:
        raise connectivity.error("BUS_NO_LEADER", said)
    if answer.error.err_code in _NO_PEERS:
        raise connectivity.error("BUS_TOO_SMALL", said)
    if "UPDATE" in subject or "CREATE" in subject:
        raise ConfigError(
            f"the bus refused a stream ({subject}): {answer.error.description}", code="STREAM_REFUSED"
        )
    raise connectivity.error("STREAM_REFUSED", said)
