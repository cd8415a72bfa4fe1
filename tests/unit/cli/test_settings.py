"""`fedbus settings`: what it sends, and what it refuses to send."""

from collections.abc import Awaitable, Callable

from typer.testing import Result

from tests.unit.cli.conftest import FakeApi

Run = Callable[..., Awaitable[Result]]
SETTINGS = {"federation": {"name": "hub"}, "heartbeat_interval": 5.0, "set": {"heartbeat_interval": 5.0}}


async def test_settings_are_set_and_taken_back_as_what_they_are(api: FakeApi, run: Run) -> None:
    api.answers["PATCH /v1/fed/config"] = SETTINGS
    words = ["heartbeat_interval=5", "deploy-repo-scan-data=true", "name=hub-2", "token_minutes-"]

    done = await run("settings", "set", *words, "--revision", "3", "--data-dir", str(api.data_dir))

    assert done.exit_code == 0, done.output
    assert api.bodies("PATCH /v1/fed/config") == [
        {
            "heartbeat_interval": 5,
            "deploy_repo_scan_data": True,
            "name": "hub-2",
            "token_minutes": None,
            "revision": 3,
        }
    ]
    assert "heartbeat interval" in done.stdout


async def test_settings_are_shown(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/fed/config"] = SETTINGS

    done = await run("settings", "show", "--data-dir", str(api.data_dir))

    assert "heartbeat interval: 5.0" in done.stdout


async def test_a_word_that_sets_nothing_is_a_usage_error(api: FakeApi, run: Run) -> None:
    for word in ("heartbeat_interval", "=5"):
        assert (await run("settings", "set", word, "--data-dir", str(api.data_dir))).exit_code == 2
