"""A Kubernetes API server in a few lines: list with pages, watch with bookmarks, and all that goes wrong."""

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

TOKEN = "a-service-account"


class Kubernetes:
    """Serves objects by the path of their list; every change has a version, as in the real one."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self.version = 100
        self.oldest = 0
        """Versions below are compacted: a watch from there is Gone."""
        self.gone_by_status = False
        """Whether Gone is the answer's status, or an event in a watch that was accepted."""
        self.forbidden: set[str] = set()
        self.missing: set[str] = set()
        self.broken = False
        self.lists: Counter[str] = Counter()
        self.watches: Counter[str] = Counter()
        self.since: list[str] = []
        """The version that each watch asked for, in order."""
        self._events: list[tuple[int, str, dict[str, Any]]] = []
        self._news = asyncio.Condition()
        self._open: dict[web.StreamResponse, web.Request] = {}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()
        await self._runner.cleanup()

    def kubeconfig(self, file: Path, token: str = TOKEN) -> Path:
        """Write a kubeconfig for this server."""
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": {"server": self.url}}],
                    "users": [{"name": "test", "user": {"token": token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                }
            )
        )
        return file

    async def put(self, path: str, item: dict[str, Any]) -> None:
        """Create or change an object."""
        key = item["metadata"].get("namespace", ""), item["metadata"]["name"]
        held = self.objects.setdefault(path, {})
        await self._happened(path, "MODIFIED" if key in held else "ADDED", item)
        held[key] = item

    async def delete(self, path: str, name: str, namespace: str = "") -> None:
        """Delete an object."""
        await self._happened(path, "DELETED", self.objects[path].pop((namespace, name)))

    def lose(self, path: str, name: str, namespace: str = "") -> None:
        """Delete an object so that no watch will ever tell."""
        del self.objects[path][namespace, name]

    async def bookmark(self, path: str) -> None:
        """Tell watches a version without a change."""
        await self._happened(path, "BOOKMARK", {"kind": "X", "metadata": {"name": ""}})

    async def _happened(self, path: str, what: str, item: dict[str, Any]) -> None:
        async with self._news:
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            self._events.append((self.version, path, json.loads(json.dumps({"type": what, "object": item}))))
            self._news.notify_all()

    def compact(self) -> None:
        """Forget every version but the newest."""
        self.oldest = self.version
        self._events.clear()

    async def cut(self) -> None:
        """Abort every watch, in the middle of a line."""
        for response, request in list(self._open.items()):
            with contextlib.suppress(ConnectionError):
                await response.write(b'{"type": "ADD')
            if request.transport is not None:
                request.transport.abort()
        self._open.clear()

    async def raw(self, line: bytes) -> None:
        """Send a line to every watch."""
        for response in list(self._open):
            with contextlib.suppress(ConnectionError):
                await response.write(line + b"\n")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if (refused := self._refusal(request)) is not None:
            return refused
        if path == "/version":
            return web.json_response({"gitVersion": "v1.31.4"})
        if request.query.get("watch") == "true":
            return await self._watch(request, path)
        return self._list(request, path)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _status(401, "who are you")
        if self.broken:
            return _status(500, "etcd is away")
        if request.path in self.forbidden:
            return _status(403, f"{request.path} is forbidden")
        if request.path in self.missing:
            return _status(404, "not found")
        return None

    def _list(self, request: web.Request, path: str) -> web.Response:
        start = int(request.query.get("continue", "0"))
        if not start:
            self.lists[path] += 1
        limit = int(request.query.get("limit", "0")) or 10_000
        items = list(self.objects.get(path, {}).values())
        metadata = {"resourceVersion": str(self.version)}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        # A list's items do not say their kind.
        bare = [{k: v for k, v in one.items() if k != "kind"} for one in items[start : start + limit]]
        return web.json_response({"kind": "XList", "metadata": metadata, "items": bare})

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        self.watches[path] += 1
        self.since.append(request.query["resourceVersion"])
        gone = since < self.oldest
        if gone and self.gone_by_status:
            return _status(410, "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        if gone:
            error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
            await response.write(json.dumps(error).encode() + b"\n")
            return response
        self._open[response] = request
        try:
            while True:
                async with self._news:
                    found = [(v, e) for v, p, e in self._events if p == path and v > since]
                    if not found:
                        await self._news.wait()
                        continue
                for version, event in found:
                    await response.write(json.dumps(event).encode() + b"\n")
                    since = version
        except ConnectionError:
            return response
        finally:
            self._open.pop(response, None)


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


def pod(name: str, *, namespace: str = "shop", phase: str = "Running", owner: str = "") -> dict[str, Any]:
    """Return a pod that runs nginx."""
    owners = [{"kind": "ReplicaSet", "name": owner, "uid": "u", "controller": True}] if owner else []
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": owners},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "nginx:1.27"}]},
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "c", "imageID": f"docker.io/library/nginx@sha256:{'a' * 64}"}],
        },
    }


def node(name: str, provider: str = "") -> dict[str, Any]:
    """Return a node."""
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"providerID": provider},
        "status": {"nodeInfo": {"kubeletVersion": "v1.31.2"}},
    }


def named(kind: str, name: str, namespace: str = "", **parts: Any) -> dict[str, Any]:
    """Return any other object."""
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}} | parts
