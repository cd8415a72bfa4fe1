"""/metrics of real daemons: the names that were promised, who may read them, and what they say."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from fedbus.pki.ca import client_context
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.intruder import intruding

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("test_metrics")]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scene(NamedTuple):
    master: Daemon
    worker: Daemon


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    base = tmp_path_factory.mktemp("metrics")
    async with (
        Daemon("master", base / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", base / "worker", metrics_open="true") as worker,
    ):
        await promoted(master)
        await joined(master, worker, "shop")
        await apply(master, *(group(f"g{number}") for number in range(7)))
        await synced(master, 1)
        yield Scene(master, worker)


async def fetch(daemon: Daemon, headers: dict[str, str]) -> tuple[int, str, str]:
    trust = client_context(Path(daemon.reached_by.ca).read_bytes())
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as client,
        client.get(f"{daemon.url}/metrics", headers=headers) as answer,
    ):
        return answer.status, answer.content_type, await answer.text()


def key(daemon: Daemon) -> str:
    return Path(daemon.reached_by.api_key_file).read_text().strip()


async def scraped(daemon: Daemon) -> Samples:
    status, content_type, text = await fetch(daemon, {"Authorization": f"Bearer {key(daemon)}"})
    assert (status, content_type) == (200, "text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def test_the_master_tells_of_its_clusters_its_writes_and_itself(scene: Scene) -> None:
    found = await scraped(scene.master)

    assert of(found, "fedbus_events_published_total") >= 7
    assert of(found, "fedbus_publish_duration_seconds_count") >= 1
    assert of(found, "fedbus_store_commit_duration_seconds_count") >= 1
    assert of(found, "fedbus_agent_lag_events", cluster="shop") == 0
    assert of(found, "fedbus_agent_last_heartbeat_timestamp_seconds", cluster="shop") > 1.7e9
    assert of(found, "fedbus_agent_quarantined_events", cluster="shop") >= 0
    assert abs(of(found, "fedbus_agent_clock_skew_seconds", cluster="shop")) < 5
    assert of(found, "fedbus_agents", link="online") == 1
    assert of(found, "fedbus_bus_session_up", session="master") == 1
    assert of(found, "fedbus_stream_rewrites_total") == 0
    assert of(found, "fedbus_credential_expiry_seconds", credential="bus_certificate") > 86_400
    assert of(found, "fedbus_federation_epoch") == 1
    version = (await scene.master.get("/v1/fed/summary"))["federation"]["head_version"]
    assert of(found, "fedbus_federation_version") == version


async def test_the_worker_tells_what_it_applied_and_how_long_its_credentials_live(scene: Scene) -> None:
    found = await scraped(scene.worker)

    assert of(found, "fedbus_events_applied_total", kind="group", result="applied") >= 7
    assert of(found, "fedbus_apply_duration_seconds_count") >= 1
    assert of(found, "fedbus_agent_lag_events", cluster="shop") == 0
    assert 0 < of(found, "fedbus_credential_expiry_seconds", credential="bus") <= 7 * 86_400
    assert of(found, "fedbus_credential_expiry_seconds", credential="renew") > 300 * 86_400
    assert of(found, "fedbus_bus_session_up", session="worker") == 1
    assert of(found, "fedbus_digest_mismatches_total") == 0


@pytest.mark.parametrize("role", ["master", "worker"])
async def test_a_build_is_named_by_version_role_and_protocol(scene: Scene, role: str) -> None:
    found = await scraped(scene.master if role == "master" else scene.worker)

    ((labels, value),) = [
        (dict(labels), value) for (name, labels), value in found.items() if name == "fedbus_build_info"
    ]
    assert (labels["role"], value) == (role, 1.0)
    assert set(labels) == {"version", "role", "protocol_min", "protocol_max"}
    assert of(found, "fedbus_disk_free_bytes") > 0
    assert of(found, "process_resident_memory_bytes") > 0


async def test_metrics_need_the_key_unless_they_were_opened(scene: Scene) -> None:
    assert (await fetch(scene.master, {}))[0] == 401
    assert (await fetch(scene.master, {"Authorization": "Bearer wrong"}))[0] == 401
    assert (await fetch(scene.master, {"X-Auth-Apikey": key(scene.master)}))[0] == 200
    assert (await fetch(scene.worker, {}))[0] == 200


async def test_a_refused_event_is_counted_and_in_quarantine(scene: Scene) -> None:
    before = await scraped(scene.worker)
    async with intruding(scene.master.directory) as intruder:
        await intruder.put(intruder.forge("fed.evil", b"{}", signed=False))

    async def counted() -> bool:
        now = await scraped(scene.worker)
        refused = ("fedbus_events_applied_total", frozenset({("kind", "other"), ("result", "refused")}))
        return now.get(refused, 0.0) == before.get(refused, 0.0) + 1

    await eventually(counted)
    held = of(await scraped(scene.worker), "fedbus_quarantined_events")
    assert held == of(before, "fedbus_quarantined_events") + 1

    async def reported() -> bool:
        return of(await scraped(scene.master), "fedbus_agent_quarantined_events", cluster="shop") == held

    await eventually(reported)


async def test_scraping_leaves_no_line_in_the_log_and_no_secret_in_the_answer(scene: Scene) -> None:
    _, _, text = await fetch(scene.master, {"X-Auth-Apikey": key(scene.master)})

    assert '"path": "/metrics", "status": 200' not in scene.master.log()
    assert key(scene.master) not in text
    assert "eyJ" not in text


async def test_one_line_in_each_log_tells_of_one_changeset(scene: Scene) -> None:
    done = await apply(scene.master, group("logged"))
    await synced(scene.master, 1)

    (written,) = [line for line in scene.master.log().splitlines() if done["changeset"] in line]
    assert '"event": "changeset_written"' in written
    assert '"actor": "local"' in written
    applied = [line for line in scene.worker.log().splitlines() if '"event": "applied"' in line]
    assert any(f'"version": {done["version"]}' in line for line in applied)
