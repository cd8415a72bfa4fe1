"""The demo as it is started by people and by CI: it tells its story, and leaves nothing behind."""

import asyncio
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedbus.cli.demo import runner
from fedbus.cli.demo.fleet import running
from fedbus.cli.demo.runner import Report, Result, Step, Told
from fedbus.cli.demo.scene import Scene
from fedbus.cli.demo.story import STORY
from tests.support.daemons import eventually

NAMES = [step.name for step in STORY]
CHECK = ("--check", "--output", "json")
GUIDED = {
    "scans": "berlin scan list",
    "deny": "apply -f deny.yaml",
    "allow": "apply -f allow.yaml",
    "ask": "--data @review.json",
    "events": "admission events",
}
"""What is tried of the guide, and by what its commands are known."""


def processes(directory: Path) -> list[psutil.Process]:
    """Return what runs on `directory`: daemons and bus servers name it on their command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in argument for argument in process.info["cmdline"] or ())
    ]


@asynccontextmanager
async def demo(
    directory: Path, *options: str, out: int = subprocess.PIPE, err: int = subprocess.PIPE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a demo that makes its directory in `directory`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", "demo", *options,
        env=os.environ | {"TMPDIR": str(directory), "COLUMNS": "80", "TERM": "xterm"},
        stdin=subprocess.DEVNULL, stdout=out, stderr=err,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def read_until(stream: asyncio.StreamReader | None, text: str) -> str:
    """Read lines up to the one that holds `text`; return them."""
    assert stream is not None
    lines = ""
    async with asyncio.timeout(40):
        while text not in lines:
            line = await stream.readline()
            assert line, f"ended without {text!r}: {lines}"
            lines += line.decode()
    return lines


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Wait for the end; return the status and the rest of standard output."""
    async with asyncio.timeout(45):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


def results(out: str) -> tuple[bool, list[dict[str, Any]]]:
    """Read a report: one JSON object and nothing else."""
    report = json.loads(out)
    assert set(report) == {"ok", "steps"}
    assert [step["name"] for step in report["steps"]] == NAMES
    return report["ok"], report["steps"]


def assert_nothing_is_left(directory: Path) -> None:
    assert processes(directory) == []
    assert list(directory.iterdir()) == []


async def test_the_story_comes_true_in_under_45_seconds_and_is_one_json_object(tmp_path: Path) -> None:
    async with demo(tmp_path, *CHECK) as process:
        status, out = await ended(process)

    ok, steps = results(out)
    assert status == 0, steps
    assert ok
    assert all(step["ok"] and step["ms"] > 0 for step in steps)
    by_name = {step["name"]: step for step in steps}
    assert {"registry", "pipeline", "look_up", "deny", "allow"} < by_name.keys()
    assert by_name["deny"]["ms"] < 1000
    assert by_name["allow"]["ms"] < 1000
    for part in ("federated deny rule 100010", "CVE-2019-16541", "shop/orders:2.0", "registry fed.shop"):
        assert part in by_name["deny"]["detail"]
    assert_nothing_is_left(tmp_path)


async def test_a_failing_step_is_named_with_its_reason_and_the_rest_is_skipped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with demo(tmp_path, *CHECK, "--bus-port", str(port)) as process:
            status, out = await ended(process)

    ok, steps = results(out)
    assert status == 1
    assert not ok
    assert [step["ok"] for step in steps] == [True] + [False] * (len(NAMES) - 1)
    assert "address already in use" in steps[1]["detail"]
    assert {step["detail"] for step in steps[2:]} == {"skipped"}
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_check_that_is_interrupted_says_so_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with demo(tmp_path, *CHECK) as process:
        await read_until(process.stderr, "Promote the master")
        assert len(processes(tmp_path)) == 5
        process.send_signal(number)
        status, out = await ended(process)

    ok, steps = results(out)
    assert status == 1
    assert not ok
    details = [step.get("detail") for step in steps if not step["ok"]]
    assert details[0] == "interrupted"
    assert set(details[1:]) == {"skipped"}
    assert_nothing_is_left(tmp_path)


async def test_an_interrupt_while_the_daemons_start_leaves_nothing(tmp_path: Path) -> None:
    async with demo(tmp_path, *CHECK) as process:
        await eventually(lambda: asyncio.to_thread(processes, tmp_path))
        process.send_signal(signal.SIGINT)
        status, out = await ended(process)

    assert status == 1
    assert results(out)[1][0]["detail"] == "interrupted"
    assert_nothing_is_left(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
async def test_the_daemons_end_also_when_the_demo_is_killed(tmp_path: Path) -> None:
    async with demo(tmp_path, *CHECK) as process:
        await read_until(process.stderr, "Promote the master")
        left = processes(tmp_path)
        process.kill()
        await process.wait()

    _, alive = await asyncio.to_thread(psutil.wait_procs, left, timeout=20)
    assert alive == []
    assert processes(tmp_path) == []


async def test_without_a_terminal_it_prints_plain_lines_and_stays_up_until_it_is_told(tmp_path: Path) -> None:
    async with demo(tmp_path) as process:
        out = await read_until(process.stdout, "daemon.log")
        directory = Path(re.findall(r"^  cd (\S+)$", out, re.MULTILINE)[0])
        assert directory.stat().st_mode & 0o777 == 0o700
        assert "\x1b" not in out
        for step in STORY:
            assert re.search(rf"^  ok   {step.title} +[0-9.]+ ms$", out, re.MULTILINE), step.title
        shown = await fedbus("--data-dir", str(directory / "berlin"), "policy", "get", "groups", "-o", "json")
        names = [one["spec"]["name"] for one in json.loads(shown)["documents"]]
        assert "fed.payment" in names
        assert "fed.trial" not in names
        await the_guide_can_be_followed(directory, out)
        secrets = [f for f in directory.glob("*/*") if f.name in ("api-key", "admin-password")]
        assert len(secrets) == 8
        assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}

        process.send_signal(signal.SIGINT)
        status, rest = await ended(process)

    assert status == 0, rest
    assert_nothing_is_left(tmp_path)


async def test_on_a_terminal_the_summary_is_live(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    stream = asyncio.StreamReader()
    with os.fdopen(ours, "rb") as ours_file:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), ours_file
        )
        async with demo(tmp_path, out=theirs, err=theirs) as process:
            shown = await read_until(stream, "Ctrl-C ends everything")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        transport.close()
        os.close(theirs)

    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"APPLIED/HEAD +SCANS", text)
    assert re.search(r"tokyo +offline", text)
    assert re.search(r"virginia +\w+ +\w+ +[0-9/]+ +\? +kicked", text)
    assert_nothing_is_left(tmp_path)


async def test_a_worker_that_does_not_apply_makes_the_story_fail(tmp_path: Path) -> None:
    async def crash(scene: Scene) -> Told:
        await scene.fleet.workers["berlin"].process.kill()
        return Told("berlin is killed")

    before = NAMES.index("publish")
    broken = [*STORY[:before], Step("crash", "Kill a worker", crash), *STORY[before:]]
    report = Report()
    async with running(tmp_path) as fleet:
        await runner.run(broken, Scene(fleet), report, Deaf(), 30)
    report.finish(broken)

    assert not report.ok
    assert [step.name for step in report.steps if step.ok] == ["start", "promote", "tokens", "join", "crash"]
    assert re.match(r"berlin to apply version \d+: berlin is lost", report.steps[before + 1].detail)
    assert {step.detail for step in report.steps[before + 2 :]} == {"skipped"}
    assert processes(tmp_path) == []


async def test_other_forms_than_a_table_need_a_check(tmp_path: Path) -> None:
    async with demo(tmp_path, "--output", "json") as process:
        status, out = await ended(process)

    assert (status, out) == (2, "")


async def the_guide_can_be_followed(directory: Path, guide: str) -> None:
    """Do with scans and the webhook what the guide says, word for word."""
    commands = re.findall(r"^  .{17}  ((?:fedbus|curl) .*(?:\n {23}\S.*)*)", guide, re.MULTILINE)
    said = {name: next(one for one in commands if part in one) for name, part in GUIDED.items()}
    assert all(len(line) <= 80 for line in guide[guide.index("live summary") :].splitlines())

    async def follow(name: str) -> str:
        words = re.sub("^fedbus", f"{sys.executable} -m fedbus", said[name])
        process = await asyncio.create_subprocess_shell(words, cwd=directory, stdout=subprocess.PIPE)
        shown, _ = await process.communicate()
        assert process.returncode == 0, said[name]
        return shown.decode()

    async def allowed() -> bool:
        response: dict[str, Any] = json.loads(await follow("ask"))["response"]
        assert response["allowed"] or "CVE-2019-16541" in response["status"]["message"]
        return bool(response["allowed"])

    async def denied() -> bool:
        return not await allowed()

    assert "shop/orders:2.0" in await follow("scans")
    if shutil.which("curl") is None:
        return  # the guide speaks of it, fedbus does not need it
    assert await allowed()
    await follow("deny")
    await eventually(denied)
    assert "fed 100010" in await follow("events")
    await follow("allow")
    await eventually(allowed)


async def fedbus(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedbus", *arguments, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


class Deaf:
    """An audience that does not listen."""

    begins: Callable[[str], None] = staticmethod(lambda _title: None)
    ends: Callable[[str, Result], None] = staticmethod(lambda _title, _result: None)
