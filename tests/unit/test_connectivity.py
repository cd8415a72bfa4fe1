"""One table of codes: complete, with a remedy for each, and the same from every kind of failure."""

import asyncio
import re
import socket
import ssl
from pathlib import Path

import nats.errors
import pytest

import fedbus
from fedbus.bus.explain import explain
from fedbus.cli.doctor import EXIT_CODES
from fedbus.cli.exit_codes import ExitCode
from fedbus.core import connectivity, diagnosis
from fedbus.core.connectivity import ENDED, TABLE, Step
from fedbus.errors import Refused, Unavailable

SOURCE = Path(fedbus.__file__).parent
USED = re.compile(r'connectivity\.(?:error|unavailable|refused)\(\s*"([A-Z_]+)"')


def test_every_code_has_a_remedy_and_a_step() -> None:
    assert all(cause.remedy and cause.step in Step for cause in TABLE.values())


def test_every_code_that_is_raised_is_in_the_table() -> None:
    used = {code for file in SOURCE.rglob("*.py") for code in USED.findall(file.read_text())}

    assert used
    assert used | set(ENDED.values()) <= set(TABLE)


def test_exit_codes_are_one_a_step_documented_and_not_those_of_other_commands() -> None:
    numbers = [int(step) for step in Step]

    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & {int(code) for code in ExitCode}
    assert all(f"{int(step)} {step.title}" in EXIT_CODES for step in Step)


def test_the_readme_has_every_code_beside_its_exit_code() -> None:
    readme = (SOURCE.parent / "README.md").read_text()
    rows = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d\d) \|.*$", readme, re.MULTILINE)}

    missing = [code for code, cause in TABLE.items() if f"`{code}`" not in rows[int(cause.step)]]

    assert missing == []


def test_a_code_says_whether_the_other_side_refused_or_is_away() -> None:
    assert isinstance(connectivity.error("TLS_UNTRUSTED", "x"), Refused)
    assert isinstance(connectivity.error("TCP_REFUSED", "x"), Unavailable)


def test_an_error_is_shown_with_step_code_and_remedy_also_where_it_was_raised_without() -> None:
    shown = connectivity.facts(Unavailable("x", code="TCP_TIMEOUT"))

    assert shown == {
        "code": "TCP_TIMEOUT",
        "message": "x",
        "remedy": TABLE["TCP_TIMEOUT"].remedy,
        "step": "TCP",
    }
    assert connectivity.facts(Unavailable("x", code="ELSE", remedy="y")) == {
        "code": "ELSE",
        "message": "x",
        "remedy": "y",
    }


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (verification(10), "TLS_EXPIRED"),
        (verification(9), "TLS_EXPIRED"),
        (verification(62), "TLS_WRONG_NAME"),
        (verification(64), "TLS_WRONG_NAME"),
        (verification(19), "TLS_UNTRUSTED"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS_PLAINTEXT"),
        (ssl.SSLError(1, "[SSL] record layer failure"), "TLS_PLAINTEXT"),
        (ssl.SSLError(1, "[SSL: BAD_SIGNATURE] bad signature"), "TLS_UNTRUSTED"),
        (socket.gaierror(-2, "Name or service not known"), "NAME_UNRESOLVED"),
        (ConnectionRefusedError(111, "refused"), "TCP_REFUSED"),
        (OSError(113, "No route to host"), "TCP_UNREACHABLE"),
        (TimeoutError(), "TCP_TIMEOUT"),
        (nats.errors.AuthorizationError(), "BUS_UNAUTHORIZED"),
        (nats.errors.Error("nats: 'Authorization Violation'"), "BUS_UNAUTHORIZED"),
        (ConnectionResetError(104, "reset"), "BUS_UNREACHABLE"),
    ],
)
def test_what_a_failure_to_connect_means(error: Exception, code: str) -> None:
    found = explain(error, "tls://bus:1")

    assert (found.code, found.remedy) == (code, TABLE[code].remedy)
    assert "tls://bus:1" in found.message


def test_the_cause_of_an_error_counts_and_a_circle_of_causes_ends() -> None:
    outer = nats.errors.NoServersError()
    outer.__cause__ = inner = ConnectionRefusedError(111, "refused")
    inner.__context__ = outer

    assert explain(outer, "x").code == "TCP_REFUSED"


async def test_a_resolver_that_does_not_know_a_name() -> None:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - gaierror, or what a loop makes of it
        await asyncio.open_connection("bus.invalid", 1)

    assert explain(raised.value, "x").code == "NAME_UNRESOLVED"


def test_the_first_failure_decides_about_a_diagnosis() -> None:
    first = diagnosis.failed(Step.CREDENTIAL, connectivity.error("TOKEN_REVOKED", "gone"))
    second = diagnosis.failed(Step.DISK, connectivity.error("DISK_LOW", "full"))

    found = diagnosis.conclude("joining", "x", [diagnosis.ok(Step.TCP), first, second])

    assert (found.failed, found.code, found.exit_code) == ("credential", "TOKEN_REVOKED", int(Step.TOKEN))


def test_an_error_that_is_in_no_table_counts_for_its_step() -> None:
    found = diagnosis.failed(Step.CREDENTIAL, Unavailable("x", code="ODD"))

    assert found.exit_code == int(Step.CREDENTIAL)


@pytest.mark.parametrize(
    ("version", "good"),
    [("2.15.1", True), ("2.12.0", True), ("2.11.9", False), ("v2.2.0", False), ("3.0", True), ("odd", True)],
)
def test_which_bus_can_serve_a_federation(version: str, good: bool) -> None:
    assert diagnosis.bus_supported(version) is good
