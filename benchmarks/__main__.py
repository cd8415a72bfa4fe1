"""`python -m benchmarks [latency] [apply_rate] [memory]`: measure, print a table, write results/latest.json.

A part of the benchmarks prints only; the file is written by a whole run.
"""

import sys
import tempfile
import time
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import apply_rate, latency, memory
from benchmarks.figures import Figure, save, show

RESULTS = Path(__file__).with_name("results") / "latest.json"
BENCHMARKS = {"latency": latency.measure, "apply_rate": apply_rate.measure, "memory": memory.measure}


async def main(chosen: list[str]) -> list[Figure]:
    console = Console(stderr=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="fedbus-bench-", ignore_cleanup_errors=True) as directory:
        for name in chosen:
            began = time.monotonic()
            figures += await BENCHMARKS[name](Path(directory))
            console.print(f"{name}: {time.monotonic() - began:.0f} s")
    return figures


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(BENCHMARKS)
    if unknown := set(wanted) - set(BENCHMARKS):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    measured = uvloop.run(main(wanted))
    show(measured)
    if set(wanted) == set(BENCHMARKS):
        save(measured, RESULTS)
