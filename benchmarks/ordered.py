"""A thousand federated rules of every ordered kind: list, move, replace, and what they cost in memory."""

import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
from nats.aio.client import Client

from benchmarks import bare
from benchmarks.figures import MS, Figure, figure
from benchmarks.memory import MIB
from benchmarks.population import Population
from benchmarks.rest import Rest
from benchmarks.scene import scene
from tests.support.daemons import Daemon, apply, group

RULES = 1000
TURNS = 7

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "network_rule": (
        "network rules",
        "/v1/policy/rule",
        {"from": "fed.web", "to": "external", "ports": "tcp/443", "applications": ["SSL"], "action": "allow"},
    ),
    "admission_rule": (
        "admission rules",
        "/v1/admission/rules",
        {
            "category": "Kubernetes",
            "rule_type": "deny",
            "criteria": [{"name": "namespace", "op": "containsAny", "value": "shop,bank"}],
        },
    ),
    "response_rule": (
        "response rules",
        "/v1/response/rule",
        {
            "event": "security-event",
            "conditions": [{"type": "level", "value": "Critical"}],
            "actions": ["suppress-log"],
        },
    ),
}
"""Of each kind: its name in the table, its path, a rule."""


async def measure(directory: Path) -> list[Figure]:
    """Return milliseconds of a list, a move and a replacement of each kind, and the master's memory."""
    where = directory / "ordered"
    where.mkdir()
    async with scene(where) as ready:
        idle = _memory(ready.master, "VmRSS")
        await apply(ready.master, group("web"))
        rest, client = await Rest.open(ready.master.directory), await ready.access.connect()
        await bare.make_stream(client.jetstream())
        figures: list[Figure] = []
        for kind in KINDS:
            figures += await _kind(rest, client, kind, where)
        figures += [
            figure(f"memory, master with {3 * RULES:,} rules", _memory(ready.master, "VmRSS"), "MiB", idle),
            figure("memory, master, the most while it did this", _memory(ready.master, "VmHWM"), "MiB", idle),
        ]
        await client.close()
        rest.close()
    return figures


def _memory(master: Daemon, field: str) -> float:
    """Return the resident memory of a process now (VmRSS) or at most (VmHWM), in MiB."""
    assert master.process is not None
    if field == "VmRSS":
        return psutil.Process(master.process.pid).memory_info().rss / MIB
    lines = Path(f"/proc/{master.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


async def _kind(rest: Rest, client: Client, kind: str, directory: Path) -> list[Figure]:
    label, path, spec = KINDS[kind]
    rules = [spec | {"id": 0, "comment": f"rule {number}"} for number in range(RULES)]
    listed = rest.request(f"{path}?scope=fed", method="GET")

    async def act(body: dict[str, object]) -> None:
        await rest.send(rest.request(f"{path}?scope=fed", body, "PATCH"))

    async def ids() -> list[int]:
        return [rule["id"] for rule in (await rest.send(listed))["rules"]]

    await act({"insert": {"rules": rules}})
    headers, body = await bare.newest(client, kind, str((await ids())[0]))
    page = await rest.exchange(listed)
    (directory / f"{kind}.json").write_bytes(page)

    async def move() -> None:
        first, *_, last = await ids()
        began = time.monotonic()
        await act({"move": {"id": last, "after": -first}})
        moves.append(time.monotonic() - began)

    async def replace() -> None:
        turned = [{"id": number} for number in reversed(await ids())]
        began = time.monotonic()
        await act({"rules": turned})
        replacements.append(time.monotonic() - began)

    moves: list[float] = []
    replacements: list[float] = []
    lists: list[float] = []
    floors: dict[str, list[float]] = {"list": [], "move": [], "replace": []}
    arguments = ("benchmarks.bare_rest", str(directory / f"{kind}-bare"), str(directory / f"{kind}.json"))
    async with Population(directory / "bare.log", arguments) as server:
        await server.reached(0)
        plain = await Rest.open(directory / f"{kind}-bare")
        same = plain.request("/", method="GET")
        for turn in range(TURNS):
            floors["list"].append(await _timed(lambda: plain.exchange(same)))
            lists.append(await _timed(lambda: rest.exchange(listed)))
            floors["move"].append(
                await _timed(lambda: client.jetstream().publish(bare.SUBJECT, body, headers=headers))
            )
            await move()
            batch = f"{kind}-{turn}"
            floors["replace"].append(
                await _timed(lambda b=batch: bare.publish_batch(client, headers, body, RULES - 1, b))  # type: ignore[misc]
            )
            await replace()
        plain.close()
    samples = {"list": lists, "move": moves, "replace": replacements}
    return [
        figure(f"{RULES:,} {label}, {what}", _median(samples[what]), "ms", _median(floors[what]))
        for what in samples
    ]


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    await work()
    return time.monotonic() - began


def _median(samples: list[float]) -> float:
    return statistics.median(samples) * MS
