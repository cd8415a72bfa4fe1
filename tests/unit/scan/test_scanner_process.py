"""A scanner program is bounded: in time, output, memory, and in what it sees of us."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from fedbus.core.registry.access import Address, Credentials
from fedbus.errors import InvalidInput
from fedbus.model.scan import Report
from fedbus.runtime import Clock
from fedbus.scan.scanners import process
from fedbus.scan.scanners.interface import ScanError, Target
from fedbus.scan.scanners.process import Limits
from fedbus.scan.scanners.trivy import Options, Trivy
from tests.support.daemons import eventually

HASH = "sha256:" + "1" * 64
TARGET = Target(
    address=Address("https", "r.example"),
    repository="a",
    digest=HASH,
    credentials=Credentials("user", "pass-word"),
)


def program(directory: Path, text: str) -> Path:
    """Make a program of a shell script."""
    made = directory / "scanner"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(made.stat().st_mode | stat.S_IXUSR)
    return made


async def run(directory: Path, text: str, **limits: float) -> bytes:
    env = process.environment(os.environ)
    return await process.run(
        [str(program(directory, text))],
        env,
        str(directory),
        Limits(**limits),  # type: ignore[arg-type]
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(file: Path) -> None:
    pid = int(file.read_text())

    async def ended() -> bool:
        return not alive(pid)

    await eventually(ended)


async def test_its_output_is_what_it_writes(tmp_path: Path) -> None:
    assert await run(tmp_path, "echo hello; echo noise >&2") == b"hello\n"


async def test_a_failure_says_the_last_thing_it_said(tmp_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        await run(tmp_path, "echo first >&2; printf 'bad\\033[31m thing\\n' >&2; exit 3")
    assert caught.value.message == "the scanner ended with status 3: bad [31m thing"
    with pytest.raises(ScanError, match="SIGKILL"):
        await run(tmp_path, "kill -9 $$")


async def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        await run(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; wait", seconds=0.5)
    assert caught.value.code == "SCAN_TIMEOUT"
    await gone(tmp_path / "child")


async def test_cancelled_it_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        text = f"cd {tmp_path}; sleep 600 & echo $! > child.new; mv child.new child; wait"
        task = group.create_task(run(tmp_path, text))

        async def begun() -> bool:
            return (tmp_path / "child").exists()

        await eventually(begun)
        task.cancel()
    await gone(tmp_path / "child")


async def test_children_that_it_leaves_behind_are_killed_too(tmp_path: Path) -> None:
    text = f"sleep 600 >/dev/null 2>&1 & echo $! > {tmp_path}/child; echo done"
    assert await run(tmp_path, text) == b"done\n"
    await gone(tmp_path / "child")


async def test_endless_output_is_cut(tmp_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        await run(tmp_path, "yes", output=1 << 20)
    assert caught.value.code == "SCAN_OUTPUT"
    with pytest.raises(ScanError) as caught:
        await run(tmp_path, "yes | head -c 1000000 >&2; printf %5000s x >&2; exit 1")
    assert len(caught.value.message) < 2000


async def test_memory_and_files_are_bounded(tmp_path: Path) -> None:
    limited = 'until [ "$(ulimit -v)" != unlimited ]; do :; done'
    with pytest.raises(ScanError):
        await run(tmp_path, f"{limited}; x=$(head -c 600000000 /dev/zero | tr '\\0' x); echo ${{#x}}",
                  memory=200 << 20)  # fmt: skip
    with pytest.raises(ScanError):
        await run(tmp_path, f"{limited}; head -c 5000000 /dev/zero > {tmp_path}/big", file=1 << 20)
    assert (tmp_path / "big").stat().st_size <= 1 << 20


async def test_it_sees_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDBUS_SECRET", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    seen = (await run(tmp_path, "env")).decode()
    assert "FEDBUS" not in seen
    assert "AWS" not in seen
    assert "HTTPS_PROXY=http://proxy" in seen
    assert "HTTPS_PROXY" not in process.environment(os.environ, proxy=False)


async def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        await process.run([str(tmp_path / "none")], {}, str(tmp_path), Limits())
    assert (caught.value.code, "trivy_program" in caught.value.remedy) == ("SCANNER_MISSING", True)


def nonsense(_: bytes) -> list[Report]:
    raise InvalidInput("this is nothing")


def trivy(directory: Path, text: str, **options: object) -> Trivy:
    chosen = Options(cache=directory / "cache", program=program(directory, text), **options)  # type: ignore[arg-type]
    return Trivy(chosen, nonsense, Clock())


async def test_credentials_are_in_a_file_that_is_gone_after_the_scan(tmp_path: Path) -> None:
    copy = f"cd $DOCKER_CONFIG; cp config.json {tmp_path}/seen; stat -c %a config.json > {tmp_path}/mode"
    scanner = trivy(
        tmp_path, f'{copy}; echo "$@" > {tmp_path}/argv; pwd > {tmp_path}/where; env > {tmp_path}/env'
    )
    with pytest.raises(ScanError) as caught:
        await scanner.scan(TARGET)
    assert caught.value.code == "SCAN_OUTPUT"
    assert '"auth":"dXNlcjpwYXNzLXdvcmQ="' in (tmp_path / "seen").read_text()
    assert (tmp_path / "mode").read_text() == "600\n"
    assert not Path((tmp_path / "where").read_text().strip()).exists()
    for file in ("argv", "env"):
        assert "pass-word" not in (tmp_path / file).read_text()
        assert "dXNlcjpwYXNzLXdvcmQ" not in (tmp_path / file).read_text()
    assert (tmp_path / "argv").read_text().strip().endswith(f"r.example/a@{HASH}")


async def test_what_is_no_trivy_is_no_scanner(tmp_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        await trivy(tmp_path, "echo nonsense", offline=True).prepare()
    assert caught.value.code == "SCANNER_MISSING"
    with pytest.raises(ScanError) as caught:
        await trivy(tmp_path, 'echo "{\\"Version\\": \\"1\\"}"', offline=True).prepare()
    assert caught.value.code == "SCANNER_DATABASE"


async def test_the_database_is_updated_from_the_mirror_unless_we_are_offline(tmp_path: Path) -> None:
    text = f"""echo "$@" >> {tmp_path}/asked
case "$1" in
version) echo '{{"Version":"1","VulnerabilityDB":{{"Version":2,"UpdatedAt":"2026-01-02T03:04:05Z"}}}}';;
esac"""
    online = trivy(tmp_path, text, database="mirror.example/db:2", java_database="mirror.example/java:1")
    assert (await online.prepare()).version == "2.20260102030405"
    asked = (tmp_path / "asked").read_text()
    assert "--download-db-only --db-repository mirror.example/db:2" in asked
    assert "--download-java-db-only --java-db-repository mirror.example/java:1" in asked
    (tmp_path / "asked").unlink()

    await trivy(tmp_path, text, offline=True).prepare()
    assert "download" not in (tmp_path / "asked").read_text()


async def test_an_update_that_fails_leaves_the_database_that_is_there(tmp_path: Path) -> None:
    text = """case "$1" in
image) echo "no route" >&2; exit 1;;
*) echo '{"Version":"1","VulnerabilityDB":{"Version":2,"UpdatedAt":"2026-01-02T03:04:05Z"}}';; esac"""
    assert (await trivy(tmp_path, text).prepare()).created_at == "2026-01-02T03:04:05Z"
    with pytest.raises(ScanError, match="no route"):
        await trivy(
            tmp_path, 'case "$1" in image) echo "no route" >&2; exit 1;; *) echo "{}";; esac'
        ).prepare()
