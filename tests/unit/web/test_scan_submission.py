"""Submission of scan results over REST, on a real TLS server and with results in memory."""

import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from aiohttp import ClientSession

from fedbus.cluster.scans import submission_api
from fedbus.cluster.scans.submission import Destination, Submissions
from fedbus.errors import NotFound
from fedbus.model.scan import CI_REGISTRY
from fedbus.runtime import Clock
from fedbus.scan.importers import MAX_BYTES
from fedbus.web.app import new_app
from fedbus.web.auth import Authenticator
from tests.support.held_results import HeldResults
from tests.support.scan_files import CI_RESULT, ci_body, content, many_matches

from .conftest import Serve

PATH = submission_api.PATH
DIGEST = str(CI_RESULT["Digest"])


class Pipeline:
    """A pipeline that submits."""

    def __init__(self, client: ClientSession, results: HeldResults) -> None:
        self.client, self.results = client, results

    async def submit(
        self, raw: bytes, *, status: int = 200, headers: dict[str, str] | None = None, **query: str
    ) -> dict[str, Any]:
        about = {"Content-Type": "application/json"} | (headers or {})
        async with self.client.post(PATH, data=io.BytesIO(raw), params=query, headers=about) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            assert answer.status == status, found
            return found


async def nowhere(name: str) -> Destination:
    raise NotFound(name)


@pytest.fixture
async def pipeline(serve: Serve) -> Pipeline:
    results = HeldResults()

    async def registry(name: str) -> Destination:
        if name != "hub":
            raise NotFound(f"There is no registry {name!r} that is scanned here")
        return Destination(
            put=results.put,
            held=lambda digest: results.held(name, digest),
            registry=name,
            registry_url="https://hub.example.com/",
            source="registry",
        )

    submissions = Submissions(
        lambda: results, lambda digest: results.held(CI_REGISTRY, digest), Clock(), registry
    )
    app = new_app()
    app.add_routes(submission_api.routes(submissions))
    return Pipeline(await serve(app), results)


async def test_neuvectors_submission_is_kept_as_a_result_of_pipelines(pipeline: Pipeline) -> None:
    found = await pipeline.submit(ci_body())

    assert [(one["result"], one["repository"], one["tag"], one["high"]) for one in found["accepted"]] == [
        ("stored", "team/app", "1.4", 1)
    ]
    kept = pipeline.results.kept[CI_REGISTRY, DIGEST]
    assert (kept.source, kept.envs[1]) == ("ci", "DB_PASSWORD=****")
    assert pipeline.results.tags[CI_REGISTRY, "team/app", "1.4"].digest == DIGEST


async def test_a_result_can_be_submitted_into_a_registry(pipeline: Pipeline) -> None:
    await pipeline.submit(ci_body(), into="hub")

    kept = pipeline.results.kept["hub", DIGEST]
    assert (kept.source, kept.registry_url) == ("registry", "https://hub.example.com/")
    assert pipeline.results.tags["hub", "team/app", "1.4"].digest == DIGEST
    assert list(pipeline.results.kept) == [("hub", DIGEST)]


async def test_a_result_of_a_registry_that_there_is_not_is_refused(pipeline: Pipeline) -> None:
    found = await pipeline.submit(ci_body(), status=404, into="hubb")
    assert "'hubb'" in found["detail"]
    assert pipeline.results.kept == {}


@pytest.mark.parametrize("field", ["ImageID", "Digest", "Repository", "Tag"])
async def test_a_submission_that_does_not_name_its_image_is_a_400(pipeline: Pipeline, field: str) -> None:
    found = await pipeline.submit(ci_body(**{field: ""}), status=400)
    assert (found["code"], found["errors"][0]["field"]) == (6, f"$.result.{field}")
    assert pipeline.results.kept == {}


async def test_what_is_missing_can_be_given_beside_the_result(pipeline: Pipeline) -> None:
    await pipeline.submit(ci_body(Tag=""), tag="2.0")
    assert (CI_REGISTRY, "team/app", "2.0") in pipeline.results.tags


async def test_a_second_scan_of_an_image_replaces_the_first(pipeline: Pipeline) -> None:
    await pipeline.submit(ci_body())
    await pipeline.submit(ci_body(Version="3.600", Vuls=[]))
    assert pipeline.results.kept[CI_REGISTRY, DIGEST].cvedb_version == "3.600"


async def test_an_older_scan_is_answered_with_what_it_is_older_than(pipeline: Pipeline) -> None:
    newer = json.loads(content("trivy/alpine-310.json"))
    older = newer | {"CreatedAt": "2020-01-01T00:00:00Z"}
    await pipeline.submit(json.dumps(newer).encode())

    (one,) = (await pipeline.submit(json.dumps(older).encode()))["accepted"]

    assert (one["result"], one["older_than"]["scanned_at"]) == ("older", 1629894030.0)
    (kept,) = pipeline.results.kept.values()
    assert kept.scanned_at == 1629894030.0


async def test_every_format_is_found_out_or_given(pipeline: Pipeline) -> None:
    for name, form in (
        ("trivy/alpine-310.json", "trivy"),
        ("grype/many_vulns3.json", "grype"),
        ("sarif/trivy-alpine-310.sarif", "sarif"),
    ):
        assert (await pipeline.submit(content(name)))["format"] == form
        assert (await pipeline.submit(content(name), format=form))["format"] == form
    found = await pipeline.submit(content("sbom-vex/cyclonedx-1.4-vuln.json"), repository="shop", tag="7")
    assert found["accepted"][0]["repository"] == "shop"
    await pipeline.submit(b"{}", status=422, format="nessus")


async def test_what_is_rejected_is_named_and_the_others_are_kept(pipeline: Pipeline) -> None:
    runs = [{"properties": {"imageName": "app:1"}}, {"results": [7]}, {"properties": {"imageName": "app:2"}}]
    found = await pipeline.submit(json.dumps({"version": "2.1.0", "runs": runs}).encode())
    assert [one["tag"] for one in found["accepted"]] == ["1", "2"]
    assert [one["path"] for one in found["rejected"]] == ["$.runs[1].results[0]"]

    found = await pipeline.submit(json.dumps({"version": "2.1.0", "runs": runs[1:2]}).encode(), status=422)
    assert found["errors"][0]["field"] == "$.runs[1].results[0]".replace("1", "0", 1)


async def test_a_report_that_is_too_large_to_keep_does_not_stop_the_others(pipeline: Pipeline) -> None:
    pipeline.results.most = 0
    finding = {"ruleId": "CVE-2024-1001"}
    runs = [
        {"properties": {"imageName": "app:1"}},
        {"properties": {"imageName": "b:2"}, "results": [finding]},
    ]
    found = await pipeline.submit(json.dumps({"version": "2.1.0", "runs": runs}).encode())
    assert [one["repository"] for one in found["accepted"]] == ["app"]
    assert [(one["path"], one["code"]) for one in found["rejected"]] == [("b:2", "REPORT_TOO_LARGE")]


async def test_statements_of_openvex_annotate_what_is_submitted(pipeline: Pipeline) -> None:
    vex = json.loads(content("sbom-vex/openvex-multiple.json"))
    for statement in vex["statements"]:
        statement["vulnerability"]["name"] = "CVE-2026-0001"
        statement["products"] = [{"@id": f"pkg:oci/app@{DIGEST}"}]
    await pipeline.submit(msgspec.json.encode({"scan": json.loads(ci_body()), "vex": [vex]}))
    (one,) = pipeline.results.kept[CI_REGISTRY, DIGEST].vulnerabilities
    assert [(said.status, said.author) for said in one.vex] == [("not_affected", "Aqua Security")]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
async def test_bodies_may_be_compressed_and_a_bomb_is_cut_off(
    pipeline: Pipeline, encoding: str, compress: Any
) -> None:
    headers = {"Content-Encoding": encoding}
    assert (await pipeline.submit(compress(many_matches(6_000_000)), headers=headers))["accepted"]

    bomb = compress(b" " * (MAX_BYTES * 4))
    assert len(bomb) < 2_000_000
    await pipeline.submit(bomb, headers=headers, status=413)
    await pipeline.submit(b"no such thing", headers=headers, status=400)


async def test_other_encodings_and_forms_are_refused(pipeline: Pipeline) -> None:
    await pipeline.submit(ci_body(), headers={"Content-Encoding": "compress"}, status=415)
    await pipeline.submit(ci_body(), headers={"Content-Type": "text/plain"}, status=415)
    await pipeline.submit(ci_body(), headers={"Content-Type": "application/sarif+json"})


async def test_more_than_64_megabytes_are_refused(pipeline: Pipeline) -> None:
    await pipeline.submit(b" " * (MAX_BYTES + 1), status=413)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"scan":', b"<html>"])
async def test_what_is_no_json_is_refused(pipeline: Pipeline, raw: bytes) -> None:
    async with pipeline.client.post(PATH, data=raw, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status in {400, 422}


async def test_nothing_is_acknowledged_that_is_not_kept(pipeline: Pipeline) -> None:
    pipeline.results.down = True
    await pipeline.submit(ci_body(), status=503)


async def test_nobody_submits_without_being_known(serve: Serve, tmp_path: Path) -> None:
    clock, results = Clock(), HeldResults()
    submissions = Submissions(
        lambda: results, lambda digest: results.held(CI_REGISTRY, digest), clock, nowhere
    )
    auth = Authenticator(tmp_path, clock=clock.monotonic)
    app = new_app(auth)
    app.add_routes(submission_api.routes(submissions))
    client = await serve(app)
    await Pipeline(client, results).submit(ci_body(), status=401)
    key = {"X-Auth-Apikey": auth.api_key_file.read_text().strip()}
    await Pipeline(client, results).submit(ci_body(), headers=key)
    assert len(results.kept) == 1
