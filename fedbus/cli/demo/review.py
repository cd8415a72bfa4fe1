"""Asking an admission webhook as a Kubernetes API server does: an AdmissionReview over TLS."""

import ssl
from pathlib import Path

import aiohttp
import msgspec

from fedbus.cli.errors import CliError
from fedbus.web.server import DaemonNote

SECONDS = 5
"""What an API server is told to wait for the demo's webhooks."""


_UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


class Status(msgspec.Struct, frozen=True):
    """Why a review was denied."""

    message: str = ""


class Response(msgspec.Struct, frozen=True):
    """The answer to a review."""

    uid: str
    allowed: bool
    status: Status = Status()
    warnings: list[str] = []


class _Review(msgspec.Struct, frozen=True):
    response: Response


def review(uid: str, image: str) -> dict[str, object]:
    """Return the review of a pod with one container, in the namespace `shop`."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"containers": [{"name": "orders", "image": image}]},
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "deployer"},
            "object": pod,
        },
    }


def note(directory: Path) -> DaemonNote:
    """Return what the daemon that owns `directory` says of where it is."""
    return msgspec.json.decode((directory / "daemon.json").read_bytes(), type=DaemonNote)


async def ask(directory: Path, image: str) -> Response:
    """Send a review to the webhook of the daemon that owns `directory`. Raises CliError."""
    reached = note(directory)
    trust = ssl.create_default_context(cafile=reached.ca)
    sent = review(_UID, image)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
            session.post(f"{reached.webhook}?timeout={SECONDS}s", json=sent) as answer,
        ):
            body = await answer.read()
    except aiohttp.ClientError as error:
        raise CliError(f"the webhook {reached.webhook} does not answer: {error}") from error
    try:
        response = msgspec.json.decode(body, type=_Review).response
    except msgspec.DecodeError as error:
        raise CliError(f"the webhook's answer makes no sense: {body[:200]!r}") from error
    if response.uid != _UID:
        raise CliError(f"the webhook answers another review: {response.uid}")
    return response
