"""Debian's docker-registry on a loopback port, and images made of small root file systems."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import tarfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest

from fedbus.core.registry.access import Credentials
from fedbus.web.tls import RestTls
from tests.support.daemons import eventually

PROGRAM = "docker-registry"
DATABASE = Path(__file__).parents[1] / "data" / "trivy-db"
USER, PASSWORD = "puller", "pull-secret"
_HTPASSWD = f"{USER}:$2b$04$7UTCYM5jjwawNIZJG8v4X.cOIAKCUq0lVjJEfhFnApd9uI.Zkyi4S\n"

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

OPENSSL = {"libssl3": ("openssl", "3.0.8-1")}
ZLIB = {"zlib1g": ("zlib", "1:1.2.13.dfsg-1")}
OPENSSL_CVES = {"CVE-2023-0464", "CVE-2023-5678"}
ZLIB_CVES = {"CVE-2023-45853"}

needs_registry = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason="apt-get install docker-registry (`.ci/run` does)"
)


def database(cache: Path) -> Path:
    """Lay the tiny vulnerability database into a cache directory of Trivy's."""
    (cache / "db").mkdir(parents=True)
    for name in ("trivy.db", "metadata.json"):
        shutil.copyfile(DATABASE / name, cache / "db" / name)
    return cache


def root(packages: dict[str, tuple[str, str]], extra: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """Return the files of a Debian 12 with some packages: binary name to (source, version)."""
    status = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nSource: {source}\nVersion: {version}\n"
        f"Architecture: amd64\nMaintainer: nobody <nobody@example.com>\nDescription: {name}\n"
        for name, (source, version) in packages.items()
    )
    release = 'ID=debian\nVERSION_ID="12"\nNAME="Debian GNU/Linux"\n'
    return {
        "etc/os-release": release.encode(),
        "etc/debian_version": b"12.0\n",
        "var/lib/dpkg/status": status.encode(),
        **(extra or {}),
    }


def tar(files: dict[str, bytes]) -> bytes:
    """Return an uncompressed layer."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def bomb(gibibytes: int) -> bytes:
    """Return a layer of a few MiB that unpacks to one file of so many GiB of zeros."""
    info = tarfile.TarInfo("zeros")
    info.size = gibibytes << 30
    zeros = gzip.compress(bytes(64 << 20), mtime=0)  # gzip allows for many members after each other
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT), mtime=0) + zeros * (16 * gibibytes)


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


class Pushed:
    """A manifest that was pushed, and its bytes."""

    def __init__(self, raw: bytes, media_type: str) -> None:
        self.raw, self.media_type, self.digest = raw, media_type, digest(raw)


class DockerRegistry:
    """One docker-registry process; an async context manager."""

    def __init__(self, directory: Path, *, secure: bool = False) -> None:
        self.directory, self.secure = directory, secure
        self.ca = directory / "tls" / "ca.pem"
        self.host, self.url = "", ""
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"{'https' if self.secure else 'http'}://{self.host}/"
        await self.start()
        return self

    async def start(self) -> None:
        """Start the program on its port and wait until it answers."""
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.directory / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.host},
        }
        context: Any = None
        if self.secure:
            tls = RestTls(self.directory, ["127.0.0.1"], now=time.time(), randomness=os.urandom)  # noqa: TID251
            server = str(self.directory / "tls" / "server.pem")
            config["http"]["tls"] = {"certificate": server, "key": server}
            (self.directory / "htpasswd").write_text(_HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self.directory / "htpasswd")}}
            import ssl

            context = ssl.create_default_context(cafile=str(tls.ca_file))
        file = self.directory / "config.yml"
        file.write_text(json.dumps(config))
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, "serve", str(file), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip
        credentials = Credentials(USER, PASSWORD) if self.secure else Credentials()
        self._session = aiohttp.ClientSession(
            headers={"Authorization": credentials.basic} if self.secure else {},
            connector=aiohttp.TCPConnector(ssl=context if context is not None else True),
        )
        await eventually(self._answers)

    async def _answers(self) -> bool:
        assert self._session is not None
        with contextlib.suppress(aiohttp.ClientError):
            async with self._session.get(self.url + "v2/") as response:
                return response.status == 200
        return False

    async def stop(self) -> None:
        """Stop the program; `start` starts it on the same port with what it holds."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def push(
        self,
        repository: str,
        tag: str,
        files: dict[str, bytes],
        *,
        platform: str = "linux/amd64",
        media_type: str = DOCKER_MANIFEST,
        layer: bytes | None = None,
    ) -> Pushed:
        """Push an image of one layer, of files or as it is; an empty tag pushes it by digest."""
        plain = tar(files)
        layer = layer or gzip.compress(plain, mtime=0)
        os_name, _, architecture = platform.partition("/")
        config = json.dumps(
            {
                "architecture": architecture,
                "os": os_name,
                "created": "2024-01-01T00:00:00Z",
                "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/app"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(plain)]},
                "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "COPY root /"}],
            }
        ).encode()
        docker = media_type == DOCKER_MANIFEST
        types = (
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        )
        if not docker:
            types = (
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            )
        for blob in (layer, config):
            await self._blob(repository, blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": types[0], "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": types[1], "size": len(layer), "digest": digest(layer)}],
        }
        return await self.put_manifest(repository, tag, manifest, media_type)

    async def push_index(self, repository: str, tag: str, images: dict[str, Pushed]) -> Pushed:
        """Push an index of images that were pushed, by platform."""
        manifests = []
        for platform, image in images.items():
            os_name, _, architecture = platform.partition("/")
            where = {"os": os_name, "architecture": architecture}
            manifests.append(
                {
                    "mediaType": image.media_type,
                    "size": len(image.raw),
                    "digest": image.digest,
                    "platform": where,
                }
            )
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        return await self.put_manifest(repository, tag, index, OCI_INDEX)

    async def put_manifest(
        self, repository: str, tag: str, manifest: dict[str, Any], media_type: str
    ) -> Pushed:
        """Push a manifest."""
        raw = json.dumps(manifest).encode()
        pushed = Pushed(raw, media_type)
        await self._call(
            "PUT",
            f"v2/{repository}/manifests/{tag or pushed.digest}",
            201,
            data=raw,
            headers={"Content-Type": media_type},
        )
        return pushed

    async def delete(self, repository: str, image: Pushed) -> None:
        """Delete a manifest, and with it every tag that names it."""
        await self._call("DELETE", f"v2/{repository}/manifests/{image.digest}", 202)

    async def _blob(self, repository: str, content: bytes) -> None:
        where = (await self._call("POST", f"v2/{repository}/blobs/uploads/", 202))["Location"]
        joined = "&" if "?" in where else "?"
        await self._call(
            "PUT",
            f"{where}{joined}digest={digest(content)}",
            201,
            data=io.BytesIO(content),
            headers={"Content-Type": "application/octet-stream"},
        )

    async def _call(self, method: str, path: str, expected: int, **kwargs: Any) -> dict[str, str]:
        assert self._session is not None
        url = path if path.startswith("http") else self.url + path
        async with self._session.request(method, url, **kwargs) as response:
            assert response.status == expected, (method, path, response.status, await response.text())
            return dict(response.headers)
