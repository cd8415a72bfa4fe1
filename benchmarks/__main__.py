"""`python -m benchmarks [NAME]...`: measure all or some, print a table, write results/latest.json.

A part of the benchmarks prints only; the file is written by a whole run that went well.
"""

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import (
    apply_rate,
    catch_up,
    decision,
    join_storm,
    latency,
    memory,
    ordered,
    scan_import,
    scan_lookup,
    scan_sync,
    webhook,
    writes,
)
from benchmarks.figures import Figure, save, show

RESULTS = Path(__file__).with_name("results") / "latest.json"
LIMIT_SECONDS = 240.0
"""What one benchmark may take; on a quiet machine none takes half of it."""
BENCHMARKS = {
    "latency": latency.measure,
    "apply_rate": apply_rate.measure,
    "writes": writes.measure,
    "catch_up": catch_up.measure,
    "join_storm": join_storm.measure,
    "ordered": ordered.measure,
    "memory": memory.measure,
    "scan_import": scan_import.measure,
    "scan_sync": scan_sync.measure,
    "scan_lookup": scan_lookup.measure,
    "decision": decision.measure,
    "webhook": webhook.measure,
}


async def main(chosen: list[str]) -> tuple[list[Figure], bool]:
    """Run benchmarks one after the other; one that fails is told and does not end the rest."""
    console = Console(stderr=True)
    figures: list[Figure] = []
    complete = True
    with tempfile.TemporaryDirectory(prefix="fedbus-bench-", ignore_cleanup_errors=True) as directory:
        for name in chosen:
            began = time.monotonic()
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    figures += await BENCHMARKS[name](Path(directory))
            except Exception:  # noqa: BLE001 - whatever it is, the other figures are worth having
                complete = False
                console.print_exception()
            console.print(f"{name}: {time.monotonic() - began:.0f} s")
    return figures, complete


if __name__ == "__main__":
    # asyncio's streams over uvloop's TLS warn about something that neither of them does
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    wanted = sys.argv[1:] or list(BENCHMARKS)
    if unknown := set(wanted) - set(BENCHMARKS):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    measured, whole = uvloop.run(main(wanted))
    show(measured)
    if whole and set(wanted) == set(BENCHMARKS):
        save(measured, RESULTS)
    sys.exit(0 if whole else 1)
