"""Settings: file, then environment, then flags."""

from pathlib import Path

import msgspec
import pytest

from fedbus import config
from fedbus.errors import ConfigError
from fedbus.settings import MasterSettings, Settings, WorkerSettings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fedbus.toml"
    path.write_text(text)
    return path


def test_without_anything_there_are_defaults_for_every_setting() -> None:
    settings = config.load("master", None, {"HOME": "/home/x"})

    assert settings == MasterSettings(data_dir=Path("/home/x/.local/state/fedbus/master"))
    assert (settings.rest_host, settings.rest_port, settings.bus_port) == ("127.0.0.1", 10443, 11443)
    worker = config.load("worker", None, {"XDG_STATE_HOME": "/state"})
    assert worker.data_dir == Path("/state/fedbus/worker")


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'data_dir = "/file"\nrest_port = 1\nbus_port = 1\nlog_level = "debug"\n')

    settings = config.load(
        "master", path, {"FEDBUS_REST_PORT": "2", "FEDBUS_BUS_PORT": "2"}, {"rest_port": 3, "data_dir": None}
    )

    assert (settings.data_dir, settings.log_level) == (Path("/file"), "debug")
    assert (settings.bus_port, settings.rest_port) == (2, 3)


def test_what_kubernetes_says_of_a_service_is_no_setting() -> None:
    environ = {"HOME": "/", "FEDBUS_WEBHOOK_PORT": "tcp://10.0.0.1:443", "FEDBUS_REST_PORT": "1"}
    settings = config.load("worker", None, environ)
    assert (settings.webhook_port, settings.rest_port) == (8443, 1)


def test_the_environment_is_text_and_lists_are_comma_separated() -> None:
    settings = config.load(
        "master",
        None,
        {
            "HOME": "/",
            "FEDBUS_BUS_URLS": "tls://a:4222, tls://b:4222",
            "FEDBUS_HEARTBEAT_INTERVAL": "0.5",
            "FEDBUS_BUS_REPLICAS": "3",
        },
    )

    assert settings.bus_urls == ("tls://a:4222", "tls://b:4222")
    assert settings.heartbeat_interval == 0.5
    assert settings.bus_replicas == 3


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path, 'rest_prot = 1\nrest_port = "1"\nbus_urls = ["nats://plain"]\nheartbeat_interval = 0\n[x]\n'
    )

    with pytest.raises(ConfigError) as caught:
        config.load("master", path, {"FEDBUS_LOG_LEVEL": "loud", "HOME": "/"}, {"bus_port": 70_000})

    said = caught.value.message.splitlines()
    assert [line.split(": ")[-2].split()[-1] for line in said[1:]] == [
        "rest_prot", "rest_port", "bus_urls", "heartbeat_interval", "x", "FEDBUS_LOG_LEVEL", "--bus-port",
    ]  # fmt: skip
    assert caught.value.code == "CONFIG_INVALID"


def test_a_setting_of_the_other_daemon_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bus_port: there is no such setting"):
        config.load("worker", write(tmp_path, "bus_port = 1\n"), {"HOME": "/"})


def test_variables_that_kubernetes_or_the_command_line_own_are_left_alone() -> None:
    environ = {
        "HOME": "/",
        "FEDBUS_PORT": "tcp://10.0.0.1:443",
        "FEDBUS_PROFILE": "x",
        "FEDBUS_SERVICE_HOST": "y",
    }

    assert config.load("worker", None, environ) == config.load("worker", None, {"HOME": "/"})


@pytest.mark.parametrize("text", ["rest_port = ", "\xff"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fedbus.toml"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(ConfigError, match="no valid TOML"):
        config.load("master", path, {"HOME": "/"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        config.load("master", tmp_path / "nowhere.toml", {"HOME": "/"})


@pytest.mark.parametrize("kind", [MasterSettings, WorkerSettings])
def test_no_setting_holds_a_secret_itself(kind: type[Settings]) -> None:
    for field in msgspec.structs.fields(kind):
        assert not field.name.endswith(("token", "password", "key", "seed", "jwt")), field.name
