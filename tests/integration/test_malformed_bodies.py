"""Random damage to the body of every write: never a 500, never half applied."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.daemons import Daemon, apply, group, promoted
from tests.support.malformed import BODIES, damaged, values

pytestmark = pytest.mark.xdist_group("test_malformed_bodies")

JSON = {"Content-Type": "application/json"}


class Served(NamedTuple):
    """A master, and the loop it is talked to on: hypothesis calls tests that are not coroutines."""

    runner: asyncio.Runner
    master: Daemon

    def send(self, what: str, data: bytes) -> tuple[int, int, int]:
        """Send a body; return the status, and the federation's version before and after."""

        async def exchange() -> tuple[int, int, int]:
            method, path, _ = BODIES[what]
            before = await self._version()
            status, answer = await self.master.call(method, path, data=data, headers=JSON)
            assert status < 400 or answer["reason"], answer
            return status, before, await self._version()

        return self.runner.run(exchange())

    async def _version(self) -> int:
        return int((await self.master.get("/v1/fed/summary"))["federation"]["head_version"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory: Path = tmp_path_factory.mktemp("malformed")
    with asyncio.Runner() as runner:
        master = Daemon("master", directory)
        runner.run(master.__aenter__())
        try:
            runner.run(_prepare(master))
            yield Served(runner, master)
            assert "request_crashed" not in master.log()
        finally:
            runner.run(master.__aexit__(None, None, None))


async def _prepare(master: Daemon) -> None:
    await promoted(master)
    rules: list[dict[str, Any]] = [
        {"kind": "network_rule", "spec": {"from": "fed.web", "to": "external", "action": "allow"}}
        for _ in range(3)
    ]
    hook = {"kind": "webhook", "spec": {"name": "fed.hook", "url": "https://h/"}}
    sensor = {"kind": "waf_sensor", "spec": {"name": "fed.sensor"}}
    admission = {"kind": "admission_rule", "spec": {"rule_type": "deny"}}
    await apply(master, group("web"), hook, sensor, admission, *rules)


@pytest.mark.parametrize("what", BODIES)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_a_damaged_body_is_refused_whole_or_done_whole(
    served: Served, what: str, data: st.DataObject
) -> None:
    body = data.draw(damaged(BODIES[what][2]) | values)

    status, before, after = served.send(what, json.dumps(body).encode())

    assert status < 500, body
    assert after == before if status >= 400 else after - before in (0, 1)


@pytest.mark.parametrize("what", ["group", "network insert", "process profile"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    data=st.binary(max_size=64)
    | st.sampled_from([b"[" * 5000, b'{"config":' * 900, b'{"config": {"a": 1, "a": 2}}'])
)
def test_bytes_that_are_no_request_are_refused(served: Served, what: str, data: bytes) -> None:
    status, before, after = served.send(what, data)

    assert 400 <= status < 500
    assert after == before
