"""Which daemon a command speaks to, and whether it is the right one."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import Result

from fedbus.cli import profiles
from fedbus.cli.errors import CliError
from fedbus.cli.profiles import Profile, resolve

from .conftest import FakeApi

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    environ = {"HOME": str(tmp_path)}
    saved = profiles.Profiles(
        current="a",
        profiles={
            "a": Profile(url="https://a", ca="/ca-a", api_key_file="/key-a"),
            "b": Profile(url="https://b", token_file="/token-b"),
        },
    )
    profiles.save(profiles.path(environ), saved)
    return environ


def test_flags_beat_a_named_profile_which_beats_the_environment_which_beats_the_one_in_use(
    environ: dict[str, str],
) -> None:
    assert resolve(Profile(), "", environ).url == "https://a"
    assert resolve(Profile(), "", environ | {"FEDBUS_PROFILE": "b"}).url == "https://b"
    assert (
        resolve(Profile(), "", environ | {"FEDBUS_URL": "https://e", "FEDBUS_PROFILE": "b"}).url
        == "https://e"
    )
    assert resolve(Profile(), "b", environ | {"FEDBUS_URL": "https://e"}).url == "https://b"
    assert resolve(Profile(url="https://f"), "b", environ).url == "https://f"


def test_a_key_never_goes_to_the_address_of_another_source(environ: dict[str, str]) -> None:
    assert resolve(Profile(url="https://f"), "a", environ) == Profile(url="https://f")
    assert resolve(Profile(), "", environ | {"FEDBUS_URL": "https://e"}).api_key_file == ""


def test_a_flag_can_change_one_thing_of_a_profile(environ: dict[str, str]) -> None:
    expected = Profile(url="https://a", ca="/mine", api_key_file="/key-a")
    assert resolve(Profile(ca="/mine"), "", environ) == expected


def test_an_unknown_profile_and_a_damaged_file_are_said(environ: dict[str, str]) -> None:
    with pytest.raises(CliError, match="no profile 'x'"):
        resolve(Profile(), "x", environ)
    profiles.path(environ).write_text("current = 5\n")
    with pytest.raises(CliError, match="damaged"):
        resolve(Profile(), "", environ)


def test_saved_profiles_read_back_whatever_they_hold(tmp_path: Path) -> None:
    odd = profiles.Profiles(current='a "b".c', profiles={'a "b".c': Profile(url="https://ü\\\n", ca="/x")})

    profiles.save(tmp_path / "profiles.toml", odd)

    assert profiles.load(tmp_path / "profiles.toml") == odd
    assert (tmp_path / "profiles.toml").stat().st_mode & 0o777 == 0o600


async def test_profiles_are_added_listed_used_and_removed(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/fed/member"] = {}
    ca, key = str(api.data_dir / "tls/ca.pem"), str(api.data_dir / "api-key")

    assert (
        await run("profile", "add", "one", "--url", api.url, "--ca", ca, "--api-key-file", key)
    ).exit_code == 0
    assert (await run("profile", "add", "two", "--data-dir", str(api.data_dir))).exit_code == 0
    listed = await run("profile", "list")
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [
        ["*", "one", api.url],
        ["two", str(api.data_dir)],
    ]
    assert (await run("cluster", "list")).exit_code == 0
    assert (await run("profile", "use", "two")).exit_code == 0
    assert (await run("cluster", "list")).exit_code == 0
    assert (await run("profile", "remove", "two")).exit_code == 0
    assert (await run("cluster", "list")).exit_code == 2
    assert (await run("profile", "use", "two")).exit_code == 5
    assert (await run("profile", "add", "x", "--url", "http://plain")).exit_code == 2


async def test_the_only_daemon_of_this_machine_is_found_without_being_named(
    api: FakeApi, run: Run, home: Path
) -> None:
    api.answers["GET /v1/fed/member"] = {}
    state = home / ".local/state/fedbus"
    state.mkdir(parents=True)
    assert (await run("cluster", "list")).exit_code == 2

    (state / "worker").symlink_to(api.data_dir)
    assert (await run("cluster", "list")).exit_code == 0
    (state / "master").symlink_to(api.data_dir)
    assert "More than one" in (await run("cluster", "list")).stderr


async def test_a_daemon_with_another_authority_is_not_trusted(api: FakeApi, run: Run) -> None:
    done = await run("cluster", "list", "--url", api.url)

    assert done.exit_code == 3
    assert "not trusted" in done.stderr
    assert "--ca" in done.stderr
    assert api.sent == []


async def test_a_daemon_that_is_not_there_is_unreachable(run: Run, tmp_path: Path) -> None:
    assert (await run("cluster", "list", "--url", "https://127.0.0.1:1")).exit_code == 3
    assert (await run("cluster", "list", "--data-dir", str(tmp_path))).exit_code == 3


async def test_plain_http_and_files_that_hold_no_secret_are_refused(
    api: FakeApi, run: Run, tmp_path: Path
) -> None:
    assert (await run("cluster", "list", "--url", "http://127.0.0.1:1")).exit_code == 2
    bad = tmp_path / "bad"
    bad.write_text("two\nlines")
    for file in (bad, tmp_path / "none"):
        done = await run("cluster", "list", "--data-dir", str(api.data_dir), "--api-key-file", str(file))
        assert done.exit_code == 2
        assert "two" not in done.output


async def test_a_wrong_key_is_denied(api: FakeApi, run: Run, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("local:wrong")

    done = await run(
        "cluster", "list", "--data-dir", str(api.data_dir), "--api-key-file", str(tmp_path / "key")
    )

    assert done.exit_code == 4
    assert "local:wrong" not in done.output
