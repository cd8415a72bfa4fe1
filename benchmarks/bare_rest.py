"""The floor of a list: `python -m benchmarks.bare_rest DIR FILE` serves a file over HTTPS, from memory."""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from benchmarks.stopwatch import Stopwatch, end_with_parent, take_stdout
from fedbus.pki import files
from fedbus.runtime import Clock, stop_on_signals
from fedbus.web.server import RestServer
from fedbus.web.tls import RestTls


async def main(directory: Path, body: bytes, stopwatch: Stopwatch) -> None:
    clock, stop, key = Clock(), asyncio.Event(), directory / "api-key"
    files.make_directory(directory)
    key.write_text("none is asked for")
    tls = RestTls(directory, ["127.0.0.1"], now=clock.now(), randomness=clock.random_bytes)
    app = web.Application()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app.add_routes([web.get("/", answer)])
    server = RestServer(app, "127.0.0.1", 0, tls.context)
    await server.start()
    server.announce(directory, ca=tls.ca_file, api_key_file=key, role="bare")
    stopwatch.reached("server", 0)
    with stop_on_signals(stop):
        await server.run(stop)


if __name__ == "__main__":
    out = take_stdout()
    end_with_parent()
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), Stopwatch(out, 1)))
