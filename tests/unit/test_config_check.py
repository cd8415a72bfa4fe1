"""A configuration is judged whole before anything starts, and shown without what is secret."""

from pathlib import Path

import pytest

from fedbus import config
from fedbus.errors import ConfigError

HOME = {"HOME": "/home/x"}


def fedinitcfg(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "fedinitcfg.yaml"
    path.write_text(text)
    return HOME | {"FEDBUS_FEDINITCFG": str(path)}


def test_an_unknown_setting_is_named_with_its_file_the_likely_one_and_all_there_are(tmp_path: Path) -> None:
    path = tmp_path / "fedbus.toml"
    path.write_text('join_nam = "shop"\n')
    with pytest.raises(ConfigError, match=r"fedbus.toml: join_nam: .* did you mean join_name\?.* data_dir, "):
        config.load("worker", path, HOME)


@pytest.mark.parametrize(
    ("role", "environ", "said"),
    [
        ("worker", {"FEDBUS_JOIN_TOKEN_FILE": "/t"}, "FEDBUS_JOIN_TOKEN_FILE: join_name is missing"),
        ("worker", {"FEDBUS_JOIN_NAME": "no name"}, "FEDBUS_JOIN_NAME: 'no name' is no cluster name"),
        ("worker", {"FEDBUS_JOIN_LABELS": "a=b,=c"}, "FEDBUS_JOIN_LABELS: =c is no label"),
        ("master", {"FEDBUS_PROMOTE_NAME": "-"}, "FEDBUS_PROMOTE_NAME: '-' is no cluster name"),
    ],
)
def test_what_the_daemon_would_refuse_later_is_said_before_it_starts(
    role: str, environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load("worker", None, HOME | environ) if role == "worker" else config.load(
            "master", None, HOME | environ
        )


def test_the_environment_wins_over_a_fedinitcfg_and_the_token_stays_in_it(tmp_path: Path) -> None:
    environ = fedinitcfg(
        tmp_path,
        "Cluster_Name: shop\nPrimary_Rest_Info: {Server: a, Port: 1}\nJoin_Token: hush\n",
    )

    settings = config.load("worker", None, environ | {"FEDBUS_JOIN_SERVER": "b"})

    assert (settings.join_name, settings.join_server, settings.join_port) == ("shop", "b", 1)
    assert settings.join_token_file == tmp_path / "fedinitcfg.yaml"
    assert config.token_in(settings.join_token_file) == "hush"
    shown = {one.name: one for one in config.effective("worker", None, environ)}
    assert shown["join_name"].origin == f"{tmp_path}/fedinitcfg.yaml: cluster_name"
    assert shown["rest_port"].origin == "default"
    assert "hush" not in str(shown)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("join_token: [hush", "this is no valid YAML"),
        ("- hush", "expected keys and values"),
        ("cluster_name: a\nCluster_Name: hush", "this is no valid YAML"),
        ("cluster_name: 7", r"fedinitcfg.yaml: cluster_name: Expected `str`"),
        ("cluster_nam: x", r"fedinitcfg.yaml: cluster_nam: there is no such key; allowed here: cluster_name"),
        ("x: !!python/object:os.system {}", "this is no valid YAML"),
    ],
)
def test_a_bad_fedinitcfg_is_refused_without_a_word_of_what_it_holds(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        config.load("worker", None, fedinitcfg(tmp_path, text))
    assert "hush" not in str(caught.value)


def test_what_an_address_says_of_who_calls_is_not_shown() -> None:
    environ = HOME | {
        "FEDBUS_TRACING_ENDPOINT": "http://me:hush@collector:4318",
        "FEDBUS_BUS_URLS": "tls://me:hush@a:4222",
    }
    shown = {one.name: one.value for one in config.effective("master", None, environ)}
    assert shown["tracing_endpoint"] == "http://***@collector:4318"
    assert shown["bus_urls"] == ["tls://***@a:4222"]
