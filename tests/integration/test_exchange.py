"""Import, export and directories against real masters: what comes out goes in, and changes nothing twice."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

import fedbus.cli.demo
from fedbus.cli.main import app
from fedbus.model.policy import KINDS
from tests.support.daemons import Daemon, promoted

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_exchange")]

POLICY = Path(fedbus.cli.demo.__file__).parent / "policy" / "set"
REAL = Path(__file__).parents[1] / "data" / "neuvector-crd"


@pytest_asyncio.fixture(loop_scope="module")
async def master(tmp_path: Path) -> AsyncIterator[Daemon]:
    """Run a master that holds the demo's policy: every kind."""
    async with Daemon("master", tmp_path / "master") as daemon:
        await promoted(daemon)
        await changed(daemon, "apply", "-f", str(POLICY))
        yield daemon


async def run(daemon: Daemon, *line: str) -> Result:
    env = {name: None for name in os.environ if name.startswith(("FEDBUS_", "XDG_"))}
    arguments = ["policy", *line, "--data-dir", str(daemon.directory)]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)


async def changed(daemon: Daemon, *line: str) -> dict[str, list[str]]:
    """Run a command that must succeed; return the changed objects by what became of them."""
    done = await run(daemon, *line, "-o", "json")
    assert done.exit_code == 0, done.output
    found: dict[str, list[str]] = {}
    for change in json.loads(done.stdout)["changes"]:
        if change["op"] != "unchanged":
            found.setdefault(change["op"], []).append(f"{change['kind']} {change['name']}")
    return found


async def held(daemon: Daemon) -> dict[str, Any]:
    """Return everything that a master holds, rules in their order and without their ranks."""
    everything = {}
    for kind in KINDS:
        done = await run(daemon, "get", kind, "-o", "json")
        specs = [one["spec"] for one in json.loads(done.stdout)["documents"]]
        everything[kind] = [{key: value for key, value in spec.items() if key != "rank"} for spec in specs]
    return everything


async def test_an_export_makes_another_federation_the_same_and_itself_no_different(
    master: Daemon, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    assert (await run(master, "export", "--dir", str(tree))).exit_code == 0
    before = await held(master)
    assert all(before.values())  # every kind

    assert await changed(master, "apply", "-f", str(tree), "--prune") == {}
    assert json.loads((await run(master, "export", "--dir", str(tree), "-o", "json")).stdout)["written"] == []

    async with Daemon("master", tmp_path / "other") as other:
        await promoted(other)
        await changed(other, "apply", "-f", str(tree), "--prune")
        assert await held(other) == before


async def test_neuvectors_resources_make_another_federation_the_same_but_for_what_was_said(
    master: Daemon, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    done = await run(master, "export", "--format", "neuvector", "--dir", str(tree), "-o", "json")
    lossy = {remark["path"].partition(" ")[0] for remark in json.loads(done.stdout)["remarks"]}
    assert lossy == {"network_rule", "registry"}  # comments; and registries have no resource

    assert set(await changed(master, "import", str(tree))) <= {"updated"}
    async with Daemon("master", tmp_path / "other") as other:
        await promoted(other)
        await changed(other, "import", str(tree))
        there, here = await held(other), await held(master)
        assert {kind: there[kind] for kind in KINDS if kind != "registry"} == {
            kind: here[kind] for kind in KINDS if kind != "registry"
        }


async def test_real_files_are_imported_once(master: Daemon) -> None:
    files = [str(REAL / name) for name in ("admission-share_ipc_net_pid.yaml", "docs-nvsecurityrule.yaml")]

    await changed(master, "import", "--dry-run", *files)
    first = await changed(master, "import", *files)
    assert len([name for name in first["created"] if name.startswith("admission_rule")]) == 3
    assert "group fed.nv.nginx-pod.neuvector" in first["created"]

    assert await changed(master, "import", *files) == {}


async def test_targets_are_exported_and_applied_again(master: Daemon, tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", {"selector": {"env": "prod"}}
    (tmp_path / "group.yaml").write_text(
        "kind: group\ntarget: {selector: {env: prod}}\n"
        "spec: {name: fed.prod, criteria: [{key: image, op: =, value: x}]}\n"
    )
    await changed(master, "apply", "-f", str(tmp_path / "group.yaml"))
    await run(master, "export", "--dir", str(tree))
    assert "env: prod" in (tree / "group" / "fed.prod.yaml").read_text()
    assert await changed(master, "apply", "-f", str(tree), "--prune") == {}
    assert (await master.get("/v1/group/fed.prod?scope=fed"))["target"] == target
    (tree / "group" / "fed.prod.yaml").unlink()
    assert await changed(master, "apply", "-f", str(tree), "--prune") == {"deleted": ["group fed.prod"]}


async def test_a_directory_is_what_the_federation_becomes(master: Daemon, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    await run(master, "export", "--dir", str(tree))
    rules = (tree / "network_rule.yaml").read_text().split("---\n")
    moved = [rules[-1].rstrip("\n") + "\n", *rules[:-1]]
    (tree / "network_rule.yaml").write_text("---\n".join(moved))
    (tree / "group" / "fed.new.yaml").write_text(
        "kind: group\nspec: {name: fed.new, criteria: [{key: image, op: =, value: x}]}\n"
    )
    (tree / "webhook").rename(tree / "gone")
    (tree / "response_rule.yaml").unlink()
    for file in (tree / "gone").iterdir():
        file.unlink()

    preview = await run(master, "diff", "-f", str(tree), "--prune", "-o", "json")
    assert json.loads(preview.stdout)["dry_run"] is True
    done = await changed(master, "apply", "-f", str(tree), "--prune")

    assert done["created"] == ["group fed.new"]
    assert len(done["updated"]) == 1  # the rule that moved
    assert {name.split()[0] for name in done["deleted"]} == {"webhook", "response_rule"}
    order = [rule["id"] for rule in (await held(master))["network_rule"]]
    assert order[0] == max(order)


async def test_a_rule_that_leads_nowhere_is_named_by_file_and_line_and_nothing_is_applied(
    master: Daemon, tmp_path: Path
) -> None:
    before = await held(master)
    file = tmp_path / "new.yaml"
    file.write_text(
        "kind: group\nspec: {name: fed.new, criteria: [{key: image, op: =, value: x}]}\n---\n"
        "kind: network_rule\nspec:\n  from: fed.new\n  to: fed.nowhere\n  action: allow\n"
    )

    done = await run(master, "import", str(file))

    assert done.exit_code == 7
    assert f"line 7: {file}: spec.to: to names the group 'fed.nowhere'" in done.stderr
    assert await held(master) == before
