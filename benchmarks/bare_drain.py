"""A child process that only fetches: `python -m benchmarks.bare_drain COUNT`; access as in `bare`."""

import os
import sys

import msgspec
import uvloop

from benchmarks.bare import ACCESS, Access, drain
from benchmarks.stopwatch import Stopwatch, end_with_parent, take_stdout


async def main(access: Access, count: int, stopwatch: Stopwatch) -> None:
    client = await access.connect()
    await drain(client.jetstream(), "POLICY", "fed.v1.ev.all.>", count)
    stopwatch.reached("bare", count)
    await client.close()


if __name__ == "__main__":
    out = take_stdout()
    end_with_parent()
    where = msgspec.json.decode(os.environ[ACCESS], type=Access)
    uvloop.run(main(where, int(sys.argv[1]), Stopwatch(out, 1)))
