"""What surrounds every request."""

import structlog
from aiohttp import ClientSession, web

from fedbus.errors import Conflict, FedbusError, Forbidden, NotFound, RateLimited, Refused, Unavailable
from fedbus.web import respond
from fedbus.web.app import new_app

from .conftest import Serve


def app_that_raises(error: Exception) -> web.Application:
    async def fail(_request: web.Request) -> web.Response:
        raise error

    app = new_app(max_body=1000)
    app.router.add_get("/fail", fail)
    return app


async def problem(client: ClientSession, path: str = "/fail") -> dict[str, object]:
    async with client.get(path) as answer:
        assert answer.content_type == "application/problem+json"
        found: dict[str, object] = await answer.json(content_type=None)
        assert found["status"] == answer.status
        return found


async def test_an_error_is_a_problem_with_neuvectors_fields_beside(serve: Serve) -> None:
    client = await serve(
        app_that_raises(Refused("The token was used", code="TOKEN_USED", remedy="Make a new one"))
    )

    found = await problem(client)

    request_id = found.pop("request_id")
    assert isinstance(request_id, str)
    assert found == {
        "type": "urn:fedbus:problem:token-used",
        "title": "Federation operation refused",
        "status": 403,
        "detail": "The token was used",
        "instance": "/fail",
        "code": 39,
        "error": "Federation operation refused",
        "message": "The token was used",
        "reason": "TOKEN_USED",
        "remedy": "Make a new one",
    }


async def test_each_class_of_error_has_its_status(serve: Serve) -> None:
    expected: list[tuple[FedbusError, int, str, object]] = [
        (Conflict("Somebody was faster", current_revision=7), 409, "current_revision", 7),
        (Unavailable("The bus is down", idempotency_key="k1"), 503, "idempotency_key", "k1"),
        (RateLimited("Slowly", retry_after=3.0), 429, "retry_after", 3.0),
        (Forbidden("No", code="FEDERATED_READ_ONLY"), 403, "code", 46),
        (NotFound("Nothing there"), 404, "code", 7),
        (FedbusError("Odd"), 500, "reason", "INTERNAL"),
    ]
    for error, status, field, value in expected:
        found = await problem(await serve(app_that_raises(error)))

        assert (found["status"], found[field]) == (status, value)


async def test_a_crash_tells_the_client_nothing_but_the_request_id(serve: Serve) -> None:
    client = await serve(app_that_raises(KeyError("secret detail")))

    with structlog.testing.capture_logs() as lines:
        found = await problem(client)

    assert found["status"] == 500
    assert "secret detail" not in str(found)
    assert "Traceback" not in str(found)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["request_crashed"]


async def test_unknown_route_wrong_method_and_large_body_are_problems_too(serve: Serve) -> None:
    async def read(request: web.Request) -> web.Response:
        return respond.json(await respond.body(request, dict[str, str]))

    app = app_that_raises(KeyError())
    app.router.add_post("/read", read)
    client = await serve(app)

    assert (await problem(client, "/nowhere"))["reason"] == "ROUTE_NOT_FOUND"
    async with client.delete("/read") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    async with client.post("/read", json={"a": "x" * 1001}) as answer:
        assert answer.status == 413
        assert (await answer.json(content_type=None))["reason"] == "TOO_LARGE"


async def test_a_request_is_one_log_line_without_its_query(serve: Serve) -> None:
    client = await serve(app_that_raises(NotFound("No")))

    with structlog.testing.capture_logs() as lines:
        async with client.get("/fail?token=abc", headers={"X-Request-Id": "mine-1"}) as answer:
            assert answer.headers["X-Request-Id"] == "mine-1"

    (line,) = [line for line in lines if line["event"] == "http_request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/fail", 404)
    assert "abc" not in str(lines)


async def test_a_request_id_that_could_forge_a_log_line_is_replaced(serve: Serve) -> None:
    client = await serve(app_that_raises(NotFound("No")))

    async with client.get("/fail", headers={"X-Request-Id": "a b" * 40}) as answer:
        assert len(answer.headers["X-Request-Id"]) == 16


async def test_every_answer_has_security_headers(serve: Serve) -> None:
    client = await serve(app_that_raises(NotFound("No")))

    async with client.get("/fail") as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "fedbus"
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
