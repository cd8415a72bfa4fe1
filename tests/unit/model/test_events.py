"""The envelope: what is signed is what is sent, and it can be verified again at any time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import InvalidEvent
from fedbus.model import events
from fedbus.pki.verification import verified
from tests.support.history import FEDERATION, VERIFIER, event

ORDINARY = event("fed.a", 3, version=7, content="x")
made = st.builds(
    event,
    st.text(min_size=1, max_size=8).filter(lambda s: s.encode("utf-8", "ignore").decode() == s),
    st.integers(1, 10**6),
    content=st.text(max_size=5000, alphabet="ab"),
    deleted=st.booleans(),
)


@given(made)
def test_an_event_comes_back_from_its_headers_and_body_and_verifies(one: events.Event) -> None:
    assert verified(VERIFIER, FEDERATION, one.subject, one.headers(), one.body) == one


@given(made, st.data())
def test_any_changed_attribute_breaks_the_signature(one: events.Event, data: st.DataObject) -> None:
    headers = one.headers()
    name = data.draw(st.sampled_from(sorted(headers)))
    changed = headers | {name: headers[name] + data.draw(st.sampled_from(["0", "x", " "]))}
    with pytest.raises(InvalidEvent):
        verified(VERIFIER, FEDERATION, one.subject, changed, one.body)


@given(made, st.text("abc", min_size=1, max_size=5), st.text(max_size=5))
def test_an_added_attribute_breaks_the_signature(one: events.Event, name: str, value: str) -> None:
    with pytest.raises(InvalidEvent):
        verified(VERIFIER, FEDERATION, one.subject, one.headers() | {f"ce-{name}": value}, one.body)


def test_headers_that_are_no_attributes_do_not_matter() -> None:
    headers = ORDINARY.headers() | {"Nats-Msg-Id": "x", "Nats-Stream": "POLICY"}
    assert verified(VERIFIER, FEDERATION, ORDINARY.subject, headers, ORDINARY.body) == ORDINARY


def test_another_body_and_another_subject_are_refused() -> None:
    with pytest.raises(InvalidEvent) as refused:
        verified(VERIFIER, FEDERATION, ORDINARY.subject, ORDINARY.headers(), ORDINARY.body + b" ")
    assert refused.value.code == "DIGEST_MISMATCH"
    with pytest.raises(InvalidEvent) as refused:
        verified(VERIFIER, FEDERATION, ORDINARY.subject + "x", ORDINARY.headers(), ORDINARY.body)
    assert refused.value.code == "SIGNATURE_INVALID"


@pytest.mark.parametrize("missing", [h for h in ORDINARY.headers() if h != "ce-datacontenttype"])
def test_an_event_without_an_attribute_is_refused(missing: str) -> None:
    headers = {k: v for k, v in ORDINARY.headers().items() if k != missing}
    with pytest.raises(InvalidEvent):
        verified(VERIFIER, FEDERATION, ORDINARY.subject, headers, ORDINARY.body)


@pytest.mark.parametrize("number", ["", "-1", "1.0", "٣", "1" * 19, " 1", "0x1"])
def test_a_number_is_plain_digits(number: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        events.parse(ORDINARY.subject, ORDINARY.headers() | {"ce-fbepoch": number}, ORDINARY.body)
    assert refused.value.code == "ATTRIBUTE_INVALID"


def test_an_event_of_another_federation_is_refused_even_if_the_key_is_the_same() -> None:
    with pytest.raises(InvalidEvent) as refused:
        verified(VERIFIER, "e" * 32, ORDINARY.subject, ORDINARY.headers(), ORDINARY.body)
    assert refused.value.code == "SOURCE_UNKNOWN"


def test_an_unknown_type_parses_and_is_known_as_unknown() -> None:
    newer = event("fed.a", 1, type_="io.fedbus.policy.frozen.v9")
    assert not events.known(verified(VERIFIER, FEDERATION, newer.subject, newer.headers(), newer.body))
    assert events.known(ORDINARY)
