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
from fedbus.model.scan import IMAGE, REPORT, Large, Report, ScannedImage, image_name, report_name

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
        case subjects.SCAN:
            return event.address.kind in (REPORT, IMAGE)
        case _:
            return True


def check(event: Event) -> object:
    """Refuse a payload that could not be used later; what this build cannot read it does not judge.

    Returns what the payload says, None of what has none or is of an unknown kind. Raises InvalidEvent:
    ENCODING_UNKNOWN, PAYLOAD_CORRUPT, PAYLOAD_TOO_LARGE, PAYLOAD_UNDECODABLE, PAYLOAD_MISPLACED.
    """
    if event.deleted or not understood(event):
        return None
    payload = codec.unpack(event.body, event.encoding)
    try:
        content = codec.decode(payload, _type_of(event))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"the payload does not decode: {error}", code="PAYLOAD_UNDECODABLE") from error
    if event.address.category == subjects.SCAN:
        check_place(event.address.name, content)
    return None if isinstance(content, msgspec.Raw) else content


def check_place(name: str, content: object) -> None:
    """Refuse a scan's result under another name than its own. Raises InvalidEvent: PAYLOAD_MISPLACED."""
    if isinstance(content, Report):
        own = report_name(content.registry, content.digest)
    elif isinstance(content, ScannedImage):
        own = image_name(content.registry, content.repository, content.tag)
    else:
        return
    if own != name:
        raise InvalidEvent(f"{name!r} holds what belongs under {own!r}", code="PAYLOAD_MISPLACED")


def _type_of(event: Event) -> type[object]:
    a = event.address
    if a.category == subjects.SCAN and a.kind == REPORT:
        return Large if event.encoding == codec.LARGE else Report
    if event.encoding == codec.LARGE:
        raise InvalidEvent("nothing but a report is kept outside of its event", code="ENCODING_UNKNOWN")
    if a.category == subjects.SCAN:
        return ScannedImage
    kind = KINDS.get(a.kind)
    return kind.type if kind is not None and a.category == subjects.POLICY else msgspec.Raw
