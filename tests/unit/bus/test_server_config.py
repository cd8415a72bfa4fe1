"""The server's configuration: explicit, quoted, and accepted by the server that we ship."""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from fedbus.bus.server_config import ServerSettings, render
from fedbus.bus.server_process import find_binary
from fedbus.errors import ConfigError
from fedbus.pki.keyring import Keyring

NOW = 1_700_000_000.0


def settings(**changes: object) -> ServerSettings:
    given = ServerSettings(
        directory=Path("/data/bus"),
        certificate_file=Path("/data/keyring/server.pem"),
        operator_jwt="op.er.ator",
        system_account="ASYS",
        accounts={"ASYS": "s.y.s", "AFED": "f.e.d"},
    )
    return msgspec.structs.replace(given, **changes)


def test_every_guarantee_of_the_bus_is_a_line() -> None:
    lines = {line.strip() for line in render(settings(port=11443)).splitlines()}

    assert {
        "port: 11443",
        "handshake_first: true",
        "sync_interval: always",
        "max_payload: 1048576",
        "max_control_line: 4KB",
        "feature_flags { js_ack_fc_v2: false }",
        "type: full",
        "allow_delete: false",
        'operator: "op.er.ator"',
        'system_account: "ASYS"',
        'ASYS: "s.y.s"',
        'AFED: "f.e.d"',
        'store_dir: "/data/bus"',
    } <= lines


def test_the_monitor_is_off_unless_asked_for_and_then_local() -> None:
    assert "http:" not in render(settings())
    assert 'http: "127.0.0.1:8222"' in render(settings(monitor_port=8222))


def test_port_zero_is_any_free_port() -> None:
    assert "port: -1\n" in render(settings())


def test_quotation_marks_and_backslashes_in_a_path_stay_in_it() -> None:
    assert r'store_dir: "/data/\"a\\b"' in render(settings(directory=Path('/data/"a\\b')))


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\x7fb"])
def test_what_could_begin_another_line_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        render(settings(server_name=name))


@pytest.mark.parametrize("monitor_port", [0, 8222])
@pytest.mark.parametrize("directory", ["bus", 'od"d bü\\s $HOME'])
def test_the_server_accepts_it(tmp_path: Path, directory: str, monitor_port: int) -> None:
    keyring = Keyring.create(
        tmp_path / "keyring", federation_id="f1", hosts=["127.0.0.1"], now=NOW, randomness=os.urandom
    )
    home = tmp_path / directory
    home.mkdir()
    text = render(
        ServerSettings(
            directory=home,
            certificate_file=keyring.server_file,
            operator_jwt=keyring.operator_jwt,
            system_account=keyring.system_account,
            accounts=keyring.account_jwts(now=NOW),
            monitor_port=monitor_port,
        )
    )
    (home / "nats-server.conf").write_text(text)

    done = subprocess.run(
        [find_binary(), "-t", "-c", home / "nats-server.conf"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "configuration file" in done.stderr
    assert "is valid" in done.stderr
