"""From a message to a verified event: nothing in the payload is looked at before this has passed."""

import base64
import binascii
from collections.abc import Mapping

from fedbus.errors import InvalidEvent
from fedbus.model import codec, events
from fedbus.model.events import Event
from fedbus.pki.signing import Verifier


def source(federation_id: str) -> str:
    """Return the CloudEvents source of a federation's events."""
    return f"/fedbus/{federation_id}"


def genuine(verifier: Verifier, event: Event) -> bool:
    """Tell whether the federation signed an event's statement; its body is not looked at."""
    try:
        signature = base64.b64decode(event.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return verifier.verify(event.statement, signature)


def verified(
    verifier: Verifier, federation_id: str, subject: str, headers: Mapping[str, str], body: bytes
) -> Event:
    """Return the event in a message if the federation signed it for exactly this subject.

    Raises InvalidEvent: SUBJECT_UNKNOWN, UNSIGNED, ATTRIBUTE_MISSING, ATTRIBUTE_INVALID, BODY_TOO_LARGE,
    KEY_UNKNOWN, SIGNATURE_INVALID, DIGEST_MISMATCH, SOURCE_UNKNOWN. An event moved to another subject
    fails as SIGNATURE_INVALID, since the statement covers the subject.
    """
    if len(body) > codec.MAX_BODY:
        raise InvalidEvent(f"the body has more than {codec.MAX_BODY} bytes", code="BODY_TOO_LARGE")
    event = events.parse(subject, headers, body)
    if event.key_id != verifier.key_id:
        raise InvalidEvent("signed with a key that is not the federation's", code="KEY_UNKNOWN")
    if not genuine(verifier, event):
        raise InvalidEvent("the signature is not the federation's over this event", code="SIGNATURE_INVALID")
    if not events.body_matches(event):
        raise InvalidEvent("the body is not the one that was signed", code="DIGEST_MISMATCH")
    if event.source != source(federation_id):
        raise InvalidEvent("the event is from another federation", code="SOURCE_UNKNOWN")
    return event
