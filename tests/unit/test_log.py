"""What a log line looks like, and what is never in one."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from fedbus import log

SEED = "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4"
JWT = "eyJhbGciOiJlZDI1NTE5LW5rZXkiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJBQkMifQ.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.set_up("info", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = before
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_bound_facts(out: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(cluster="a"):
        structlog.get_logger("fedbus.x").info("policy_applied", version=3)

    (line,) = lines(out)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "policy_applied", "version": 3, "cluster": "a", "level": "info", "logger": "fedbus.x",
    }  # fmt: skip


def test_lines_below_the_level_are_not_written(out: io.StringIO) -> None:
    structlog.get_logger("x").debug("quiet")
    logging.getLogger("library").debug("quiet")

    assert out.getvalue() == ""


SECRET_KEYS = ["token", "password", "seed", "jwt", "join_token", "authorization", "user_jwt", "api_key"]


@pytest.mark.parametrize("key", [*SECRET_KEYS, "X-Auth-Token", "X-Auth-Apikey"])
def test_a_value_under_a_secret_key_is_masked(out: io.StringIO, key: str) -> None:
    structlog.get_logger("x").info("e", **{key: "geheim"}, nested={key: "geheim", "list": [{key: "geheim"}]})

    assert "geheim" not in out.getvalue()


def test_what_only_looks_like_a_secret_key_is_kept(out: io.StringIO) -> None:
    structlog.get_logger("x").info("e", token_id="t1", tokens=3, key="group")

    assert [lines(out)[0][key] for key in ("token_id", "tokens", "key")] == ["t1", 3, "group"]


@pytest.mark.parametrize("secret", [SEED, JWT, PEM, "user:geheim@host"])
def test_a_secret_inside_a_text_is_masked_in_messages_exceptions_and_library_lines(
    out: io.StringIO, secret: str
) -> None:
    text = f"tls://{secret}" if "@" in secret else f"see {secret} there"
    structlog.get_logger("x").info("e", note=text, raw=text.encode(), error=ValueError(text))
    logging.getLogger("library").warning("said %s", text)
    try:
        _ = [][len(text)], "unreachable"
    except IndexError as error:
        error.add_note(text)
        structlog.get_logger("x").exception("failed")

    assert len(lines(out)) == 3
    for part in ("geheim",) if "@" in secret else (secret, secret[:30]):
        assert part not in out.getvalue()


def test_a_terminal_gets_text_for_people() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = Terminal()
    try:
        log.set_up(stream=stream)
        structlog.get_logger("x").info("started", token="geheim")
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(level)

    assert "started" in stream.getvalue()
    assert "geheim" not in stream.getvalue()
    assert not stream.getvalue().startswith("{")
