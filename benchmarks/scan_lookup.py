"""Look-ups in a store of 100,000 images of a hundred vulnerabilities, and what such a store takes.

`FEDBUS_BENCH_IMAGES` takes fewer. No bus: events are made, signed and folded right here.
"""

import base64
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.figures import MS, Figure, figure, percentile
from fedbus.core import payload
from fedbus.model import codec, events, subjects
from fedbus.model.events import Event
from fedbus.model.scan import IMAGE, REPORT, Report, image_name, report_name
from fedbus.pki.verification import source, verified
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction
from tests.support import scans
from tests.support.history import FEDERATION, SIGNER, VERIFIER

IMAGES = int(os.environ.get("FEDBUS_BENCH_IMAGES", "100000"))
AT_ONCE = 64
KINDS_OF_IMAGES = 500
"""Different lists of vulnerabilities: to make up one takes longer than to fold it."""
LOOK_UPS = 2000


async def measure(directory: Path) -> list[Figure]:
    """Return the fold's rate on one core (by CPU time), look-up times, and bytes an image."""
    path = directory / "scan-lookup" / "scans.db"
    models = [scans.report(n) for n in range(KINDS_OF_IMAGES)]
    async with Database(path, "NORMAL", scans=True) as database:
        spent, last = 0.0, 0.0
        for first in range(0, IMAGES, AT_ONCE):
            made = [_event(n, models) for n in range(first, min(IMAGES, first + AT_ONCE))]
            batch = [event for pair in made for event in pair]
            began = time.process_time()
            await database.write(lambda tx, batch=batch: _fold(tx, batch))  # type: ignore[misc]
            last = time.process_time() - began
            spent += last
        figures = [
            figure(f"fold to {IMAGES:,} images, one core", IMAGES / spent, "results/s"),
            figure(f"fold at {IMAGES:,} images, one core", len(made) / last, "results/s"),
        ]
        rng = random.Random(1)
        chosen = [scans.report(rng.randrange(IMAGES), vulnerabilities=0) for _ in range(LOOK_UPS)]
        for what, look in _LOOK_UPS.items():
            samples = await database.read(lambda tx, look=look: _timed(tx, chosen, look))  # type: ignore[misc]
            figures += [
                figure(f"look-up {what}, p{percent}", percentile(samples, percent) * MS, "ms")
                for percent in (50, 99)
            ]
    size = sum(file.stat().st_size for file in path.parent.iterdir())
    return [*figures, figure("scan store, bytes an image", size / IMAGES, "B")]


_LOOK_UPS: dict[str, Callable[[Transaction, Report], object]] = {
    "by digest": lambda tx, r: tx.scans.by_digest(r.digest),
    "by tag": lambda tx, r: tx.scans.by_tag(r.repository, r.tag, "registry.example.com"),
    "by digest, with report": lambda tx, r: tx.scans.report(tx.scans.by_digest(r.digest)),  # type: ignore[arg-type]
    "by CVE, first 100 images": lambda tx, r: tx.scans.with_cve(f"CVE-{2010 + r.size % 16}-10000"),
}


def _timed(
    tx: Transaction, chosen: list[Report], look: Callable[[Transaction, Report], object]
) -> list[float]:
    samples = []
    for one in chosen:
        began = time.perf_counter()
        found = look(tx, one)
        samples.append(time.perf_counter() - began)
        assert found is not None
    return samples


def _event(number: int, models: list[Report]) -> tuple[Event, Event]:
    named = scans.report(number, vulnerabilities=0)
    model = models[number % len(models)]
    report = msgspec.structs.replace(
        model, digest=named.digest, repository=named.repository, tag=named.tag, image_id=named.image_id
    )
    image = scans.image(report)
    name = report_name(report.registry, report.digest)
    tag = image_name(image.registry, image.repository, image.tag)
    return _signed(number, REPORT, name, report), _signed(number, IMAGE, tag, image)


def _signed(number: int, kind: str, name: str, value: msgspec.Struct) -> Event:
    body, encoding = codec.pack(codec.encode(value))
    event = events.build(
        address=subjects.Address(subjects.SCOPE_SCANS, subjects.SCAN, kind, name),
        type=events.SCAN_UPSERTED,
        source=source(FEDERATION),
        id=f"{number}-{kind}",
        time="2026-01-01T00:00:00.000Z",
        epoch=1,
        version=number + 1,
        revision=1,
        changeset=f"c{number // 500}",
        index=0,
        count=1,
        key_id=SIGNER.key_id,
        body=body,
        encoding=encoding,
    )
    signature = base64.b64encode(SIGNER.sign(event.statement)).decode()
    return msgspec.structs.replace(event, signature=signature)


def _fold(tx: Transaction, batch: list[Event]) -> None:
    """Do what a worker does with a batch: verify, decode, fold."""
    folding = tx.folding(subjects.SCOPE_SCANS)
    for number, made in enumerate(batch):
        event = verified(VERIFIER, FEDERATION, made.subject, made.headers(), made.body)
        folding.put(event, folding.seq + 1 + number, payload.check(event))
    folding.save()
