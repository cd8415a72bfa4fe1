"""The event envelope: CloudEvents 1.0, NATS binary mode, with our extensions.

Attributes travel as `ce-*` headers, the object as the body. The signature covers the *statement*: the
subject and every `ce-*` header as received, one a line, sorted, without the signature itself. The
headers carry the SHA-256 of the body, so a verified statement vouches for the body too, before
anything is decompressed or decoded. The statement is rebuilt from header values verbatim, never from
parsed values, and stored, so that it can be verified again at any time.
"""

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec

from fedbus.errors import InvalidEvent
from fedbus.model import subjects

POLICY_UPSERTED: Final = "io.fedbus.policy.upserted.v1"
POLICY_DELETED: Final = "io.fedbus.policy.deleted.v1"
SCAN_UPSERTED: Final = "io.fedbus.scan.upserted.v1"
SCAN_DELETED: Final = "io.fedbus.scan.deleted.v1"
RECORD_UPSERTED: Final = "io.fedbus.record.upserted.v1"
RECORD_DELETED: Final = "io.fedbus.record.deleted.v1"
CONTROL: Final = "io.fedbus.control.v1"
CHECKPOINT: Final = "io.fedbus.checkpoint.v1"

_UPSERTED = {
    subjects.POLICY: POLICY_UPSERTED,
    subjects.RECORD: RECORD_UPSERTED,
    subjects.SCAN: SCAN_UPSERTED,
    subjects.CONTROL: CONTROL,
}
_DELETED = {
    subjects.POLICY: POLICY_DELETED,
    subjects.RECORD: RECORD_DELETED,
    subjects.SCAN: SCAN_DELETED,
}
_TOMBSTONES = ("io.fedbus.policy.deleted.v", "io.fedbus.record.deleted.v", "io.fedbus.scan.deleted.v")
"""How the types of tombstones begin. The verb says what becomes of the object, at any version of the type;
the version says how to read the body, of which a tombstone has none. So every build, however old, knows
which objects there are, whether or not it can read them."""
_TYPES_OF = {
    subjects.POLICY: frozenset((POLICY_UPSERTED, POLICY_DELETED)),
    subjects.RECORD: frozenset((RECORD_UPSERTED, RECORD_DELETED)),
    subjects.SCAN: frozenset((SCAN_UPSERTED, SCAN_DELETED)),
    subjects.CONTROL: frozenset((CONTROL,)),
}

SIGNATURE: Final = "ce-fbsig"
_PREFIX = "ce-"
_PLAIN = "!#$&'()*+,/:;=?@[]^`{|}~-._"
"""What a header value may hold as it is (CloudEvents, NATS binding): the rest is percent-encoded."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it is published, received and stored.

    `epoch` and `version` are the federation's, `revision` the object's; `changeset`, `index` and
    `count` place it among what one request changed in its scope.
    """

    address: subjects.Address
    id: str
    type: str
    source: str
    time: str
    epoch: int
    version: int
    revision: int
    digest: str
    changeset: str
    index: int
    count: int
    encoding: str
    key_id: str
    body: bytes
    statement: bytes
    signature: str = ""

    @property
    def deleted(self) -> bool:
        """Tell whether the event is a tombstone, also of a newer version of the type."""
        return self.type.startswith(_TOMBSTONES)

    @property
    def subject(self) -> str:
        """The subject the event is published on."""
        a = self.address
        return subjects.event(a.scope, a.category, a.kind, a.name)

    def headers(self) -> dict[str, str]:
        """Return the headers to publish: the signed ones, read back from the statement, and the signature."""
        return {**statement_headers(self.statement), SIGNATURE: self.signature}


def type_of(category: str, *, deleted: bool) -> str:
    """Return the CloudEvents type of an object's event."""
    return (_DELETED if deleted else _UPSERTED)[category]


def statement(subject: str, headers: Mapping[str, str]) -> bytes:
    """Return the exact bytes that are signed for a message with this subject and these headers."""
    lines = [f"{k}:{v}" for k, v in headers.items() if k.startswith(_PREFIX) and k != SIGNATURE]
    lines.sort()
    return "\n".join([subject, *lines]).encode()


def statement_headers(signed: bytes) -> dict[str, str]:
    """Return the headers that a statement was made from."""
    _, *lines = signed.decode().split("\n")
    return dict(line.split(":", 1) for line in lines)


def build(
    *,
    address: subjects.Address,
    type: str,  # noqa: A002 - the CloudEvents attribute's name
    source: str,
    id: str,  # noqa: A002 - the CloudEvents attribute's name
    time: str,
    epoch: int,
    version: int,
    revision: int,
    changeset: str,
    index: int,
    count: int,
    key_id: str,
    body: bytes,
    encoding: str,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> Event:
    """Return an unsigned event with its statement; sign it with `msgspec.structs.replace(signature=...)`.

    `notes` are further attributes, such as `fbactor` and `fbcomment`; they are percent-encoded.
    """
    subject = subjects.event(address.scope, address.category, address.kind, address.name)
    digest = sha256(body).hexdigest()
    headers = {
        "ce-specversion": "1.0",
        "ce-id": id,
        "ce-source": source,
        "ce-type": type,
        "ce-time": time,
        "ce-datacontenttype": "application/json",
        "ce-fbepoch": str(epoch),
        "ce-fbversion": str(version),
        "ce-fbrevision": str(revision),
        "ce-fbdigest": digest,
        "ce-fbchangeset": changeset,
        "ce-fbindex": str(index),
        "ce-fbcount": str(count),
        "ce-fbkeyid": key_id,
    }
    if encoding:
        headers["ce-fbencoding"] = encoding
    headers |= {f"{_PREFIX}{name}": quote(value, safe=_PLAIN) for name, value in notes.items() if value}
    return Event(
        address=address,
        id=id,
        type=type,
        source=source,
        time=time,
        epoch=epoch,
        version=version,
        revision=revision,
        digest=digest,
        changeset=changeset,
        index=index,
        count=count,
        encoding=encoding,
        key_id=key_id,
        body=body,
        statement=statement(subject, headers),
    )


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidEvent(f"{name} is not a number: {text!r}", code="ATTRIBUTE_INVALID")
    return int(text)


def parse(subject: str, headers: Mapping[str, str], body: bytes) -> Event:
    """Return the event in a message; its signature is *not* checked here.

    Raises InvalidEvent: SUBJECT_UNKNOWN, ATTRIBUTE_MISSING, ATTRIBUTE_INVALID.
    An event type this version does not know parses; see `known`.
    """
    address = subjects.parse(subject)
    if any("\n" in value for value in headers.values()):
        # Two attributes in one value would have the same statement as the two apart.
        raise InvalidEvent("an attribute holds a line end", code="ATTRIBUTE_INVALID")
    try:
        event = Event(
            address=address,
            id=headers["ce-id"],
            type=headers["ce-type"],
            source=headers["ce-source"],
            time=headers["ce-time"],
            epoch=_number(headers, "ce-fbepoch"),
            version=_number(headers, "ce-fbversion"),
            revision=_number(headers, "ce-fbrevision"),
            digest=headers["ce-fbdigest"],
            changeset=headers["ce-fbchangeset"],
            index=_number(headers, "ce-fbindex"),
            count=_number(headers, "ce-fbcount"),
            encoding=headers.get("ce-fbencoding", ""),
            key_id=headers["ce-fbkeyid"],
            body=body,
            statement=statement(subject, headers),
            signature=headers[SIGNATURE],
        )
    except KeyError as error:
        code = "UNSIGNED" if error.args[0] == SIGNATURE else "ATTRIBUTE_MISSING"
        raise InvalidEvent(f"the header {error.args[0]} is missing", code=code) from error
    if headers.get("ce-specversion") != "1.0":
        raise InvalidEvent("not a CloudEvents 1.0 event", code="ATTRIBUTE_INVALID")
    return event


def known(event: Event) -> bool:
    """Tell whether this version knows what to do with the event's type at its address."""
    return event.type in _TYPES_OF[event.address.category]


def body_matches(event: Event) -> bool:
    """Tell whether the body is the one that the statement vouches for."""
    return sha256(event.body).hexdigest() == event.digest
