"""`fedbus master` and `fedbus worker` up to the point where the daemon takes over."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import Result

from fedbus.config import MasterSettings, WorkerSettings
from fedbus.errors import Unavailable
from fedbus.master import daemon as master_daemon
from fedbus.worker import daemon as worker_daemon

Run = Callable[..., Awaitable[Result]]


async def test_a_master_gets_its_settings_from_file_environment_and_flags(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[MasterSettings] = []
    monkeypatch.setattr(master_daemon, "run", given.append)
    (tmp_path / "fedbus.toml").write_text("rest_port = 1\nbus_port = 1\nheartbeat_interval = 1\n")

    done = await run(
        "--data-dir", "/data", "master", "--config", str(tmp_path / "fedbus.toml"), "--bus-port", "3",
        FEDBUS_REST_PORT="2", FEDBUS_BUS_PORT="2",
    )  # fmt: skip

    assert done.exit_code == 0
    assert given == [MasterSettings(data_dir=Path("/data"), rest_port=2, bus_port=3, heartbeat_interval=1.0)]


async def test_a_worker_gets_its_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[WorkerSettings] = []
    monkeypatch.setattr(worker_daemon, "run", given.append)

    await run("worker", "--data-dir", "/data", "--join-token-file", "/token", "--join-name", "east")

    assert given == [WorkerSettings(data_dir=Path("/data"), join_token_file=Path("/token"), join_name="east")]


async def test_a_wrong_configuration_ends_with_two_and_every_fault(run: Run, tmp_path: Path) -> None:
    (tmp_path / "fedbus.toml").write_text("rest_prot = 1\nlog_level = 'loud'\n")

    done = await run("worker", "--config", str(tmp_path / "fedbus.toml"))

    assert done.exit_code == 2
    assert "rest_prot" in done.stderr
    assert "loud" in done.stderr


async def test_a_daemon_that_cannot_start_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_settings: MasterSettings) -> None:
        raise Unavailable("The port 11443 is taken", remedy="Choose another with --bus-port")

    monkeypatch.setattr(master_daemon, "run", fail)

    done = await run("master", "--data-dir", "/data")

    assert done.exit_code == 1
    assert done.stderr == "Error: The port 11443 is taken\n  Choose another with --bus-port\n"
