"""Commands of targets and rollouts: what they send, and what they show."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from fedbus.errors import Fault, InvalidInput
from tests.unit.cli.conftest import FakeApi

Run = Callable[..., Awaitable[Result]]

MEMBERS = {"joint_clusters": [{"id": "c1", "name": "east"}, {"id": "c2", "name": "west"}]}
ROLLOUT = {
    "id": "r1", "state": "pausing", "wave": 1, "waves": [{"percent": 10}, {"selector": {"ring": "canary"}}],
    "objects": [["group", "fed.web"]], "clusters": {"east": "reached"}, "created_at": "now",
    "created_by": "admin", "comment": "why", "pause_seconds": 5.0, "manual": False, "since": "now",
    "reason": "",
}  # fmt: skip
GROUP = "kind: group\nspec: {name: fed.web}\n"


async def test_labels_are_set_and_taken_away(api: FakeApi, run: Run) -> None:
    api.answers |= {
        "GET /v1/fed/member": MEMBERS,
        "PATCH /v1/fed/cluster/c2": {"id": "c2", "labels": {"env": "prod"}},
    }
    done = await run(
        "cluster", "label", "west", "env=prod", "tier-", "odd=-", "--data-dir", str(api.data_dir)
    )
    assert done.exit_code == 0
    expected = {"labels": {"env": "prod", "tier": None, "odd": "-"}}
    assert api.bodies("PATCH /v1/fed/cluster/c2") == [expected]
    assert done.stderr == "west has the labels env=prod\n"


async def test_a_word_that_is_no_label_is_a_usage_error(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/fed/member"] = MEMBERS
    done = await run("cluster", "label", "west", "prod", "--data-dir", str(api.data_dir))
    assert done.exit_code == 2


async def test_a_rollout_is_started_with_its_waves(api: FakeApi, run: Run, tmp_path: Path) -> None:
    api.answers["POST /v1/fed/rollout"] = ROLLOUT
    (tmp_path / "web.yaml").write_text(GROUP)
    line = [
        "rollout",
        "start",
        "-f",
        str(tmp_path / "web.yaml"),
        "--wave",
        "ring=canary,env=x",
        "--wave",
        "50%",
    ]
    done = await run(*line, "--pause", "5", "--comment", "why", "--data-dir", str(api.data_dir))
    assert done.exit_code == 0, done.output
    assert api.bodies("POST /v1/fed/rollout") == [
        {
            "waves": [{"selector": {"ring": "canary", "env": "x"}}, {"percent": 50}],
            "manual": False,
            "comment": "why",
            "pause_seconds": 5.0,
            "documents": [{"kind": "group", "spec": {"name": "fed.web"}}],
        }
    ]
    assert "east=reached" in done.stdout


@pytest.mark.parametrize("wave", ["10.5%", "%", "canary"])
async def test_a_word_that_is_no_wave_is_a_usage_error(
    api: FakeApi, run: Run, tmp_path: Path, wave: str
) -> None:
    (tmp_path / "web.yaml").write_text(GROUP)
    line = ["rollout", "start", "-f", str(tmp_path / "web.yaml"), "--wave", wave]
    done = await run(*line, "--data-dir", str(api.data_dir))
    assert (done.exit_code, api.sent) == (2, [])


async def test_a_fault_names_the_file_and_the_line_in_it(api: FakeApi, run: Run, tmp_path: Path) -> None:
    api.answers["POST /v1/fed/rollout"] = InvalidInput("no", (Fault("name", "is wrong", 1),))
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("\n" + GROUP)
    files = ["-f", str(tmp_path / "one.yaml"), "-f", str(tmp_path / "two.yaml")]
    done = await run("rollout", "start", *files, "--wave", "10%", "--data-dir", str(api.data_dir))
    assert done.exit_code != 0
    assert f"{tmp_path / 'two.yaml'}: name" in done.stderr


async def test_rollouts_are_listed_continued_and_aborted(api: FakeApi, run: Run) -> None:
    api.answers |= {
        "GET /v1/fed/rollout": {"rollouts": [ROLLOUT]},
        "GET /v1/fed/rollout/r1": ROLLOUT,
        "POST /v1/fed/rollout/r1/continue": ROLLOUT | {"state": "rolling"},
        "POST /v1/fed/rollout/r1/abort": ROLLOUT | {"state": "aborted"},
    }
    at = ["--data-dir", str(api.data_dir)]
    listed = await run("rollout", "list", *at)
    assert listed.stdout.splitlines()[1].split()[:4] == ["r1", "pausing", "1/2", "1"]
    assert "group fed.web" in (await run("rollout", "show", "r1", *at)).stdout
    assert (await run("rollout", "continue", "r1", *at)).stderr == "The rollout is rolling\n"
    assert (await run("rollout", "abort", "r1", *at)).exit_code == 2  # it asks, and nobody is there
    assert (await run("rollout", "abort", "r1", "--yes", *at)).stderr == "The rollout is aborted\n"


async def test_policy_is_shown_with_its_target_so_that_it_is_applied_where_it_was(
    api: FakeApi, run: Run
) -> None:
    target = {"selector": {"env": "prod"}}
    api.answers["GET /v1/group"] = {
        "groups": [{"name": "fed.a"}, {"name": "fed.b"}],
        "revisions": {"fed.a": 1, "fed.b": 2},
        "targets": {"fed.b": target},
    }
    done = await run("policy", "get", "group", "-o", "yaml", "--data-dir", str(api.data_dir))
    assert list(yaml.safe_load_all(done.stdout)) == [
        {"kind": "group", "spec": {"name": "fed.a"}},
        {"kind": "group", "spec": {"name": "fed.b"}, "target": target},
    ]
