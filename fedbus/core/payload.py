"""Whether a verified event can be used: master and workers judge by the same rule.

A worker sets aside what fails here, and the master must not take it for the newest version either: it
would hold, and show, what no cluster has.
"""

import msgspec

from fedbus.errors import InvalidEvent
from fedbus.model import codec, events, subjects
from fedbus.model.events import Event
from fedbus.model.federation import DISMISSED, RESYNC
from fedbus.model.policy import KINDS

_INSTRUCTIONS = frozenset((DISMISSED, RESYNC))


def understood(event: Event) -> bool:
    """Tell whether this build can read an event, or need not: a tombstone has nothing to read.

    What it cannot read is parked: a newer master wrote it, for workers that know the kind or the type.
    """
    if event.deleted:
        return True
    if not events.known(event):
        return False
    match event.address.category:
        case subjects.POLICY:
            return event.address.kind in KINDS
        case subjects.CONTROL:
            return event.address.kind in _INSTRUCTIONS
        case _:
            return True


def check(event: Event) -> None:
    """Refuse a payload that could not be used later; what this build cannot read it does not judge.

    Raises InvalidEvent: ENCODING_UNKNOWN, PAYLOAD_CORRUPT, PAYLOAD_TOO_LARGE, PAYLOAD_UNDECODABLE.
    """
    if event.deleted or not understood(event):
        return
    payload = codec.unpack(event.body, event.encoding)
    kind = KINDS.get(event.address.kind)
    try:
        if kind is not None and event.address.category == subjects.POLICY:
            codec.decode(payload, kind.type)
        else:
            codec.decode(payload, msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"the payload does not decode: {error}", code="PAYLOAD_UNDECODABLE") from error
