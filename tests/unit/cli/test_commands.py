"""What each command asks of the API, prints, and ends with."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from fedbus.errors import (
    Conflict,
    Fault,
    FedbusError,
    Forbidden,
    InvalidInput,
    NotFound,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from fedbus.web.yaml_documents import parse

from .conftest import FakeApi

Run = Callable[..., Awaitable[Result]]

MEMBERS = {
    "fed_role": "master",
    "master_cluster": {"id": "m", "name": "hq"},
    "joint_clusters": [
        {"id": "c1", "name": "east", "status": "synced", "labels": {"env": "prod"}},
        {"id": "c2", "name": "west", "status": "disconnected"},
    ],
}


async def test_promote_shows_the_password_once_and_not_as_part_of_the_result(api: FakeApi, run: Run) -> None:
    api.answers["POST /v1/fed/promote"] = {
        "federation_id": "f1", "name": "hq", "admin": {"username": "admin", "password": "once-only"},
    }  # fmt: skip

    done = await run(
        "promote", "hq", "--server", "hq.example", "--port", "11443", "--data-dir", str(api.data_dir)
    )

    assert done.exit_code == 0
    assert "once-only" in done.stdout
    assert "only once" in done.stderr
    assert api.bodies("POST /v1/fed/promote") == [
        {"name": "hq", "master_rest_info": {"server": "hq.example", "port": 11443}}
    ]


async def test_a_password_can_go_to_a_file_instead(api: FakeApi, run: Run, tmp_path: Path) -> None:
    admin = {"username": "admin", "password": "once-only"}
    api.answers["POST /v1/fed/promote"] = lambda: {"name": "hq", "admin": admin}
    line = ["promote", "hq", "--data-dir", str(api.data_dir), "--password-file", str(tmp_path / "password")]

    done = await run(*line, "-o", "json")

    assert "once-only" not in done.output
    assert (tmp_path / "password").read_text() == "once-only\n"
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    assert json.loads(done.stdout)["name"] == "hq"
    assert (await run(*line)).exit_code == 2  # what is there is not overwritten


@pytest.mark.parametrize("source", ["file", "stdin", "environment", "file in environment"])
async def test_join_takes_the_token_from_anywhere_but_the_command_line(
    api: FakeApi, run: Run, tmp_path: Path, source: str
) -> None:
    api.answers["POST /v1/fed/join"] = {"id": "c1", "name": "east"}
    file = tmp_path / "token"
    file.write_text("the-token\n")
    line = ["join", "east", "--label", "env=prod", "--label", "zone=a", "--data-dir", str(api.data_dir)]

    match source:
        case "file":
            done = await run(*line, "--token-file", str(file), "--server", "other", "--port", "1")
        case "stdin":
            done = await run(*line, "--token-file", "-", stdin="the-token\n")
        case "environment":
            done = await run(*line, FEDBUS_JOIN_TOKEN="the-token")
        case _:
            done = await run(*line, FEDBUS_JOIN_TOKEN_FILE=str(file))

    assert done.exit_code == 0
    expected: dict[str, object] = {
        "name": "east",
        "join_token": "the-token",
        "labels": {"env": "prod", "zone": "a"},
    }
    if source == "file":
        expected |= {"server": "other", "port": 1}
    assert api.bodies("POST /v1/fed/join") == [expected]
    assert "the-token" not in done.output


async def test_join_without_a_token_says_how_to_give_one(api: FakeApi, run: Run) -> None:
    done = await run("join", "east", "--data-dir", str(api.data_dir))

    assert (done.exit_code, api.sent) == (2, [])
    assert "--token-file" in done.stderr


async def test_a_refused_join_says_why_and_what_to_do(api: FakeApi, run: Run) -> None:
    api.answers["POST /v1/fed/join"] = Refused(
        "The token has expired", code="TOKEN_EXPIRED", remedy="Make a new one"
    )

    done = await run("join", "east", "--data-dir", str(api.data_dir), FEDBUS_JOIN_TOKEN="x")

    assert done.exit_code == 4
    assert done.stderr == "Error: The token has expired\n  Make a new one\n"


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (["demote"], "POST /v1/fed/demote"),
        (["leave", "--force"], "POST /v1/fed/leave"),
        (["cluster", "remove", "east"], "DELETE /v1/fed/cluster/c1"),
    ],
)
async def test_what_cannot_be_undone_needs_yes_where_nobody_can_be_asked(
    api: FakeApi, run: Run, line: list[str], asked: str
) -> None:
    api.answers |= {asked: {}, "GET /v1/fed/member": MEMBERS}

    done = await run(*line, "--data-dir", str(api.data_dir))
    assert (done.exit_code, api.bodies(asked)) == (2, [])
    assert "--yes" in done.stderr

    done = await run(*line, "--yes", "--data-dir", str(api.data_dir))
    assert (done.exit_code, len(api.bodies(asked))) == (0, 1)


async def test_token_create_prints_the_token_alone(api: FakeApi, run: Run, tmp_path: Path) -> None:
    api.answers["POST /v1/fed/join_token"] = lambda: {
        "id": "t1", "join_token": "abc", "uses": 2, "expires_at": "2030-01-01T00:00:00Z",
    }  # fmt: skip
    line = [
        "token",
        "create",
        "--uses",
        "2",
        "--cluster",
        "east",
        "--label",
        "a=b",
        "--data-dir",
        str(api.data_dir),
    ]

    done = await run(*line)

    assert done.stdout == "abc\n"
    assert "t1" in done.stderr
    assert api.bodies("POST /v1/fed/join_token") == [
        {"duration_minutes": 60, "uses": 2, "cluster_name": "east", "labels": {"a": "b"}}
    ]
    done = await run(*line, "--out", str(tmp_path / "token"))
    assert "abc" not in done.output
    assert (tmp_path / "token").read_text() == "abc\n"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


async def test_token_list_and_revoke(api: FakeApi, run: Run) -> None:
    token = {"id": "t1", "state": "active", "uses": 1, "max_uses": 2, "cluster_name": "", "labels": {}}
    api.answers |= {"GET /v1/fed/join_tokens": {"tokens": [token]}, "DELETE /v1/fed/join_token/t1": {}}

    listed = await run("token", "list", "--data-dir", str(api.data_dir))
    assert listed.stdout.splitlines()[0].split() == [
        "ID",
        "STATE",
        "USES",
        "EXPIRES",
        "CLUSTER",
        "LABELS",
        "CREATED",
        "BY",
    ]
    assert listed.stdout.splitlines()[1].split()[:3] == ["t1", "active", "1/2"]
    assert (await run("token", "revoke", "t1", "--data-dir", str(api.data_dir))).exit_code == 0
    assert (await run("token", "revoke", "../x", "--data-dir", str(api.data_dir))).exit_code == 5
    assert api.sent[-1][0] == "DELETE /v1/fed/join_token/../x"  # decoded by the server: it was one segment


async def test_clusters_are_named_by_name_or_id(api: FakeApi, run: Run) -> None:
    api.answers |= {
        "GET /v1/fed/member": MEMBERS,
        "GET /v1/fed/cluster/c2": {"id": "c2", "name": "west"},
        "POST /v1/fed/deploy": {"results": {"c1": 0}},
    }
    at = ["--data-dir", str(api.data_dir)]

    listed = await run("cluster", "list", *at)
    assert [line.split()[:3] for line in listed.stdout.splitlines()[1:]] == [
        ["east", "c1", "synced"],
        ["west", "c2", "disconnected"],
    ]
    for name in ("west", "c2"):
        shown = await run("cluster", "show", name, "-o", "json", *at)
        assert json.loads(shown.stdout) == {"id": "c2", "name": "west"}
    assert (await run("cluster", "show", "north", *at)).exit_code == 5
    assert (await run("cluster", "sync", "east", "--force", *at)).exit_code == 0
    assert api.bodies("POST /v1/fed/deploy") == [{"ids": ["c1"], "force": True}]


async def test_sync_fails_when_a_cluster_was_not_told(api: FakeApi, run: Run) -> None:
    api.answers |= {"GET /v1/fed/member": MEMBERS, "POST /v1/fed/deploy": {"results": {"c1": 0, "c2": 40}}}
    at = ["--data-dir", str(api.data_dir)]

    done = await run("cluster", "sync", "--all", *at)

    assert done.exit_code == 1
    assert "1 of 2" in done.stderr
    assert "Not told: c2" in done.stderr
    assert (await run("cluster", "sync", *at)).exit_code == 2


async def test_status_tells_also_why_a_daemon_is_not_ready(api: FakeApi, run: Run) -> None:
    api.answers |= {
        "GET /version": {"version": "0.1.0", "role": "master"},
        "GET /readyz": {"ready": False, "reasons": ["the bus is down"]},
        "GET /v1/fed/member": MEMBERS,
    }

    done = await run("status", "--data-dir", str(api.data_dir))

    assert "the bus is down" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["clusters:", "2"]


async def test_what_is_parked_is_listed_with_the_revision_that_counts_meanwhile(
    api: FakeApi, run: Run
) -> None:
    api.answers["GET /v1/fed/parked"] = {
        "events": [
            {
                "scope": "all", "category": "policy", "kind": "group", "name": "fed.web", "epoch": 1,
                "type": "io.fedbus.policy.upserted.v2", "revision": 4, "version": 9, "bytes": 80,
                "changed_at": "2026-01-01T00:00:00.000Z", "revision_in_force": 3,
            }
        ]
    }  # fmt: skip

    done = await run("parked", "--data-dir", str(api.data_dir))

    assert done.stdout.splitlines()[1].split() == [
        "group", "fed.web", "all", "io.fedbus.policy.upserted.v2", "4", "3", "2026-01-01T00:00:00.000Z"
    ]  # fmt: skip
    api.answers["GET /v1/fed/parked"] = {"events": []}
    assert "Nothing is parked" in (await run("parked", "--data-dir", str(api.data_dir))).output


POLICY = """\
kind: group
spec: {name: fed.web, criteria: [{key: image, op: =, value: nginx}]}
---
kind: network_rule
spec: {from: fed.web, to: fed.db, action: allow}
"""
CHANGED = {
    "changeset": "cs1", "version": 7, "epoch": 1,
    "changes": [{"kind": "group", "name": "fed.web", "op": "created", "revision": 1}],
}  # fmt: skip


async def test_apply_sends_the_files_as_one_stream(api: FakeApi, run: Run, tmp_path: Path) -> None:
    api.answers["POST /v1/fed/apply"] = CHANGED
    (tmp_path / "a.yaml").write_text(POLICY)

    done = await run(
        "policy", "apply", "-f", str(tmp_path / "a.yaml"), "-f", "-", "--data-dir", str(api.data_dir),
        stdin="kind: webhook\nspec: {name: fed.hook}",
    )  # fmt: skip

    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].split() == ["group", "fed.web", "created", "1"]
    assert "Version 7" in done.stderr
    (stream,) = api.bodies("POST /v1/fed/apply")
    assert [document.value["kind"] for document in parse(str(stream).encode())] == [
        "group",
        "network_rule",
        "webhook",
    ]


async def test_apply_says_which_objects_are_for_no_cluster(api: FakeApi, run: Run) -> None:
    change = {"kind": "group", "name": "fed.web", "op": "created", "revision": 1, "clusters": 0}
    api.answers["POST /v1/fed/apply"] = CHANGED | {"changes": [change]}

    done = await run("policy", "apply", "-f", "-", "--data-dir", str(api.data_dir), stdin=POLICY)

    assert "group fed.web is for no cluster" in done.stderr


async def test_a_change_of_unknown_outcome_says_how_to_ask_again(api: FakeApi, run: Run) -> None:
    api.answers["POST /v1/fed/apply"] = Unavailable("The bus is down", idempotency_key="k1")
    line = ["policy", "apply", "-f", "-", "--data-dir", str(api.data_dir)]

    done = await run(*line, stdin=POLICY)
    assert done.exit_code == 8
    assert "--idempotency-key k1" in done.stderr

    await run(*line, "--idempotency-key", "k1", stdin=POLICY)
    assert api.headers == ["", "k1"]


async def test_a_fault_is_shown_with_its_file_and_the_line_in_it(
    api: FakeApi, run: Run, tmp_path: Path
) -> None:
    faults = (Fault("spec.to", "There is no group fed.db", 1, 4), Fault("kind", "Unknown", 2, 7))
    api.answers["POST /v1/fed/apply"] = InvalidInput("2 documents are wrong", faults)
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(POLICY)
    second.write_text("# b\nkind: x\n")

    done = await run("policy", "apply", "-f", str(first), "-f", str(second), "--data-dir", str(api.data_dir))

    assert done.exit_code == 7
    assert f"line 4: {first}: spec.to: There is no group fed.db" in done.stderr
    assert f"line 1: {second}: kind: Unknown" in done.stderr


async def test_get_as_yaml_is_what_apply_takes(api: FakeApi, run: Run) -> None:
    spec = {
        "name": "fed.web",
        "criteria": [{"key": "tag", "op": "=", "value": "1e5"}],
        "comment": "a: b\nc",
        "on": "no",
    }
    api.answers["GET /v1/group"] = {"groups": [spec], "revisions": {"fed.web": 3}}
    at = ["--data-dir", str(api.data_dir)]

    done = await run("policy", "get", "groups", "-o", "yaml", *at)
    (document,) = parse(done.stdout.encode())
    assert document.value == {"kind": "group", "spec": spec}
    assert yaml.safe_load(done.stdout)["spec"]["criteria"] == spec["criteria"]

    done = await run("policy", "get", "group", "fed.web", "--revisions", "-o", "json", *at)
    assert json.loads(done.stdout) == {"documents": [{"kind": "group", "spec": spec, "revision": 3}]}
    assert (await run("policy", "get", "group", "fed.none", *at)).exit_code == 5
    assert (await run("policy", "get", "grouping", *at)).exit_code == 2


async def test_get_knows_the_kinds_neuvector_puts_elsewhere(api: FakeApi, run: Run) -> None:
    hooks = {"webhooks": [{"name": "fed.hook"}], "revisions": {"fed.hook": 2}}
    api.answers |= {
        "GET /v1/system/config": {"fed_config": hooks},
        "GET /v1/policy/rule": {"rules": [{"id": 100001}], "revisions": {"100001": 5}},
    }
    at = ["--data-dir", str(api.data_dir)]

    assert "fed.hook  2" in (await run("policy", "get", "webhook", *at)).stdout
    assert "100001  5" in (await run("policy", "get", "network-rules", *at)).stdout
    empty = await run("policy", "get", "admission_state", *at)
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "Nothing\n")
    api.answers["GET /v1/admission/state"] = {"state": {"mode": "protect"}}
    assert "mode=protect" in (await run("policy", "get", "admission_state", *at)).stdout


async def test_delete_names_rules_by_id_and_others_by_name(api: FakeApi, run: Run) -> None:
    api.answers["POST /v1/fed/apply"] = CHANGED
    at = ["--data-dir", str(api.data_dir)]

    await run("policy", "delete", "network_rule", "100001", "--revision", "4", *at)
    await run("policy", "delete", "process_profile", "fed.a", "fed.b", "--comment", "old", *at)

    assert api.bodies("POST /v1/fed/apply") == [
        {
            "documents": [{"kind": "network_rule", "op": "delete", "spec": {"id": 100001}, "revision": 4}],
            "comment": "",
        },
        {
            "documents": [
                {"kind": "process_profile", "op": "delete", "spec": {"group": name}}
                for name in ("fed.a", "fed.b")
            ],
            "comment": "old",
        },
    ]
    assert (await run("policy", "delete", "network_rule", "web", *at)).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FedbusError("Odd"), 1),
        (Unauthorized("Who?"), 4),
        (Forbidden("No"), 4),
        (NotFound("Gone"), 5),
        (Conflict("Late", current_revision=9), 6),
        (InvalidInput("Wrong"), 7),
        (TooLarge("Big"), 7),
        (RateLimited("Slow", retry_after=5), 8),
        (Unavailable("Down"), 8),
    ],
)
async def test_every_kind_of_error_has_its_exit_code(
    api: FakeApi, run: Run, error: FedbusError, code: int
) -> None:
    api.answers["GET /v1/fed/member"] = error

    done = await run("cluster", "list", "--data-dir", str(api.data_dir))

    assert (done.exit_code, done.stdout) == (code, "")
    assert error.message in done.stderr


async def test_with_json_an_error_is_the_problem_itself(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/fed/member"] = Conflict("Late", current_revision=9)

    done = await run("-o", "json", "cluster", "list", "--data-dir", str(api.data_dir))

    assert json.loads(done.stderr)["current_revision"] == 9


async def test_shared_options_stand_before_or_after_the_command(api: FakeApi, run: Run) -> None:
    api.answers["GET /v1/fed/member"] = MEMBERS

    before = await run("--data-dir", str(api.data_dir), "--output", "yaml", "cluster", "list")
    after = await run("cluster", "list", "--data-dir", str(api.data_dir), "--output", "yaml")

    assert before.stdout == after.stdout
    assert yaml.safe_load(before.stdout) == MEMBERS


async def test_names_cannot_forge_lines_of_output(api: FakeApi, run: Run) -> None:
    evil = {"id": "c1", "name": "a\nb\x1b[31m[red]", "status": "synced"}
    api.answers["GET /v1/fed/member"] = {"joint_clusters": [evil]}

    done = await run("cluster", "list", "--data-dir", str(api.data_dir))

    assert done.stdout.splitlines()[1].split()[0] == "a?b?[31m[red]"


@pytest.mark.parametrize(
    "line", [["nonsense"], ["promote"], ["token", "create", "--uses", "0"], ["-o", "xml", "status"]]
)
async def test_wrong_usage_ends_with_two(run: Run, line: list[str]) -> None:
    assert (await run(*line)).exit_code == 2


async def test_the_version_is_shown(run: Run) -> None:
    assert (await run("--version")).stdout.startswith("fedbus ")
