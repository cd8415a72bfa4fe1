"""`policy import`, `policy export`, and directories in `policy apply`, against a small API."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from fedbus.cli.exchange.tree import MARK
from fedbus.errors import Fault, InvalidInput, Unavailable
from fedbus.web.yaml_documents import MAX_BYTES

from .conftest import FakeApi

Run = Callable[..., Awaitable[Result]]
APPLY = "POST /v1/fed/apply"
DONE = {"changeset": "cs", "version": 3, "epoch": 1, "changes": []}

RESOURCE = """\
apiVersion: v1
kind: List
items:
- apiVersion: neuvector.com/v1
  kind: NvClusterSecurityRule
  metadata: {name: web}
  spec:
    target:
      policymode: Monitor
      selector:
        name: fed.web
        criteria:
        - key: service
          op: =
          value: web
    egress:
    - name: out
      action: allow
      selector: {name: external}
"""
GROUP = "kind: group\nspec: {name: fed.db, criteria: [{key: image, op: =, value: pg}]}\n"
RULE = {"id": 100_001, "rank": "V", "from": "fed.web", "to": "external", "action": "allow"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


@pytest.fixture
def at(api: FakeApi) -> list[str]:
    """Return the options that lead to an API which holds a group, a rule and nothing else."""
    group = {"name": "fed.web", "criteria": [{"key": "service", "op": "=", "value": "web"}]}
    for path, key in (
        ("/v1/admission/rules", "rules"),
        ("/v1/response/rule", "rules"),
        ("/v1/process_profile", "process_profiles"),
        ("/v1/file_monitor", "profiles"),
        ("/v1/dlp/sensor", "sensors"),
        ("/v1/dlp/group", "dlp_groups"),
        ("/v1/waf/sensor", "sensors"),
        ("/v1/waf/group", "waf_groups"),
        ("/v1/scan/registry", "summarys"),
        ("/v1/vulnerability/profile", "profiles"),
    ):
        api.answers[f"GET {path}"] = {key: []}
    api.answers |= {
        "GET /v1/group": {"groups": [group], "revisions": {"fed.web": 4}},
        "GET /v1/policy/rule": {"rules": [RULE], "revisions": {"100001": 2}},
        "GET /v1/system/config": {"fed_config": {"webhooks": []}},
        "GET /v1/admission/state": {"state": {"enable": True}},
        APPLY: DONE,
    }
    return ["--data-dir", str(api.data_dir)]


def sent(api: FakeApi) -> list[Any]:
    (body,) = api.bodies(APPLY)
    assert isinstance(body, dict)
    return [(one["kind"], one.get("op", "apply"), one["spec"]) for one in body["documents"]]


async def test_an_import_reports_on_every_document_and_knows_a_rule_again(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    file = tree / "nv.yaml"
    file.write_text(RESOURCE + "---\n" + GROUP)

    done = await run("policy", "import", str(file), "-o", "json", *at)

    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)["documents"]
    assert (first["line"], first["kind"], first["result"]) == (4, "NvClusterSecurityRule", "accepted")
    assert first["objects"] == ["group fed.web", "network_rule"]
    assert [(one["line"], one["field"]) for one in first["ignored"]] == [
        (9, f"{file}: items[0].spec.target.policymode")
    ]
    assert (second["document"], second["line"], second["objects"]) == (1, 20, ["group fed.db"])
    assert [(kind, spec.get("id")) for kind, _, spec in sent(api)] == [
        ("group", None),
        ("network_rule", 100_001),
        ("group", None),
    ]


async def test_one_bad_file_in_a_directory_and_nothing_is_sent_but_everything_is_said(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    (tree / "deep").mkdir()
    (tree / ".git").mkdir()
    (tree / ".git" / "x.yaml").write_text("not: read")
    (tree / "README.md").write_text("not read")
    (tree / "a.yaml").write_text(GROUP)
    (tree / "b.yaml").write_text("kind: group\nspec:\n  name: web\n---\na: 1\na: 2\n---\nx: &a [1]\ny: *a\n")
    (tree / "deep" / "c.yml").write_text(RESOURCE.replace("op: =", "op: '?'"))
    (tree / "deep" / "d.yaml").write_bytes(b"\xff\xfe")
    (tree / "deep" / "e.yaml").write_text("kind: ConfigMap\n")
    (tree / "deep" / "f.yaml").write_bytes(b"#" * (10 * 1024 * 1024))

    for line in (["apply", "-f", str(tree)], ["import", str(tree)], ["diff", "-f", str(tree), "--prune"]):
        done = await run("policy", *line, *at)

        assert (done.exit_code, api.bodies(APPLY)) == (7, [])
        assert "7 of 8 documents are rejected; nothing was applied" in done.stderr
        for said in (
            f"line 3: {tree}/b.yaml: spec.name: name must start with 'fed.'",
            f"line 6: {tree}/b.yaml: a: The key 'a' appears twice",
            f"line 8: {tree}/b.yaml: x: Anchors and aliases are not accepted",
            f"line 11: {tree}/deep/c.yml: items[0].spec.target.selector: group: criteria[0].op must be",
            f"{tree}/deep/d.yaml: The body is no UTF-8 text",
            f"line 1: {tree}/deep/e.yaml: kind: 'ConfigMap' is no kind of policy",
            f"{tree}/deep/f.yaml: A YAML stream may have {MAX_BYTES} bytes",
        ):
            assert said in done.stderr
        assert ".git" not in done.output


async def test_an_import_that_is_rejected_shows_which_documents_were_not(
    run: Run, at: list[str], tree: Path
) -> None:
    (tree / "a.yaml").write_text(GROUP + "---\nkind: nothing\n")

    done = await run("policy", "import", str(tree), *at)

    assert done.exit_code == 7
    assert [line.split()[1:4] for line in done.stdout.splitlines()[1:]] == [
        ["1", "group", "accepted"],
        ["3", "nothing", "rejected"],
    ]


async def test_what_the_master_rejects_is_named_by_file_and_line(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    (tree / "a.yaml").write_text(GROUP)
    (tree / "b.yaml").write_text("kind: network_rule\nspec:\n  from: fed.x\n  to: fed.db\n  action: deny\n")
    (tree / "c.yaml").write_text(RESOURCE)
    faults = (Fault("from", "names nothing", 1), Fault("to", "is wrong", 3))
    api.answers[APPLY] = InvalidInput("2 faults", faults)

    done = await run("policy", "apply", "-f", str(tree), *at)

    assert done.exit_code == 7
    assert f"line 3: {tree}/b.yaml: spec.from: names nothing" in done.stderr
    assert f"line 17: {tree}/c.yaml: items[0].spec.egress[0]: network_rule: is wrong" in done.stderr


async def test_a_prune_deletes_what_no_file_names_at_the_revision_it_had(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    (tree / "db.yaml").write_text(GROUP)

    done = await run("policy", "apply", "-f", str(tree), "--prune", "--comment", "git abc", *at)

    assert done.exit_code == 0, done.output
    (body,) = api.bodies(APPLY)
    assert isinstance(body, dict)
    assert body["comment"] == "git abc"
    assert [(one["kind"], one.get("op"), one.get("revision")) for one in body["documents"]] == [
        ("group", None, None),
        ("group", "delete", 4),
        ("network_rule", "delete", 2),
    ]


async def test_an_empty_directory_prunes_everything_only_when_that_is_said(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    line = ["policy", "apply", "-f", str(tree / "empty"), "--prune", *at]
    (tree / "empty").mkdir()

    done = await run(*line)
    assert (done.exit_code, api.bodies(APPLY)) == (7, [])
    assert "--allow-empty" in done.stderr

    assert (await run(*line, "--allow-empty")).exit_code == 0
    assert [op for _, op, _ in sent(api)] == ["delete", "delete"]
    assert (await run("policy", "apply", "-f", str(tree / "empty"), *at)).exit_code == 7
    assert (await run("policy", "import", str(tree / "none"), *at)).exit_code == 2


async def test_a_directory_may_be_given_with_files_in_it_and_is_read_once(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    (tree / "db.yaml").write_text(GROUP)

    done = await run("policy", "import", str(tree), str(tree / "db.yaml"), "-", *at, stdin=RESOURCE)

    assert done.exit_code == 0, done.output
    assert len(sent(api)) == 3


async def test_a_directory_that_was_not_answered_for_is_applied_again(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    (tree / "db.yaml").write_text(GROUP)
    api.answers[APPLY] = Unavailable("The bus is down", idempotency_key="k1")

    done = await run("policy", "apply", "-f", str(tree), *at)

    assert done.exit_code == 8
    assert "--idempotency-key" not in done.stderr
    assert "Do it again" in done.stderr
    assert (await run("policy", "apply", "-f", str(tree), "--idempotency-key", "k", *at)).exit_code == 2


async def test_an_export_to_a_directory_writes_what_differs_and_removes_what_is_gone(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    line = ["policy", "export", "--dir", str(tree), "-o", "json", *at]

    done = json.loads((await run(*line)).stdout)
    assert done["written"] == ["admission_state.yaml", "group/fed.web.yaml", "network_rule.yaml"]
    assert (tree / "network_rule.yaml").read_text() == (
        f"{MARK}kind: network_rule\nspec:\n  id: 100001\n  from: fed.web\n  to: external\n  action: allow\n"
    )
    before = (tree / "group/fed.web.yaml").stat().st_mtime_ns

    (tree / "group" / "mine.yaml").write_text(GROUP)
    api.answers["GET /v1/policy/rule"] = {"rules": []}
    done = json.loads((await run(*line)).stdout)
    assert (done["written"], done["removed"], done["unchanged"]) == ([], ["network_rule.yaml"], 2)
    assert (tree / "group/fed.web.yaml").stat().st_mtime_ns == before
    assert (tree / "group" / "mine.yaml").exists()


async def test_an_export_of_some_kinds_leaves_the_files_of_the_others(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    await run("policy", "export", "--dir", str(tree), *at)
    api.answers["GET /v1/group"] = {"groups": []}

    await run("policy", "export", "groups", "--dir", str(tree), *at)

    assert sorted(str(file.relative_to(tree)) for file in tree.rglob("*.yaml")) == [
        "admission_state.yaml",
        "network_rule.yaml",
    ]


async def test_an_export_for_neuvector_says_what_it_cannot_say(
    api: FakeApi, run: Run, at: list[str], tree: Path
) -> None:
    api.answers["GET /v1/policy/rule"] = {
        "rules": [RULE, RULE | {"id": 100_002, "rank": "W", "disable": True}]
    }

    done = await run("policy", "export", "network_rule", "--format", "neuvector", *at)

    assert "Note: network_rule 100002: not in a custom resource: the rule itself" in done.stderr
    (tree / "nv.yaml").write_text(done.stdout)
    await run("policy", "import", str(tree / "nv.yaml"), *at)
    assert [(kind, spec.get("id"), spec.get("rank")) for kind, _, spec in sent(api)] == [
        ("group", None, None),
        ("network_rule", 100_001, "V"),
    ]
