"""A keep-alive HTTPS connection that adds next to nothing to what is measured: bytes out, bytes in."""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import msgspec


class Rest:
    """One connection to a daemon's REST API, found by the note in its data directory."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader, self._writer, self._head = reader, writer, head

    @classmethod
    async def open(cls, data_dir: Path) -> Self:
        """Connect, TLS verified, with the daemon's own API key."""
        url, context, key = _access(data_dir)
        reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
        return cls(reader, writer, f"Host: {url.netloc}\r\nX-Auth-Apikey: {key}\r\n")

    def request(self, path: str, body: object = None, method: str = "POST") -> bytes:
        """Return a request as the bytes to send."""
        data = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Type: application/json\r\n"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data

    async def send(self, request: bytes) -> dict[str, Any]:
        """Send a request and return the JSON of its answer. Raises what `exchange` raises."""
        answer: dict[str, Any] = msgspec.json.decode(await self.exchange(request))
        return answer

    async def exchange(self, request: bytes) -> bytes:
        """Send a request and return the bytes of its answer. Raises RuntimeError for anything but a 200."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:"))
        data = await self._reader.readexactly(int(length))
        if " 200 " not in head.split("\r\n", 1)[0]:
            raise RuntimeError(f"the request was refused: {data.decode()}")
        return data

    def close(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()


def _access(data_dir: Path) -> tuple[SplitResult, ssl.SSLContext, str]:
    note = msgspec.json.decode((data_dir / "daemon.json").read_bytes())
    key = Path(note["api_key_file"]).read_text().strip()
    return urlsplit(note["url"]), ssl.create_default_context(cafile=note["ca"]), key
