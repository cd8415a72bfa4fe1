"""Requests to one registry: authenticated, bounded in size and time, tried again where that may help."""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from yarl import URL

from fedbus.core.registry import retry
from fedbus.core.registry.access import Address, Credentials
from fedbus.runtime import Clock
from fedbus.scan.oci import challenge
from fedbus.scan.oci.errors import RegistryError, missing

TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=20)
MAX_TOKEN = 64 * 1024
MAX_REDIRECTS = 3
TOKEN_SECONDS = 60.0
"""How long a token is good for that does not say so (as the distribution API has it)."""
_HEADERS = {"User-Agent": "fedbus", "Accept-Encoding": "identity"}


class Answer(msgspec.Struct, frozen=True):
    """A successful answer, whole."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    media_type: str


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float = TOKEN_SECONDS


class Transport:
    """An open connection to one registry; an async context manager. Raises RegistryError throughout."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        clock: Clock,
        *,
        trust: ssl.SSLContext | None = None,
        proxy: bool = True,
    ) -> None:
        self.address, self._credentials, self._clock = address, credentials, clock
        self._base = f"{address.scheme}://{address.host}"
        connector = aiohttp.TCPConnector(ssl=trust or True, limit=16)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=TIMEOUT,
            headers=_HEADERS,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=proxy,
        )
        self._basic = False
        self._tokens: dict[str, tuple[str, float]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, *, accept: tuple[str, ...], limit: int, scope: str = "") -> Answer:
        """GET `path` (or an address on the same host); at most `limit` bytes of one of the `accept` types."""
        url = urljoin(self._base, path)
        if urlsplit(url)[:2] != urlsplit(self._base)[:2]:
            raise RegistryError(
                f"the registry goes on at another address, {url[:200]!r}", code="REGISTRY_PAGING"
            )
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._authenticated(url, accept, limit, scope)
            except _AgainError as error:
                pause = retry.pause(attempt, self._clock.jitter(), error.asked)
                if pause is None:
                    raise error.last from error
                await asyncio.sleep(pause)

    async def _authenticated(self, url: str, accept: tuple[str, ...], limit: int, scope: str) -> Answer:
        found = await self._follow(url, accept, limit, self._authorization(scope))
        if isinstance(found, Answer):
            return found
        return await self._met(found, url, accept, limit, scope)

    async def _met(
        self, wanted: list[str], url: str, accept: tuple[str, ...], limit: int, scope: str
    ) -> Answer:
        """Ask again with what the registry asked for."""
        asked = challenge.read(wanted)
        if asked.scheme == "Basic":
            self._basic = True
        elif not self._credentials.token:
            await self._fetch_token(asked, scope)
        authorization = self._authorization(scope)
        found = await self._follow(url, accept, limit, authorization) if authorization else wanted
        if isinstance(found, Answer):
            return found
        raise RegistryError(
            "the registry does not accept the credentials"
            if authorization
            else "the registry wants credentials",
            code="REGISTRY_UNAUTHORIZED",
            remedy="give a username and password, or a token, that may pull and list",
        )

    def _authorization(self, scope: str) -> str:
        held = self._credentials
        if held.token:
            return f"Bearer {held.token}"
        if self._basic and held.username:
            return held.basic
        token, until = self._tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and self._clock.monotonic() < until else ""

    async def _fetch_token(self, asked: challenge.Challenge, scope: str) -> None:
        challenge.check_realm(asked.realm, self.address)
        query = {
            key: value
            for key, value in (("service", asked.service), ("scope", asked.scope or scope))
            if value
        }
        url = str(URL(asked.realm).update_query(query))
        answer = await self._follow(url, ("application/json",), MAX_TOKEN, self._credentials.basic)
        if not isinstance(answer, Answer):
            raise RegistryError(
                f"no token from {urlsplit(url).netloc}: it does not accept the credentials",
                code="REGISTRY_UNAUTHORIZED",
                remedy="check username and password",
            )
        try:
            made = msgspec.json.decode(answer.body, type=_Token)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RegistryError("what should be a token cannot be read", code="REGISTRY_ANSWER") from error
        token = made.token or made.access_token
        if not token or not token.isascii() or not token.isprintable():
            raise RegistryError("the registry's token is empty or garbled", code="REGISTRY_ANSWER")
        lasts = min(max(made.expires_in, TOKEN_SECONDS), 3600.0)
        self._tokens[scope] = (token, self._clock.monotonic() + lasts * 0.9)

    async def _follow(
        self, url: str, accept: tuple[str, ...], limit: int, authorization: str
    ) -> Answer | list[str]:
        """Make a request and follow redirects; to another host without what opens this one.

        Returns the challenges of a 401.
        """
        began = urlsplit(url)
        for _ in range(MAX_REDIRECTS + 1):
            same = urlsplit(url)[:2] == began[:2]
            found = await self._once(url, accept, limit, authorization if same else "")
            if isinstance(found, list) and not same:
                raise RegistryError("the registry sends us to a host that wants credentials of its own")
            if not isinstance(found, str):
                return found
            url = urljoin(url, found)
            if urlsplit(url).scheme != "https" and began.scheme == "https":
                raise RegistryError("the registry redirects to an address without TLS", code="REGISTRY_TLS")
        raise RegistryError("the registry redirects without end", code="REGISTRY_ANSWER")

    async def _once(
        self, url: str, accept: tuple[str, ...], limit: int, authorization: str
    ) -> Answer | list[str] | str:
        headers = {"Accept": ", ".join(accept)} | ({"Authorization": authorization} if authorization else {})
        try:
            async with self._session.get(
                URL(url, encoded=True), headers=headers, allow_redirects=False
            ) as response:
                if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                    return response.headers["Location"]
                if response.status == 401:
                    return response.headers.getall("WWW-Authenticate", [])
                self._judge(response)
                media_type = response.content_type
                if media_type not in accept and not media_type.startswith(_READABLE):
                    raise RegistryError(
                        f"{urlsplit(url).netloc} answers {media_type!r} where a registry would not",
                        code="REGISTRY_ANSWER",
                        remedy="check the address: it may be a console or a proxy and not the registry",
                    )
                body = await _read(response, limit)
                return Answer(url, dict(response.headers), body, media_type)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise _unreachable(error, urlsplit(url).netloc) from error

    def _judge(self, response: aiohttp.ClientResponse) -> None:
        """Raise what an unsuccessful answer means."""
        status = response.status
        if status == 200:
            return
        if status == 404:
            raise missing("such name")
        if status == 403:
            raise RegistryError(
                "the registry does not let this user do that",
                code="REGISTRY_UNAUTHORIZED",
                remedy="the user needs the right to pull, and to list where filters have patterns",
            )
        if retry.transient(status):
            asked = retry.asked_for(response.headers.get("Retry-After", ""), self._clock.now())
            code = "REGISTRY_BUSY" if status == 429 else "REGISTRY_FAILED"
            raise _AgainError(RegistryError(f"the registry answers {status}", code=code), asked)
        raise RegistryError(f"the registry answers {status}", code="REGISTRY_FAILED")


_READABLE = "application/vnd.docker.distribution.manifest.v1+"
"""A manifest of schema 1 has an error of its own."""


class _AgainError(Exception):
    """Something that may not be so the next time."""

    def __init__(self, last: RegistryError, asked: float = 0.0) -> None:
        super().__init__(last.message)
        self.last, self.asked = last, asked


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_chunked(64 * 1024):
        size += len(chunk)
        if size > limit:
            raise RegistryError(
                f"the registry's answer is over {limit // 1024} KiB", code="REGISTRY_TOO_LARGE"
            )
        parts.append(chunk)
    return b"".join(parts)


def _unreachable(error: Exception, where: str) -> Exception:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return RegistryError(
            f"{where} is not trusted: {getattr(error, 'certificate_error', error)}",
            code="REGISTRY_TLS",
            remedy="name the CA that signed its certificate in the setting registry_ca",
        )
    if isinstance(error, TimeoutError):
        return _AgainError(
            RegistryError(f"{where} does not answer in time", code="REGISTRY_UNREACHABLE", remedy=_REACH)
        )
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return RegistryError(f"{where} answers with an address that is none", code="REGISTRY_ANSWER")
    failed = RegistryError(f"{where} cannot be reached: {error}", code="REGISTRY_UNREACHABLE", remedy=_REACH)
    return _AgainError(failed)


_REACH = "check the address, the network and the proxy"
