"""The way to a bus, one step at a time: name, TCP, TLS. For a diagnosis; sessions go it in one go."""

import asyncio
import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

from fedbus.bus.explain import explain
from fedbus.bus.session import CONNECT_TIMEOUT
from fedbus.core import connectivity
from fedbus.errors import FedbusError
from fedbus.pki.ca import client_context

DEFAULT_PORT = 4222
_GREETING_SECONDS = 1.0


def address(url: str) -> tuple[str, int]:
    """Return host and port of a bus's address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or DEFAULT_PORT


async def resolve(url: str) -> str:
    """Return the addresses that a bus's name stands for. Raises FedbusError: NAME_UNRESOLVED."""
    host, port = address(url)
    try:
        return f"{ipaddress.ip_address(host)} is an address"
    except ValueError:
        pass
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise connectivity.error("NAME_UNRESOLVED", f"the resolver is silent about {host}") from error
    except (OSError, UnicodeError) as error:
        raise connectivity.error("NAME_UNRESOLVED", f"the name {host} does not resolve: {error}") from error
    return f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}"


async def dial(url: str) -> str:
    """Open a TCP connection and close it. Raises FedbusError: TCP_*."""
    host, port = address(url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise explain(error, url) from error
    _close(writer)
    return f"{host} port {port} accepts connections"


async def shake_hands(url: str, ca_pem: bytes) -> str:
    """Do the TLS handshake that every session begins with. Raises FedbusError: TLS_*."""
    host, port = address(url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(
                host, port, ssl=client_context(ca_pem), server_hostname=host
            )
    except (OSError, ssl.SSLError) as error:
        raise await _no_handshake(error, url) from error
    version = writer.get_extra_info("ssl_object").version()
    _close(writer)
    return f"{version}, certificate signed by the pinned CA"


async def _no_handshake(error: OSError, url: str) -> FedbusError:
    why = explain(error, url)
    if why.code.startswith("TLS_") and why.code != "TLS_UNTRUSTED":
        return why
    if await _greets(url):
        message = f"the server at {url} greets in plaintext, so it is not the federation's bus"
        return connectivity.error("TLS_PLAINTEXT", message)
    if why.code == "TLS_UNTRUSTED":
        return why
    # The step before has shown that the port is open.
    return connectivity.error("TLS_FAILED", f"the server at {url} ended the handshake: {why.message}")


async def _greets(url: str) -> bool:
    """Tell whether a server speaks before it is spoken to; a bus with TLS first never does."""
    host, port = address(url)
    try:
        async with asyncio.timeout(_GREETING_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return bool(await reader.read(1))
            finally:
                _close(writer)
    except OSError:
        return False


def _close(writer: asyncio.StreamWriter) -> None:
    # Not awaited: a server that keeps its end open must not keep us.
    writer.transport.abort()
