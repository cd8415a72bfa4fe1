"""A client that behaves as a Kubernetes API server does towards a webhook."""

import copy
import io
import itertools
import json
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

DATA = Path(__file__).parents[1] / "data/admission"
SERVICE = "fedbus-webhook.fedbus.svc"

_uids = itertools.count(1)


def review(file: str = "deployment_admission_review", **request: Any) -> dict[str, Any]:
    """Return a real review with a new uid; `request` replaces fields of its request."""
    found: dict[str, Any] = json.loads((DATA / f"{file}.json").read_bytes())
    found["request"] |= {"uid": f"uid-{next(_uids)}"} | request
    return found


def pod_review(image: str, namespace: str = "shop", **request: Any) -> dict[str, Any]:
    """Return a review of a new pod with one container."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    return review(kind=kind, object=pod, namespace=namespace, name="p", **request)


def with_version(asked: dict[str, Any], version: str) -> dict[str, Any]:
    """Return a review of another version."""
    return copy.deepcopy(asked) | {"apiVersion": version}


class ApiServer:
    """Keeps a connection to a webhook, checks it by the CA bundle and the name of its service."""

    def __init__(self, url: str, ca_pem: str, *, service: str = SERVICE, timeout: str = "10s") -> None:
        self._url, self._service, self._timeout = url, service, timeout
        self._context = ssl.create_default_context(cadata=ca_pem)
        self.connections = 0
        """How many connections were opened."""

    async def __aenter__(self) -> Self:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._count)
        self._session = aiohttp.ClientSession(trace_configs=[trace])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def _count(self, *_: object) -> None:
        self.connections += 1

    async def send(
        self, body: bytes | dict[str, Any], *, timeout: str | None = None, **kwargs: Any
    ) -> tuple[int, dict[str, Any]]:
        """Send a body; return status and JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._session.post(
            f"{self._url}?timeout={timeout or self._timeout}",
            data=io.BytesIO(data),
            headers={"Content-Type": "application/json"},
            ssl=self._context,
            server_hostname=self._service,
            **kwargs,
        ) as response:
            text = await response.text()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, {"text": text}

    async def ask(self, asked: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Send a review; return its response, as an API server takes it: same version, same uid."""
        status, found = await self.send(asked, **kwargs)
        assert status == 200, (status, found)
        assert (found["kind"], found["apiVersion"]) == ("AdmissionReview", asked["apiVersion"])
        response: dict[str, Any] = found["response"]
        assert response["uid"] == asked["request"]["uid"]
        return response
