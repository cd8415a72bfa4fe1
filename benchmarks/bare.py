"""The floor: bare nats-py on the same server, by the same TLS, nothing verified and nothing stored.

As a child process, `python -m benchmarks.bare COUNT` with the access as JSON in BARE_ACCESS: pull
consumers on the stream FLOOR, each with its own connection.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import nats
import nats.errors
import uvloop
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig

from benchmarks.stopwatch import Stopwatch, end_with_parent, take_stdout
from fedbus.model import subjects
from fedbus.pki.ca import client_context
from fedbus.pki.keyring import Keyring
from fedbus.runtime import Clock, stop_on_signals

STREAM = "FLOOR"
SUBJECT = "floor.object"
ACCESS = "BARE_ACCESS"
FETCH_SECONDS = 60.0
BEGAN = -1
"""The key of the mark that a process makes before it connects."""


class Access(msgspec.Struct, frozen=True):
    """How to reach a master's bus with every right in the federation's account."""

    url: str
    ca_pem: str
    credentials_file: str

    @classmethod
    def of(cls, directory: Path, server: Mapping[str, object]) -> "Access":
        """Make it from a master's data directory and the address of its bus."""
        keyring, clock = Keyring.load(directory / "keyring"), Clock()
        credentials = keyring.credentials("master", "bare", now=clock.now(), randomness=clock.random_bytes)
        path = directory / "bare.creds"
        credentials.save(path)
        return cls(f"tls://{server['server']}:{server['port']}", keyring.ca_pem.decode(), str(path))

    async def connect(self) -> Client:
        """Connect as plainly as nats-py does."""
        return await nats.connect(
            self.url,
            tls=client_context(self.ca_pem.encode()),
            tls_handshake_first=True,
            user_credentials=self.credentials_file,
        )


def consumer(deliver: DeliverPolicy) -> ConsumerConfig:
    """Return the same kind of consumer that a worker has."""
    return ConsumerConfig(
        ack_policy=AckPolicy.ALL,
        ack_wait=60,
        max_ack_pending=2000,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=300,
        deliver_policy=deliver,
    )


async def make_stream(js: JetStreamContext) -> None:
    """Make the stream FLOOR, set up like POLICY."""
    await js.add_stream(
        StreamConfig(name=STREAM, subjects=[SUBJECT], max_msgs_per_subject=64, allow_atomic=True)
    )


def disguised(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers of exactly the same size, none of which means anything to the server."""
    return {name.replace("Nats-", "Bare-"): value for name, value in headers.items()}


async def newest(client: Client, kind: str, name: str) -> tuple[dict[str, str], bytes]:
    """Return headers, disguised, and body of the newest event of an object."""
    subject = subjects.event(subjects.SCOPE_ALL, subjects.POLICY, kind, name)
    model = await client.jetstream().get_last_msg("POLICY", subject)
    return disguised(model.headers or {}), model.data or b""


async def publish_batch(
    client: Client, headers: Mapping[str, str], body: bytes, count: int, batch: str
) -> None:
    """Publish the same message `count` times as one atomic batch (ADR-50): all is stored, or nothing."""
    for number in range(1, count + 1):
        own = {**headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
        if number < count:
            await client.publish(SUBJECT, body, headers=own)
    answer = await client.request(SUBJECT, body, headers={**own, "Nats-Batch-Commit": "1"}, timeout=30)
    if b'"error"' in answer.data:
        raise RuntimeError(f"the batch was refused: {answer.data.decode()}")


async def drain(js: JetStreamContext, stream: str, subject: str, count: int) -> float:
    """Fetch and acknowledge `count` messages from the beginning; return how many that is a second."""
    config = consumer(DeliverPolicy.ALL)
    subscription = await js.pull_subscribe(subject, durable="bare-drain", stream=stream, config=config)
    left, began = count, time.monotonic()
    while left > 0:
        messages = await subscription.fetch(500, timeout=FETCH_SECONDS)
        await messages[-1].ack()
        left -= len(messages)
    seconds = time.monotonic() - began
    await js.delete_consumer(stream, "bare-drain")
    return count / seconds


async def _main(access: Access, count: int, stopwatch: Stopwatch) -> None:
    stop = asyncio.Event()
    with stop_on_signals(stop):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_consume(access, str(n), stopwatch)) for n in range(count)]
            await stop.wait()
            for task in tasks:
                task.cancel()


async def _consume(access: Access, who: str, stopwatch: Stopwatch) -> None:
    stopwatch.reached(who, BEGAN)
    client = await access.connect()
    config = consumer(DeliverPolicy.NEW)
    subscription = await client.jetstream().pull_subscribe(
        SUBJECT, durable=f"bare-{os.getpid()}-{who}", stream=STREAM, config=config
    )
    stopwatch.reached(who, 0)
    while True:
        try:
            (message,) = await subscription.fetch(1, timeout=FETCH_SECONDS)
        except nats.errors.TimeoutError:
            continue
        stopwatch.reached(who, message.metadata.sequence.stream)
        await message.ack()


if __name__ == "__main__":
    out = take_stdout()
    end_with_parent()
    size = int(sys.argv[1])
    where = msgspec.json.decode(os.environ[ACCESS], type=Access)
    uvloop.run(_main(where, size, Stopwatch(out, size)))
