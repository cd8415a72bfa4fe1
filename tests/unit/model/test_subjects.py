"""The subject grammar: any name is one token, comes back as it was, and nothing else parses."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import InvalidEvent
from fedbus.model import subjects
from fedbus.model.subjects import Address

names = st.text(min_size=1, max_size=20).filter(lambda s: s.encode("utf-8", "ignore").decode() == s)
clusters = st.text(string.hexdigits.lower(), min_size=1, max_size=32)
TOKEN = set(string.ascii_letters + string.digits + "_:-%")


@given(names)
def test_a_name_is_one_token_of_the_nats_alphabet_and_comes_back(name: str) -> None:
    token = subjects.escape(name)
    assert set(token) <= TOKEN
    assert subjects.unescape(token) == name


@given(names, names)
def test_two_names_never_share_a_token(a: str, b: str) -> None:
    assert (subjects.escape(a) == subjects.escape(b)) == (a == b)


@given(st.text(max_size=12))
def test_what_escape_did_not_make_is_refused(token: str) -> None:
    try:
        name = subjects.unescape(token)
    except (ValueError, UnicodeDecodeError):
        return
    assert subjects.escape(name) == token


def test_an_empty_name_has_no_token() -> None:
    with pytest.raises(ValueError, match="empty"):
        subjects.escape("")


@given(st.sampled_from(["all", "m"]) | clusters.map(subjects.own_scope), names)
def test_an_event_subject_parses_to_what_it_was_built_from(scope: str, name: str) -> None:
    subject = subjects.event(scope, "policy", "group", name)
    assert subjects.parse(subject) == Address(scope, "policy", "group", name)
    assert subjects.matches(subjects.scope_filter(scope), subject)


@given(st.text(alphabet=".*>% abcfedv1", max_size=30))
def test_parsing_answers_or_refuses_and_never_breaks(subject: str) -> None:
    with contextlib.suppress(InvalidEvent):
        address = subjects.parse(subject)
        assert subjects.event(address.scope, address.category, address.kind, address.name) == subject


@pytest.mark.parametrize(
    "subject",
    [
        "fed.v1.ev.all.policy.group",
        "fed.v1.ev.all.policy.group.a.b",
        "fed.v2.ev.all.policy.group.a",
        "fed.v1.ev.other.policy.group.a",
        "fed.v1.ev.c.policy.group.a",
        "fed.v1.ev.all.unheard.group.a",
        "fed.v1.ev.all.policy.group.%66",  # an `f` has one spelling
        "fed.v1.ev.all.policy.group.%FF",
        "fed.v1.ev.c.*.policy.group.a",
        "fed.v1.up.x.hb",
        "",
    ],
)
def test_no_other_subject_is_an_events(subject: str) -> None:
    with pytest.raises(InvalidEvent):
        subjects.parse(subject)


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("a.b", "a", False),
        ("*.b", "a.b", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_patterns_match_as_nats_matches(pattern: str, subject: str, covered: bool) -> None:
    assert subjects.matches(pattern, subject) is covered


def test_who_sent_a_message_is_read_from_its_subject_alone() -> None:
    assert subjects.sender(subjects.up("abc", "hb")) == "abc"
    assert subjects.sender(subjects.join("t1")) == "t1"
    for subject in ("fed.v1.up.abc", "fed.v1.up.abc.hb.more", "fed.v1.ev.all.policy.group.a"):
        with pytest.raises(ValueError, match="nobody"):
            subjects.sender(subject)
