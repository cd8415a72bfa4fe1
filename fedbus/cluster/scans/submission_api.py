"""`POST /v1/scan/result/repository`: where scan results are submitted, the same on both daemons.

It is NeuVector's path and body, and takes every other format that is read too.
"""

from aiohttp import web

from fedbus.cluster.scans.submission import Submissions, Submitted
from fedbus.core.scan.identity import Given
from fedbus.errors import InvalidInput
from fedbus.scan.importers import MAX_BYTES, Format
from fedbus.web import respond
from fedbus.web.openapi import Parameter, described

PATH = "/v1/scan/result/repository"
READ_SECONDS = 120.0
"""Seconds a client may take to send a result."""

_TEXT: dict[str, object] = {"type": "string"}
_QUERY = (
    Parameter("into", _TEXT, "The registry, by its name here, whose results they become; else of pipelines"),
    Parameter("format", {"type": "string", "enum": list(Format)}, "What it is; found out unless given"),
    Parameter("registry", _TEXT, "Where the image lies: a host, or https://host/"),
    Parameter("repository", _TEXT, "The image's repository, instead of what the report says"),
    Parameter("tag", _TEXT, "The image's tag, instead of what the report says"),
    Parameter("digest", _TEXT, "The image's digest, instead of what the report says"),
)


def routes(submissions: Submissions) -> list[web.RouteDef]:
    """Make the route."""

    @described(body=object, answer=Submitted, query=_QUERY, tag="scan")
    async def submit(request: web.Request) -> web.Response:
        """Submit the result of a scan; a newer one of the same digest that is held stays."""
        form, given, into = _format(request), _given(request), request.query.get("into", "").strip()
        async with submissions.turns:
            raw = await respond.large_json(request, MAX_BYTES, READ_SECONDS)
            return respond.json(await submissions.submit(raw, given, form, into))

    return [web.post(PATH, submit)]


def _format(request: web.Request) -> Format | None:
    word = request.query.get("format", "")
    try:
        return Format(word) if word else None
    except ValueError as error:
        raise InvalidInput(f"{word!r} is no format", remedy=f"Known are: {', '.join(Format)}") from error


def _given(request: web.Request) -> Given:
    said = {name: request.query.get(name, "").strip() for name in Given.__struct_fields__}
    return Given(**said)
