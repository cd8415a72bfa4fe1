"""`fedbus master` and `fedbus worker` up to the point where the daemon takes over."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import Result

from fedbus import config
from fedbus.errors import ConfigError, Unavailable
from fedbus.settings import MasterSettings, WorkerSettings

Run = Callable[..., Awaitable[Result]]
Given = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Note what the process would have become."""
    noted: Given = []
    monkeypatch.setattr(os, "execve", lambda _file, words, environ: noted.append((words, dict(environ))))
    return noted


async def test_a_master_gets_its_settings_from_file_environment_and_flags(
    run: Run, tmp_path: Path, became: Given
) -> None:
    (tmp_path / "fedbus.toml").write_text("rest_port = 1\nbus_port = 1\nheartbeat_interval = 1\n")

    done = await run(
        "--data-dir", "/data", "master", "--config", str(tmp_path / "fedbus.toml"), "--bus-port", "3",
        FEDBUS_REST_PORT="2", FEDBUS_BUS_PORT="2",
    )  # fmt: skip

    assert done.exit_code == 0
    ((words, environ),) = became
    assert words[1:] == ["-m", "fedbus.master", "/data"]
    settings = config.load("master", Path(environ["FEDBUS_CONFIG"]), environ)
    assert settings == MasterSettings(data_dir=Path("/data"), rest_port=2, bus_port=3, heartbeat_interval=1.0)


async def test_a_worker_gets_its_settings(run: Run, became: Given) -> None:
    await run("worker", "--data-dir", "/data", "--join-token-file", "/token", "--join-name", "east")

    ((words, environ),) = became
    assert words[1:] == ["-m", "fedbus.worker", "/data"]
    wanted = WorkerSettings(data_dir=Path("/data"), join_token_file=Path("/token"), join_name="east")
    assert config.load("worker", None, environ) == wanted


async def test_a_wrong_configuration_ends_with_two_and_every_fault(
    run: Run, tmp_path: Path, became: Given
) -> None:
    (tmp_path / "fedbus.toml").write_text("rest_prot = 1\nlog_level = 'loud'\n")

    done = await run("worker", "--config", str(tmp_path / "fedbus.toml"))

    assert (done.exit_code, became) == (2, [])
    assert "rest_prot" in done.stderr
    assert "loud" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(Unavailable("The port is taken", remedy="Choose another"), 1), (ConfigError("No", remedy="Yes"), 2)],
    ids=["failed", "misconfigured"],
)
def test_a_daemon_that_cannot_start_says_why(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_settings: object) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["fedbus.worker", "/data"])
    assert config.main("worker", fail) == code
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("Error: ")
    assert second.startswith("  ")


def test_the_daemon_alone_names_what_is_wrong_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDBUS_REST_PORT", "many")
    assert config.main("master", lambda _: sys.exit("must not run")) == 2
    assert "FEDBUS_REST_PORT" in capsys.readouterr().err
