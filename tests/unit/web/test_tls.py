"""The REST certificate."""

import os
import ssl
from pathlib import Path

import pytest

from fedbus.errors import ConfigError
from fedbus.pki.ca import DAY
from fedbus.web.tls import RestTls

NOW = 1_800_000_000.0


def make(data_dir: Path, *hosts: str, now: float = NOW) -> RestTls:
    return RestTls(data_dir, hosts or ["127.0.0.1"], now=now, randomness=os.urandom)


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    make(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}

    make(tmp_path, now=NOW + 300 * DAY)

    assert {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before


def test_it_is_renewed_before_its_end_under_the_same_authority(tmp_path: Path) -> None:
    made = make(tmp_path)
    ca, server = made.ca_file.read_bytes(), (tmp_path / "tls/server.pem").read_bytes()

    assert not made.refresh(NOW + 334 * DAY)
    assert made.refresh(NOW + 336 * DAY)

    assert made.ca_file.read_bytes() == ca
    assert (tmp_path / "tls/server.pem").read_bytes() != server


def test_two_servers_have_their_own_certificates_from_one_authority(tmp_path: Path) -> None:
    rest = make(tmp_path)
    webhook = RestTls(tmp_path, ["hook.svc"], now=NOW, randomness=os.urandom, server="webhook")

    assert rest.ca_file.read_bytes() == webhook.ca_file.read_bytes()
    assert not rest.refresh(NOW)
    assert webhook.expires == rest.expires
    assert (tmp_path / "tls/webhook.pem").read_bytes() != (tmp_path / "tls/server.pem").read_bytes()


def test_other_hosts_make_a_new_one(tmp_path: Path) -> None:
    make(tmp_path, "127.0.0.1")
    server = (tmp_path / "tls/server.pem").read_bytes()

    made = make(tmp_path, "127.0.0.1", "fedbus.example")

    assert (tmp_path / "tls/server.pem").read_bytes() != server
    assert not made.refresh(NOW)


def test_after_a_restart_no_private_key_leaves_its_file(tmp_path: Path) -> None:
    make(tmp_path)
    made = make(tmp_path, "other.example")  # the authority comes from its file now

    assert b"PRIVATE" not in made.ca_file.read_bytes()
    assert (tmp_path / "tls/server.pem").read_bytes().count(b"BEGIN PRIVATE KEY") == 1
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()} == {0o600}


def test_old_protocols_are_refused(tmp_path: Path) -> None:
    assert make(tmp_path).context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "tls/ca-key.pem").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"ca-key\.pem is damaged") as caught:
        make(tmp_path)

    assert "Delete" in caught.value.remedy
