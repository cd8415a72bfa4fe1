"""Reading a Kubernetes API: GET as JSON, and watches line by line.

Who to talk to and as whom (kubeconfig, service account, exec plug-ins, client certificates, tokens that
rotate) is lightkube's; its typed resources are left alone, they would cost a worker more memory than all of
its inventory.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import yaml

from fedbus.errors import ConfigError, FedbusError, Forbidden, NotFound, Unavailable

if TYPE_CHECKING:
    import httpx2

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes of one event of a watch: more than an API server can store of one object."""
DEFAULT_KUBECONFIG: Final = "~/.kube/config"
TIMEOUT: Final = 30.0
"""Seconds to wait for the next bytes of an answer."""


class Gone(FedbusError):
    """The API server no longer has the version that was asked for: list again."""

    code = "RESOURCE_GONE"


class KubernetesApi:
    """One API server. Every call raises Unavailable, Forbidden, NotFound or Gone as it answers."""

    def __init__(self, client: "httpx2.AsyncClient") -> None:
        self._client = client

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return what lies at a path."""
        with _explained():
            response = await self._client.get(path, params=dict(params or {}))
        _check(response.status_code, path)
        return parsed(response.content)

    async def lines(self, path: str, params: Mapping[str, str], timeout: float) -> AsyncIterator[bytes]:
        """Yield the lines of a watch until the server ends it; `timeout` is how long it may be silent."""
        rest = b""
        with _explained():
            async with self._client.stream("GET", path, params=dict(params), timeout=timeout) as response:
                _check(response.status_code, path)
                async for chunk in response.aiter_bytes():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield line
                    if len(rest) > MAX_LINE:
                        raise Unavailable(f"an event of {path} is larger than {MAX_LINE} bytes")


@contextlib.asynccontextmanager
async def connected(
    source: Literal["in-cluster", "kubeconfig"], kubeconfig: Path | None = None, context: str = ""
) -> AsyncIterator[KubernetesApi]:
    """Make a client; nothing is sent yet. Raises ConfigError where it is not told whom to talk to."""
    try:
        from lightkube.config import client_adapter  # noqa: PLC0415 - its memory only where it is used
        from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415
        from lightkube.core.exceptions import ConfigError as WrongConfig  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "the setting `kubernetes` needs a library that is not installed",
            remedy="pip install 'fedbus[kubernetes]'",
        ) from error
    try:
        if source == "in-cluster":
            known = KubeConfig.from_service_account()
        else:
            known = KubeConfig.from_file(kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG)
        parameters = client_adapter.ConnectionParams(trust_env=False)
        # None is only what it returns where a default is given.
        client = client_adapter.AsyncClient(known.get(context or None), parameters)  # type: ignore[arg-type]
    except (
        WrongConfig,
        yaml.YAMLError,
        OSError,
        AssertionError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise ConfigError(
            f"cannot find the Kubernetes API by {kubeconfig or source}: {error}",
            code="KUBECONFIG_INVALID",
            remedy="check the settings kubernetes, kubeconfig and kubernetes_context",
        ) from error
    client.timeout = TIMEOUT
    async with client:
        yield KubernetesApi(client)


def parsed(data: bytes) -> dict[str, Any]:
    """Return one JSON object. Raises Unavailable for anything else: the server, or a proxy, is ill."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unavailable(f"the Kubernetes API answered no JSON object: {error}") from error


def _check(status: int, path: str) -> None:
    if status == 410:
        raise Gone(f"{path}: the version is too old")
    if status in (401, 403):
        raise Forbidden(
            f"the Kubernetes API refuses {path} ({status})",
            code="KUBERNETES_FORBIDDEN",
            remedy="let this service account list and watch it",
        )
    if status == 404:
        raise NotFound(f"the Kubernetes API has no {path}")
    if status != 200:
        raise Unavailable(f"the Kubernetes API answered {status} to {path}")


@contextlib.contextmanager
def _explained() -> Any:
    """Turn what the library raises into Unavailable."""
    import httpx2  # noqa: PLC0415 - imported already when this is used
    from lightkube.core.exceptions import ConfigError as WrongConfig  # noqa: PLC0415

    try:
        yield
    except (httpx2.HTTPError, httpx2.StreamError, WrongConfig, OSError) as error:
        why = str(error) or type(error).__name__
        raise Unavailable(f"the Kubernetes API does not answer: {why}", code="KUBERNETES_AWAY") from error
