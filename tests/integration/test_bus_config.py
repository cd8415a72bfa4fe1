"""The generated configuration of an external bus: nats-server takes it, and the example is up to date."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from fedbus.bus.deployment import CA, CERTIFICATE, CONFIG, Layout, Node
from fedbus.bus.server_process import find_binary
from fedbus.errors import InvalidInput
from fedbus.pki import files
from fedbus.pki.keyring import Keyring
from tests.support import deploy_example


async def test_the_example_is_what_is_generated() -> None:
    for name, made in deploy_example.files(Layout()).items():
        committed = (deploy_example.DIRECTORY / name / CONFIG).read_text()
        assert committed == made[CONFIG].decode(), "run python -m tests.support.deploy_example"


async def test_nats_server_accepts_every_node_of_the_example(tmp_path: Path) -> None:
    for name, made in deploy_example.files(_layout(tmp_path)).items():
        write(tmp_path / "etc", made)
        assert "is valid" in await checked(tmp_path / "etc" / CONFIG), name


def _layout(root: Path) -> Layout:
    return Layout(configuration=root / "etc", data=root / "data")


def write(directory: Path, made: Mapping[str, bytes]) -> None:
    files.make_directory(directory)
    for name, content in made.items():
        files.write(directory / name, content)


async def checked(config: Path) -> str:
    """Have nats-server check a configuration; return what it said."""
    process = await asyncio.create_subprocess_exec(
        str(find_binary()), "-t", "-c", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return said.decode()


async def fedbus(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_the_command_writes_a_directory_a_node_that_its_owner_alone_may_read(tmp_path: Path) -> None:
    now = time.time()  # noqa: TID251 - certificates are of now
    Keyring.create(
        tmp_path / "master" / "keyring", federation_id="f1", hosts=["h"], now=now, randomness=os.urandom
    )
    out = tmp_path / "out"
    code, said = await fedbus(
        "bus", "config", "--data-dir", str(tmp_path / "master"), "--out", str(out),
        "--node", "n1=10.0.0.1", "--node", "n2=10.0.0.2:4222", "--node", "n3=[fd00::3]:4222/6333",
        "--etc", str(out / "n3"), "--store", str(tmp_path / "data"),
    )  # fmt: skip
    assert code == 0, said
    assert 'bus_urls = ["tls://10.0.0.1:11443", "tls://10.0.0.2:4222", "tls://[fd00::3]:4222"]' in said
    assert "bus_replicas = 3" in said
    for node in ("n1", "n2", "n3"):
        assert (out / node).stat().st_mode & 0o777 == 0o700
        for name in (CONFIG, CERTIFICATE, CA):
            assert (out / node / name).stat().st_mode & 0o777 == 0o600
    assert "is valid" in await checked(out / "n3" / CONFIG)
    signed = (tmp_path / "master" / "keyring" / "operator-signing.seed").read_text()
    assert all(signed not in path.read_text() for path in out.rglob("*") if path.is_file())


async def test_the_command_says_where_there_is_no_master(tmp_path: Path) -> None:
    code, said = await fedbus(
        "bus", "config", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out"), "--node", "n1=h"
    )
    assert code == 2
    assert "Promote first" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text", ["", "n1", "n1=", "=h", "n 1=h", "n1=h:x", "n1=h:70000", "n1=h:1/x", "n1=h/0"]
)
async def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Node.parse(text)
