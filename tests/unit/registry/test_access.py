"""Credentials are split off, masked, merged, and bound to the host that they were given for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.registry import retry
from fedbus.core.registry.access import (
    ADDRESS,
    MASK,
    PARTS,
    SECRETS,
    Credentials,
    address_of,
    credentials_of,
    merged,
    split,
)
from fedbus.errors import Refused
from fedbus.model.policy.registry import Registry

HERE, THERE = "https://here.example/", "https://there.example/"
VALUES = st.one_of(st.none(), st.just(MASK), st.text(min_size=1), st.integers())


def registry(**fields: object) -> Registry:
    about = {"name": "r", "registry_type": "Docker Registry", "registry": HERE}
    return Registry(**{**about, **fields})  # type: ignore[arg-type]


@given(
    st.dictionaries(st.sampled_from(SECRETS), VALUES),
    st.dictionaries(st.sampled_from(PARTS["aws_key"]), VALUES),
)
def test_no_credential_is_left_in_what_is_shown(config: dict[str, object], aws: dict[str, object]) -> None:
    left, found = split({**config, "aws_key": aws, "registry": HERE})
    shown = {**left, **left["aws_key"]}  # type: ignore[dict-item]
    given = {**config, **aws}
    for name, value in given.items():
        if isinstance(value, str) and value != MASK:
            assert shown[name] == MASK
            assert value in found.values()
        else:
            assert shown[name] == value  # a mask keeps, and the shape refuses a number
    assert split(left)[1] == {}


def test_what_is_empty_is_taken_away() -> None:
    left, found = split({"password": "", "username": "u", "registry": HERE})
    assert (left["password"], found) == ("", {"password": None, "username": "u", ADDRESS: HERE})
    held = merged({"password": "p", ADDRESS: HERE}, found, "")
    assert held == {"username": "u", ADDRESS: HERE}
    assert merged(held, {"username": None}, HERE) == {}


def test_credentials_go_to_the_host_they_were_given_for_alone() -> None:
    held = merged({}, {"username": "u", "password": "p", ADDRESS: HERE}, "")
    assert credentials_of(registry(registry=HERE + "path"), held) == Credentials("u", "p")
    for elsewhere in (THERE, "http://here.example/", "https://here.example:444/"):
        with pytest.raises(Refused):
            credentials_of(registry(registry=elsewhere), held)


def test_one_part_given_for_another_host_does_not_take_the_others_there() -> None:
    held = {"auth_token": "secret", "password": "secret", ADDRESS: HERE}
    assert merged(held, {"username": "u"}, THERE) == {"username": "u", ADDRESS: THERE}
    assert merged(held, {"username": "u"}, HERE) == {**held, "username": "u"}


def test_which_credentials_open_a_registry() -> None:
    bound = {ADDRESS: HERE}
    assert credentials_of(registry(), {}) == Credentials()
    assert credentials_of(registry(auth_with_token=True), {"auth_token": "t", **bound}) == Credentials(
        token="t"
    )
    assert credentials_of(registry(), {"auth_token": "t", **bound}) == Credentials()
    assert credentials_of(registry(), {"gcr_key.json_key": "{}", **bound}) == Credentials("_json_key", "{}")
    gitlab = registry(registry_type="Gitlab")
    held = {"username": "u", "gitlab_private_token": "t", **bound}
    assert credentials_of(gitlab, held) == Credentials("u", "t")


def test_no_credential_shows_in_a_traceback() -> None:
    assert "word" not in repr(Credentials("user", "word", "token"))


@pytest.mark.parametrize(
    "address", ["https://docker.io", "https://index.docker.io/v1/", "https://registry.hub.docker.com/"]
)
def test_docker_hub_has_one_address_and_a_library(address: str) -> None:
    hub = address_of(registry(registry=address))
    assert (hub.url, hub.repository("alpine"), hub.repository("a/b")) == (
        "https://registry-1.docker.io/",
        "library/alpine",
        "a/b",
    )


def test_what_a_busy_registry_asks_for() -> None:
    assert retry.asked_for("120", 0.0) == 120.0
    assert retry.asked_for("Thu, 01 Jan 1970 00:01:00 GMT", 20.0) == 40.0
    for nothing in ("", "-5", "soon", "Thu, 99 Jan", "９"):
        assert retry.asked_for(nothing, 0.0) == 0.0


@given(st.integers(1, 10), st.floats(0, 0.99), st.floats(0, 1e6))
def test_a_pause_is_at_least_what_was_asked_for_and_at_last_it_is_given_up(
    attempt: int, jitter: float, asked: float
) -> None:
    pause = retry.pause(attempt, jitter, asked)
    if attempt >= retry.ATTEMPTS or asked > retry.PATIENCE:
        assert pause is None
    else:
        assert pause is not None
        assert asked < pause <= asked + 10.0
