"""Who may ask, with a clock in the test's hand."""

import asyncio
import hmac
from collections import Counter
from pathlib import Path

import pytest
import structlog
from aiohttp import ClientSession, web

from fedbus.pki.ca import client_context
from fedbus.web import auth as auth_module
from fedbus.web import respond
from fedbus.web.app import new_app
from fedbus.web.auth import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT, Authenticator, generate_password, principal
from fedbus.web.throttle import FREE_ATTEMPTS
from fedbus.web.tls import RestTls

from .conftest import Serve

PASSWORD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def auth(tmp_path: Path, clock: Clock) -> Authenticator:
    made = Authenticator(tmp_path, clock=clock)
    await made.set_password(PASSWORD)
    return made


@pytest.fixture
async def client(serve: Serve, auth: Authenticator) -> ClientSession:
    async def who(request: web.Request) -> web.Response:
        return respond.json(principal(request))

    app = new_app(auth)
    app.router.add_get("/who", who)
    app.router.add_get("/livez", who)
    return await serve(app)


async def log_in(client: ClientSession, password: str = PASSWORD, username: str = "admin") -> tuple[int, str]:
    sent = {"password": {"username": username, "password": password}}
    async with client.post("/v1/auth", json=sent) as answer:
        found = await answer.json(content_type=None)
        return answer.status, found["token"]["token"] if answer.status == 200 else found["reason"]


async def status(client: ClientSession, **headers: str) -> int:
    async with client.get("/who", headers={key.replace("_", "-"): v for key, v in headers.items()}) as answer:
        return answer.status


async def test_nothing_but_the_open_paths_answers_without_credentials(client: ClientSession) -> None:
    assert await status(client) == 401
    async with client.get("/nowhere") as answer:
        assert answer.status == 401  # what exists is nobody's business either
    async with client.get("/livez") as answer:
        assert answer.status == 200


async def test_a_login_opens_a_session_and_a_logout_ends_it(client: ClientSession) -> None:
    _, token = await log_in(client)

    async with client.get("/who", headers={"X-Auth-Token": token}) as answer:
        assert await answer.json() == {"name": "admin", "method": "password", "remote": "127.0.0.1"}
    async with client.delete("/v1/auth", headers={"X-Auth-Token": token}) as answer:
        assert answer.status == 200
    assert await status(client, X_Auth_Token=token) == 401


@pytest.mark.parametrize(("password", "username"), [("wrong", "admin"), (PASSWORD, "root"), ("", "")])
async def test_a_wrong_name_and_a_wrong_password_are_the_same_answer(
    client: ClientSession, password: str, username: str
) -> None:
    assert await log_in(client, password, username) == (401, "UNAUTHORIZED")


async def test_there_is_no_password_before_one_is_set(tmp_path: Path, serve: Serve, clock: Clock) -> None:
    client = await serve(new_app(Authenticator(tmp_path / "fresh", clock=clock)))

    assert await log_in(client, "") == (401, "UNAUTHORIZED")
    assert await log_in(client, "admin") == (401, "UNAUTHORIZED")


async def test_a_session_ends_when_idle_and_when_old(client: ClientSession, clock: Clock) -> None:
    _, token = await log_in(client)
    clock.now += IDLE_TIMEOUT + 1
    assert await status(client, X_Auth_Token=token) == 401

    _, token = await log_in(client)
    for _ in range(int(ABSOLUTE_TIMEOUT / IDLE_TIMEOUT)):
        clock.now += IDLE_TIMEOUT
        assert await status(client, X_Auth_Token=token) == 200
    clock.now += IDLE_TIMEOUT
    assert await status(client, X_Auth_Token=token) == 401


async def test_a_new_password_ends_every_session(client: ClientSession, auth: Authenticator) -> None:
    _, token = await log_in(client)

    await auth.set_password("another one")

    assert await status(client, X_Auth_Token=token) == 401
    assert (await log_in(client))[0] == 401
    assert (await log_in(client, "another one"))[0] == 200


async def test_the_api_key_of_the_machine_opens_everything(
    client: ClientSession, auth: Authenticator
) -> None:
    key = auth.api_key_file.read_text().strip()

    assert await status(client, X_Auth_Apikey=key) == 200
    assert await status(client, X_Auth_Apikey=key[:-1]) == 401
    assert await status(client, X_Auth_Apikey="") == 401
    assert await status(client, X_Auth_Apikey="\xff\u20ac".encode().decode("latin-1")) == 401


async def test_an_api_key_with_bytes_that_are_no_text_is_a_wrong_one(
    client: ClientSession, tls: RestTls
) -> None:
    async with client.get("/livez") as answer:
        address = (answer.url.host, answer.url.port)
    trust = client_context(tls.ca_file.read_bytes())
    reader, writer = await asyncio.open_connection(*address, ssl=trust)
    writer.write(b"GET /who HTTP/1.1\r\nHost: a\r\nX-Auth-Apikey: \xff\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    await writer.wait_closed()


async def test_failed_logins_are_slowed_down_and_the_wait_is_told(
    client: ClientSession, clock: Clock
) -> None:
    for _ in range(FREE_ATTEMPTS):
        assert (await log_in(client, "wrong"))[0] == 401

    assert await log_in(client) == (429, "RATE_LIMITED")  # the right password does not help now
    async with client.post("/v1/auth", json={"password": {"username": "a", "password": "b"}}) as answer:
        assert answer.headers["Retry-After"] == "1"
    clock.now += 1.0
    assert (await log_in(client))[0] == 200
    assert (await log_in(client, "wrong"))[0] == 401  # the slate is clean again


async def test_attempts_at_the_same_time_do_not_get_around_the_limit(client: ClientSession) -> None:
    answers = await asyncio.gather(*(log_in(client, "wrong") for _ in range(FREE_ATTEMPTS * 3)))

    assert Counter(status for status, _ in answers) == {401: FREE_ATTEMPTS, 429: FREE_ATTEMPTS * 2}


async def test_secrets_are_compared_in_constant_time(
    client: ClientSession, auth: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[object] = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(auth_module, "hmac", type("Hmac", (), {"compare_digest": staticmethod(spy)}))
    await status(client, X_Auth_Apikey="local:guess")
    await log_in(client, "guess")

    assert compared == [b"local:guess", b"admin"]


async def test_secrets_lie_in_files_of_their_owner_alone_and_survive_a_restart(
    auth: Authenticator, tmp_path: Path, clock: Clock
) -> None:
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("auth.json", "api-key")}
    assert modes == dict.fromkeys(modes, 0o600)
    key = auth.api_key_file.read_bytes()

    again = Authenticator(tmp_path, clock=clock)

    assert again.api_key_file.read_bytes() == key
    assert await again.login("admin", PASSWORD, "here")
    assert PASSWORD not in (tmp_path / "auth.json").read_text()


async def test_no_secret_reaches_the_log(client: ClientSession) -> None:
    with structlog.testing.capture_logs() as lines:
        _, token = await log_in(client)
        await log_in(client, "mistyped secret")
        await status(client, X_Auth_Token=token)

    assert lines
    assert not any(secret in str(lines) for secret in (PASSWORD, "mistyped secret", token))


def test_a_generated_password_has_the_strength_of_its_bytes() -> None:
    assert generate_password(bytes(15)) == "aaaaaa-aaaaaa-aaaaaa-aaaaaa"
    assert generate_password(bytes(range(15))) != generate_password(bytes(range(1, 16)))
    with pytest.raises(ValueError, match="15"):
        generate_password(b"short")
