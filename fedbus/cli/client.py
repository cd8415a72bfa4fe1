"""The REST API as the commands use it: verified TLS, our credentials, problems as errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from fedbus.cli.errors import CliError, from_answer
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.profiles import Profile
from fedbus.errors import InvalidInput
from fedbus.pki.ca import client_context

TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=45)
"""A stream that says nothing for three of the server's heartbeats is dead."""


class Api:
    """An open connection to one daemon; an async context manager. Raises CliError throughout."""

    def __init__(self, target: Profile) -> None:
        self.url = target.url.rstrip("/")
        if not self.url.startswith("https://"):
            raise CliError(f"{self.url} is no https:// address", code=ExitCode.USAGE)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_trust(target)), headers=_credentials(target), timeout=TIMEOUT
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> dict[str, object]:
        """Read `path`."""
        return await self.call("GET", path, query=query)

    async def post(self, path: str, sent: object) -> dict[str, object]:
        """Send a struct or plain data as JSON."""
        return await self.call("POST", path, raw=msgspec.json.encode(sent))

    async def call(
        self,
        method: str,
        path: str,
        *,
        raw: bytes | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        accept: frozenset[int] = frozenset({200, 201}),
    ) -> dict[str, object]:
        """Make a request and return the JSON object of its answer; a status not in `accept` is an error."""
        about = {"Content-Type": content_type} if raw is not None else {}
        try:
            async with self._session.request(
                method,
                self.url + path,
                data=raw,
                headers=about | (headers or {}),
                params=query or None,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if answer.status not in accept:
            raise from_answer(answer.status, body)
        try:
            return msgspec.json.decode(body or b"{}", type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CliError(f"{self.url} does not answer like fedbus", code=ExitCode.UNREACHABLE) from error

    async def events(self, types: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (event, JSON) as they come; first of all `("", b"")` when the stream is open.

        Ends when the server ends the stream; raises CliError when it cannot be opened or breaks.
        """
        try:
            async with self._session.get(
                f"{self.url}/v1/events", params={"types": types}, timeout=STREAM_TIMEOUT
            ) as answer:
                if answer.status != 200:
                    raise from_answer(answer.status, await answer.read())
                yield "", b""
                name = ""
                async for line in answer.content:
                    field, _, value = line.rstrip(b"\n").partition(b": ")
                    if field == b"event":
                        name = value.decode()
                    elif field == b"data":
                        yield name, value
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:  # noqa: UP041 - aiohttp's own
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> CliError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            remedy = "Give the daemon's CA with --ca FILE: it is tls/ca.pem in its data directory"
            return CliError(
                f"{self.url} is not trusted: {error.certificate_error}",
                remedy=remedy,
                code=ExitCode.UNREACHABLE,
            )
        if isinstance(error, TimeoutError):
            return CliError(f"{self.url} does not answer in time", code=ExitCode.UNAVAILABLE)
        return CliError(f"{self.url} cannot be reached: {error}", code=ExitCode.UNREACHABLE)


def _trust(target: Profile) -> ssl.SSLContext:
    if not target.ca:
        return ssl.create_default_context()
    try:
        return client_context(Path(target.ca).expanduser().read_bytes())
    except (OSError, InvalidInput) as error:
        raise CliError(f"Cannot use the CA file {target.ca}: {error}", code=ExitCode.USAGE) from error


def _credentials(target: Profile) -> dict[str, str]:
    if target.api_key_file:
        return {"X-Auth-Apikey": secret_from(Path(target.api_key_file))}
    if target.token_file:
        return {"X-Auth-Token": secret_from(Path(target.token_file))}
    return {}


def secret_from(file: Path) -> str:
    """Read a secret from a file; raises CliError that does not show it."""
    try:
        secret = file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise CliError(f"Cannot read {file}: {why}", code=ExitCode.USAGE) from error
    if not secret or not secret.isprintable():
        raise CliError(f"{file} does not hold a secret", code=ExitCode.USAGE)
    return secret
