"""`scan submit` against a small API."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from fedbus.cli.exit_codes import ExitCode
from fedbus.errors import Fault, InvalidInput, Unauthorized, Unavailable
from tests.support.scan_files import DATA, content

from .conftest import FakeApi

Run = Callable[..., Awaitable[Result]]
SUBMIT = "POST /v1/scan/result/repository"
TRIVY, GRYPE = str(DATA / "trivy/alpine-310.json"), str(DATA / "grype/no_vuln.json")
VEX = str(DATA / "sbom-vex/openvex-multiple.json")

STORED = {
    "repository": "team/app", "tag": "1", "digest": "sha256:1", "result": "stored",
    "scanned_at": 1.0, "vulnerabilities": 4, "critical": 0, "high": 1,
}  # fmt: skip
DONE = {"format": "trivy", "accepted": [STORED], "rejected": []}


@pytest.fixture
def at(api: FakeApi) -> list[str]:
    api.answers[SUBMIT] = DONE
    return ["--data-dir", str(api.data_dir)]


async def test_files_are_sent_whole_and_each_is_reported(run: Run, api: FakeApi, at: list[str]) -> None:
    done = await run(*at, "scan", "submit", TRIVY, GRYPE, "-", stdin="null")

    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.stdout.splitlines()][1] == [
        TRIVY, "trivy", "team/app:1", "stored", "0", "1", "4", "-",
    ]  # fmt: skip
    sent = api.bodies(SUBMIT)
    assert json.loads(content("trivy/alpine-310.json")) in sent
    assert None in sent
    assert len(sent) == 3


async def test_what_is_rejected_does_not_stop_the_others(
    run: Run, api: FakeApi, at: list[str], tmp_path: Path
) -> None:
    broken, spdx, gone = tmp_path / "broken.json", tmp_path / "sbom.json", tmp_path / "gone.json"
    broken.write_text("{")
    spdx.write_text('{"spdxVersion": "SPDX-2.3"}')

    done = await run(*at, "scan", "submit", str(broken), str(spdx), str(gone), TRIVY, "-o", "json")

    assert done.exit_code == ExitCode.INVALID
    files = {Path(one["file"]).name: one for one in json.loads(done.stdout)["files"]}
    assert files["alpine-310.json"]["accepted"] == [STORED]
    assert "no valid JSON" in files["broken.json"]["rejected"][0]["message"]
    assert "SPDX" in files["sbom.json"]["rejected"][0]["message"]
    assert "Cannot read" in files["gone.json"]["rejected"][0]["message"]
    assert len(api.bodies(SUBMIT)) == 1
    assert "3 of 4 files" in done.stderr


async def test_what_the_daemon_rejects_is_said_by_its_place(run: Run, api: FakeApi, at: list[str]) -> None:
    answers = iter([InvalidInput("no", (Fault("$.runs[3]", "broken"),)), DONE])

    def answer() -> object:
        found = next(answers)
        if isinstance(found, InvalidInput):
            raise found
        return found

    api.answers[SUBMIT] = answer
    done = await run(*at, "scan", "submit", TRIVY, GRYPE)
    assert done.exit_code == ExitCode.INVALID
    assert "$.runs[3]: broken" in done.stdout
    assert "stored" in done.stdout


async def test_a_part_that_is_rejected_is_an_error_too(run: Run, api: FakeApi, at: list[str]) -> None:
    api.answers[SUBMIT] = DONE | {"rejected": [{"path": "$.runs[1]", "message": "broken"}]}
    done = await run(*at, "scan", "submit", TRIVY)
    assert done.exit_code == ExitCode.INVALID
    assert "stored" in done.stdout


async def test_an_older_scan_is_no_error_and_is_said(run: Run, api: FakeApi, at: list[str]) -> None:
    older = STORED | {"result": "older", "older_than": {"digest": "sha256:1", "scanned_at": 1_700_000_000.0}}
    api.answers[SUBMIT] = DONE | {"accepted": [older]}
    done = await run(*at, "scan", "submit", TRIVY)
    assert done.exit_code == 0
    assert "a scan of 2023-11-14T22:13:20Z is held" in done.stdout


async def test_a_daemon_that_cannot_store_now_is_told_by_the_exit_code(
    run: Run, api: FakeApi, at: list[str]
) -> None:
    api.answers[SUBMIT] = Unavailable("the bus does not answer")
    assert (await run(*at, "scan", "submit", TRIVY, GRYPE)).exit_code == ExitCode.UNAVAILABLE
    api.answers[SUBMIT] = Unauthorized("who are you")
    assert (await run(*at, "scan", "submit", TRIVY, GRYPE)).exit_code == ExitCode.DENIED


async def test_statements_go_with_every_file(run: Run, api: FakeApi, at: list[str]) -> None:
    done = await run(*at, "scan", "submit", TRIVY, "--vex", VEX)
    assert done.exit_code == 0, done.output
    (sent,) = api.bodies(SUBMIT)
    wanted: dict[str, Any] = {"scan": json.loads(content("trivy/alpine-310.json"))}
    assert sent == wanted | {"vex": [json.loads(content("sbom-vex/openvex-multiple.json"))]}
