"""Whether a verified event can be used: master and workers judge by the same rule.

A worker sets aside what fails here, and the master must not take it for the newest version either: it
would hold, and show, what no cluster has.
"""

import msgspec

from fedbus.errors import InvalidEvent
from fedbus.model import codec, events, subjects
from fedbus.model.events import Event
from fedbus.model.policy import KINDS


def check(event: Event) -> None:
    """Refuse a payload that could not be used later; an unknown kind is kept, for a newer build.

    Raises InvalidEvent: ENCODING_UNKNOWN, PAYLOAD_CORRUPT, PAYLOAD_TOO_LARGE, PAYLOAD_UNDECODABLE.
    """
    if event.deleted or not events.known(event):
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


def check_known(event: Event) -> None:
    """Refuse an event of a type that this build does not know: only a newer master writes such ones.

    Raises InvalidEvent: TYPE_UNKNOWN.
    """
    if not events.known(event):
        raise InvalidEvent(f"no event of ours has the type {event.type!r}", code="TYPE_UNKNOWN")
