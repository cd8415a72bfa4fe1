"""Who asks: one administrator with a password, and the API key of the machine itself.

The password is generated at promote or join and shown once; there is no default one. The API key
lies in the data directory, readable to the daemon's own user alone, so that the CLI beside the
daemon needs no login. Sessions live in memory: a restart logs everybody out.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import argon2
import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fedbus.errors import RateLimited, Unauthorized
from fedbus.pki import files
from fedbus.web import respond
from fedbus.web.openapi import described
from fedbus.web.throttle import Throttle

T = TypeVar("T")

ADMIN = "admin"
IDLE_TIMEOUT = 900.0
"""Seconds without a request after which a session ends."""
ABSOLUTE_TIMEOUT = 8 * 3600.0
"""Seconds after which a session ends however busy it is."""
MAX_SESSIONS = 256

OPEN_PATHS = frozenset({"/livez", "/readyz", "/version", "/v1/auth", "/openapi.json"})
"""Paths anybody may ask for."""

_log = structlog.get_logger("fedbus.web")


class Principal(msgspec.Struct, frozen=True):
    """Who asks: the name, how it was proved (`password` or `api-key`), and from where."""

    name: str
    method: str
    remote: str


_PRINCIPAL = web.RequestKey("principal", Principal)


class Credentials(msgspec.Struct):
    """Who logs in."""

    username: str
    password: str


class Login(msgspec.Struct):
    """NeuVector's log-in."""

    password: Credentials


class _Stored(msgspec.Struct):
    username: str
    hash: str


class _Session(msgspec.Struct):
    username: str
    started: float
    used: float


def generate_password(random_bytes: bytes) -> str:
    """Make a password a person can type from at least 15 random bytes (8 bits each)."""
    if len(random_bytes) < 15:
        raise ValueError("a password needs at least 15 random bytes")
    letters = base64.b32encode(random_bytes).decode().rstrip("=").lower()
    return "-".join(letters[i : i + 6] for i in range(0, len(letters), 6))


def principal(request: web.Request) -> Principal | None:
    """Who asks, or None on an open path."""
    return request.get(_PRINCIPAL)


class Authenticator:
    """Checks passwords, sessions and the API key of one daemon.

    `clock` is monotonic, in seconds; `also_open` are paths that need no credential either. Opening makes
    the API key when there is none yet.
    """

    def __init__(
        self, data_dir: Path, *, clock: Callable[[], float], also_open: frozenset[str] = frozenset()
    ) -> None:
        self._clock = clock
        self._open = OPEN_PATHS | also_open
        files.make_directory(data_dir)
        self._password_file = data_dir / "auth.json"
        self.api_key_file = data_dir / "api-key"
        self._api_key = _read(self.api_key_file)
        if not self._api_key:
            self._api_key = f"local:{secrets.token_urlsafe(32)}".encode()
            files.write(self.api_key_file, self._api_key + b"\n")
        self._sessions: dict[bytes, _Session] = {}
        self._throttle = Throttle()
        # OWASP's smaller argon2id setting: 19 MiB, so that a login does not double a worker's memory.
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._hashing = asyncio.Semaphore(1)
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def set_password(self, password: str) -> None:
        """Make `password` the administrator's, and end every session of the old one."""
        hashed = await self._work(self._hasher.hash, password)
        files.write(self._password_file, msgspec.json.encode(_Stored(ADMIN, hashed)))
        self._sessions.clear()

    async def login(self, username: str, password: str, remote: str) -> str:
        """Open a session and return its token; raises Unauthorized or RateLimited."""
        # Counted before it is checked: a thousand attempts at once are a thousand attempts.
        wait = self._throttle.attempt(remote, self._clock())
        if wait > 0:
            _log.warning("login_throttled", remote=remote)
            raise RateLimited("Too many failed logins from this address", retry_after=wait)
        raw = _read(self._password_file)
        stored = msgspec.json.decode(raw, type=_Stored) if raw else _Stored(ADMIN, self._nobody)
        right_password = await self._work(self._verify, stored.hash, password)
        if not (hmac.compare_digest(username.encode(), stored.username.encode()) and right_password):
            _log.warning("login_failed", remote=remote)
            raise Unauthorized(
                "Wrong user name or password",
                remedy="The password was shown once, when the cluster was promoted or joined",
            )
        self._throttle.succeeded(remote)
        return self._open_session(stored.username)

    def logout(self, token: str) -> None:
        """End the session of `token`, if there is one."""
        self._sessions.pop(_digest(token), None)

    def alive(self, request: web.Request) -> bool:
        """Whether the request's credential still holds: for streams that outlive their session."""
        token = request.headers.get("X-Auth-Token")
        return token is None or self._session(token) is not None

    def identify(self, request: web.Request) -> Principal:
        """Say who asks; raises Unauthorized."""
        remote = request.remote or ""
        if (key := _api_key(request)) is not None:
            if hmac.compare_digest(key.strip().encode("utf-8", "surrogateescape"), self._api_key):
                return Principal("local", "api-key", remote)
            raise Unauthorized(
                "The API key is wrong", remedy=f"It is in {self.api_key_file.name} in the data directory"
            )
        if (token := request.headers.get("X-Auth-Token")) is not None:
            if (session := self._session(token)) is not None:
                session.used = self._clock()
                return Principal(session.username, "password", remote)
            raise Unauthorized("The session has ended", remedy="Log in again: POST /v1/auth")
        raise Unauthorized("Credentials are missing", remedy="Send X-Auth-Token or X-Auth-Apikey")

    def middleware(self) -> Middleware:
        """Let nobody unknown past, but on open paths."""

        @web.middleware
        async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path not in self._open:
                request[_PRINCIPAL] = self.identify(request)
            return await handler(request)

        return authenticate

    def routes(self) -> list[web.RouteDef]:
        """Make the routes of `/v1/auth`, in NeuVector's shape."""
        return [web.post("/v1/auth", self._post), web.delete("/v1/auth", self._delete)]

    @described("Log in: the answer has the token of a session", body=Login, open=True, tag="session")
    async def _post(self, request: web.Request) -> web.Response:
        sent = await respond.body(request, Login)
        token = await self.login(sent.password.username, sent.password.password, request.remote or "")
        described = {"token": token, "username": ADMIN, "fullname": ADMIN, "role": "fedAdmin", "server": "",
                     "timeout": int(IDLE_TIMEOUT)}  # fmt: skip
        return respond.json({"token": described, "need_to_reset_password": False})

    @described("Log out", open=True, tag="session")
    async def _delete(self, request: web.Request) -> web.Response:
        self.logout(request.headers.get("X-Auth-Token", ""))
        return respond.json({})

    async def _work(self, function: Callable[..., T], *args: str) -> T:
        # One at a time, in a thread: neither memory nor the event loop is at the mercy of callers.
        async with self._hashing:
            return await asyncio.to_thread(function, *args)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    def _open_session(self, username: str) -> str:
        now = self._clock()
        self._sessions = {key: s for key, s in self._sessions.items() if not _over(s, now)}
        if len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used)]
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = _Session(username, now, now)
        return token

    def _session(self, token: str) -> _Session | None:
        # Looked up by digest, so that the time of the look-up says nothing about the token.
        session = self._sessions.get(_digest(token))
        if session is not None and _over(session, self._clock()):
            del self._sessions[_digest(token)]
            return None
        return session


def _over(session: _Session, now: float) -> bool:
    return now - session.used > IDLE_TIMEOUT or now - session.started > ABSOLUTE_TIMEOUT


def _api_key(request: web.Request) -> str | None:
    """Return the API key a request brings: in our header or as a bearer, which is what Prometheus can."""
    if (key := request.headers.get("X-Auth-Apikey")) is not None:
        return key
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return bearer if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _read(secret: Path) -> bytes:
    try:
        return secret.read_bytes().strip()
    except FileNotFoundError:
        return b""
