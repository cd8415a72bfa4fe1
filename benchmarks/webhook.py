"""A review's way to a worker's webhook and back: a kept TLS connection, 500 federated and 500 local rules.

The worker holds scans of 100,000 images (`FEDBUS_BENCH_IMAGES` for fewer); every review is about another.

Floor: the same server with the same certificate, in a process of its own, whose handler allows everything at
once. Both are asked in turns.

As a child process, `python -m benchmarks.webhook DIR`: the floor; it writes where it is to standard output.
"""

import asyncio
import os
import random
import ssl
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import uvloop

from benchmarks.decision import RULES, criteria
from benchmarks.figures import MS, Figure, figure, percentile
from benchmarks.stopwatch import end_with_parent, take_stdout
from fedbus.cluster.scans.local_results import LocalResults
from fedbus.kube.review import Answer, Review
from fedbus.kube.webhook import Failure, Webhook, WebhookServer
from fedbus.model.scan import Report
from fedbus.runtime import Clock, stop_on_signals
from fedbus.store.database import Database
from fedbus.web.tls import RestTls
from tests.support import scans
from tests.support.api_server import SERVICE, review
from tests.support.daemons import Daemon, apply, eventually, joined, promoted, synced

IMAGES = int(os.environ.get("FEDBUS_BENCH_IMAGES", "100000"))
AT_ONCE = 500
KINDS_OF_IMAGES = 200
"""Different lists of vulnerabilities: to make up one takes longer than to keep it."""
ROUNDS = 3_000
WARM_UP = 200
CHUNK = 100


class At(msgspec.Struct, frozen=True):
    """Where a webhook listens, and the CA that signed its certificate."""

    url: str
    ca_pem: str


class Connection:
    """One kept connection that adds next to nothing: bytes out, bytes in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        self._reader, self._writer, self._path = reader, writer, path

    @classmethod
    async def open(cls, at: At) -> Self:
        """Connect as an API server does, by the name of the service."""
        url, context = urlsplit(at.url), ssl.create_default_context(cadata=at.ca_pem)
        reader, writer = await asyncio.open_connection(
            url.hostname, url.port, ssl=context, server_hostname=SERVICE
        )
        return cls(reader, writer, url.path)

    async def ask(self, body: bytes) -> bytes:
        """Send a review; return the answer's body."""
        head = f"POST {self._path}?timeout=10s HTTP/1.1\r\nHost: {SERVICE}\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        answered = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(x.split(":")[1] for x in answered.split("\r\n") if x.startswith("content-length:"))
        return await self._reader.readexactly(int(length))

    def close(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()


async def measure(directory: Path) -> list[Figure]:
    """Return p50 and p99 of the round trip."""
    where = directory / "webhook"
    await _scan(where / "worker" / "scans.db")
    async with Daemon("master", where / "master") as master, Daemon("worker", where / "worker") as worker:
        await promoted(master)
        await joined(master, worker, "w")
        await _publish(master, worker)
        floor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.webhook", str(where / "floor"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert floor.stdout is not None
        assert floor.stdin is not None
        there = msgspec.json.decode(await floor.stdout.readline(), type=At)
        known = await worker.get("/v1/admission/webhook")
        samples = await _in_turns([there, At(known["url"], known["ca_bundle"])])
        floor.stdin.close()
        await floor.wait()
    lowest, real = samples
    return [
        figure(
            f"webhook, 1,000 rules, p{percent}", percentile(real, percent) * MS, "ms",
            percentile(lowest, percent) * MS,
        )
        for percent in (50, 99)
    ]  # fmt: skip


async def _scan(path: Path) -> None:
    """Fill a store of scan results, as the worker's own."""
    models = [scans.report(number) for number in range(KINDS_OF_IMAGES)]
    async with Database(path, "NORMAL", scans=True) as database:
        results = LocalResults(database)
        for begin in range(0, IMAGES, AT_ONCE):
            reports = [_report(models, n) for n in range(begin, min(IMAGES, begin + AT_ONCE))]
            await results.put(reports, [scans.image(report) for report in reports])


def _report(models: list[Report], number: int) -> Report:
    named = scans.report(number, vulnerabilities=0)
    return msgspec.structs.replace(
        models[number % len(models)],
        digest=named.digest, repository=f"shop/{named.repository}", tag=named.tag, image_id=named.image_id,
    )  # fmt: skip


def _review(rng: random.Random) -> bytes:
    """Return a review of a deployment of one of the scanned images."""
    one = scans.report(rng.randrange(IMAGES), vulnerabilities=0)
    asked = review()
    (container,) = asked["request"]["object"]["spec"]["template"]["spec"]["containers"]
    container["image"] = f"registry.example.com/shop/{one.repository}:{one.tag}"
    return msgspec.json.encode(asked)


async def _publish(master: Daemon, worker: Daemon) -> None:
    rules: list[dict[str, Any]] = [
        {"kind": "admission_rule", "spec": {"rule_type": "deny", "criteria": criteria(number)}}
        for number in range(RULES)
    ]
    state = {"kind": "admission_state", "spec": {"enable": True, "mode": "protect"}}
    await apply(master, state)
    for begin in range(0, RULES, CHUNK):
        await apply(master, *rules[begin : begin + CHUNK])
        await worker.post("/v1/local/apply", {"documents": rules[begin : begin + CHUNK]})
    await synced(master, 1)

    async def compiled() -> bool:
        known = await worker.get("/v1/admission/webhook")
        assert not known["unusable"]
        return bool(known["rules"] == 2 * RULES)

    await eventually(compiled)


async def _in_turns(places: list[At]) -> list[list[float]]:
    connections = [await Connection.open(at) for at in places]
    rng = random.Random(1)
    samples: list[list[float]] = [[] for _ in places]
    for _ in range(ROUNDS + WARM_UP):
        body = _review(rng)
        for connection, times in zip(connections, samples, strict=True):
            began = time.perf_counter()
            answer = await connection.ask(body)
            times.append(time.perf_counter() - began)
            assert b'"allowed":true' in answer, answer
            assert b"not scanned" not in answer
    for connection in connections:
        connection.close()
    return [times[WARM_UP:] for times in samples]


class AllowAll:
    """Allows everything at once."""

    async def answer(self, _asked: Review) -> Answer:
        """Allow."""
        return Answer(allowed=True)

    def failed(self, asked: Review, why: Failure, message: str) -> None:
        """Fail the benchmark."""
        raise AssertionError(asked, why, message)


async def serve_floor(directory: Path) -> None:
    """Serve the floor until standard input ends."""
    out, clock, stop = take_stdout(), Clock(), asyncio.Event()
    tls = RestTls(directory, [SERVICE], now=clock.now(), randomness=os.urandom, server="webhook")
    server = WebhookServer(
        Webhook(AllowAll(), fail_open=True, ready=lambda: True), "127.0.0.1", 0, tls.context
    )
    await server.start()
    out.write(msgspec.json.encode(At(server.url, tls.ca_file.read_text())).decode() + "\n")
    out.flush()
    with stop_on_signals(stop):
        end_with_parent()
        await server.run(stop)


if __name__ == "__main__":
    uvloop.run(serve_floor(Path(sys.argv[1])))
