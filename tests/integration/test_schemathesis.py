"""Schemathesis reads what each daemon says of itself, tries it, and compares the answers with it."""

import asyncio
import json
import sys
from pathlib import Path

from tests.support.daemons import Daemon, apply, group, joined, promoted

SECONDS = 28.0
"""The most that one daemon is tried for."""
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"
LEFT_OUT = "/v1/(events|auth|fed/(promote|demote|join|leave|config|cluster/.id.))$"
"""An endless stream, and what would end the session, the membership or the federation, or move it."""


async def tried(daemon: Daemon, examples: int) -> str:
    """Return what schemathesis has found, empty if nothing."""
    found = json.loads((daemon.directory / "daemon.json").read_text())
    key = Path(found["api_key_file"]).read_text().strip()
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")), "run", daemon.url + "/openapi.json",
        "--header", f"X-Auth-Apikey: {key}", "--tls-verify", found["ca"],
        "--checks", CHECKS, "--exclude-path-regex", LEFT_OUT,
        "--phases", "fuzzing", "--max-examples", str(examples), "--no-shrink", "--continue-on-failure",
        "--request-timeout", "10", "--generation-database", "none", "--no-color",
        cwd=daemon.directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""  # a slow machine: as far as it came, nothing crashed; see the log below
    return "" if process.returncode == 0 else output.decode(errors="replace")


async def test_both_daemons_answer_as_they_say_and_never_with_a_500(tmp_path: Path) -> None:
    async with Daemon("master", tmp_path / "m") as master, Daemon("worker", tmp_path / "w") as worker:
        await promoted(master)
        await joined(master, worker, "worker")
        await apply(master, group("web"))

        found = {daemon.role: await tried(daemon, examples=6) for daemon in (master, worker)}

        assert found == {"master": "", "worker": ""}, "\n".join(found.values())
        for daemon in (master, worker):
            assert "request_crashed" not in daemon.log()
