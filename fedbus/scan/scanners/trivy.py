"""Trivy as a scanner: the program of the extra `trivy`, another one, or one that asks a Trivy server.

Its database is brought up to date in one place before a run and never by a scan, so that any number of
scans read one database. Credentials reach it in a file that only we can read, and are gone after the scan.
"""

import asyncio
import base64
import datetime as dt
import os
import ssl
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import aiohttp
import msgspec

from fedbus.core.registry.access import Credentials
from fedbus.errors import FedbusError
from fedbus.model.scan import Report
from fedbus.pki import files
from fedbus.runtime import Clock, rfc3339
from fedbus.scan.scanners import process
from fedbus.scan.scanners.interface import Database, ScanError, Target
from fedbus.scan.scanners.process import Limits

Reader = Callable[[bytes], list[Report]]
"""What makes reports of Trivy's output. Raises InvalidInput."""

UPDATE_SECONDS = 1800.0
_SERVER_TIMEOUT = aiohttp.ClientTimeout(total=30)
_MAX_VERSION = 64 * 1024


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How Trivy is used; `server` and `token_file` are a Trivy server's address and token."""

    cache: Path
    program: Path | None = None
    offline: bool = False
    database: str = ""
    java_database: str = ""
    server: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    limits: Limits = Limits()


class _Metadata(msgspec.Struct, rename="pascal"):
    version: int = 0
    updated_at: str = ""


class _Version(msgspec.Struct, rename={"database": "VulnerabilityDB", "version": "Version"}):
    version: str = ""
    database: _Metadata | None = None


class Trivy:
    """Scans with Trivy."""

    def __init__(self, options: Options, read: Reader, clock: Clock) -> None:
        self._options, self._read, self._clock = options, read, clock
        self._preparing = asyncio.Lock()
        self._version = ""
        self._database = Database()

    async def prepare(self, *, update: bool = True) -> Database:
        """Bring the database up to date, unless we are offline or a server has it; return which it is.

        Raises ScanError when there is no database at all: an old one is better than none.
        """
        if not update:
            return await self._prepared(fetches=False)
        async with self._preparing:
            return await self._prepared(fetches=not (self._options.offline or self._options.server))

    async def _prepared(self, *, fetches: bool) -> Database:
        failed: ScanError | None = None
        if fetches:
            try:
                await self._update()
            except ScanError as error:
                failed = error
        told = await (self._told_by_server() if self._options.server else self._told_by_program())
        if told.database is None or not told.database.version:
            if not (fetches or self._options.offline or self._options.server):
                return Database()
            raise ScanError(
                "the scanner has no vulnerability database" + (f": {failed.message}" if failed else ""),
                code="SCANNER_DATABASE",
                remedy="let it download one, name a mirror in trivy_db_repository, or lay one down in "
                f"{self._options.cache}/db",
            )
        self._version, self._database = told.version, _database(told.database)
        return self._database

    async def _update(self) -> None:
        options = self._options
        argv = [self._program(), "image", "--quiet", "--no-progress", "--cache-dir", str(self._cache())]
        one = [*argv, "--download-db-only", *_option("--db-repository", options.database)]
        java = [*argv, "--download-java-db-only", *_option("--java-db-repository", options.java_database)]
        limits = msgspec.structs.replace(options.limits, seconds=UPDATE_SECONDS)
        for command in (one, java):
            await process.run(command, self._environment(self._cache()), str(self._cache()), limits)

    async def _told_by_program(self) -> _Version:
        argv = [self._program(), "version", "--format", "json", "--cache-dir", str(self._cache())]
        limits = msgspec.structs.replace(self._options.limits, seconds=60.0)
        output = await process.run(argv, self._environment(self._cache()), str(self._cache()), limits)
        return _version(output)

    async def _told_by_server(self) -> _Version:
        address = self._options.server.rstrip("/") + "/version"
        ca = self._options.ca_file
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        try:
            async with (
                aiohttp.ClientSession(timeout=_SERVER_TIMEOUT, headers=self._server_headers()) as session,
                session.get(address, ssl=context, allow_redirects=False) as response,
            ):
                response.raise_for_status()
                return _version(await response.content.read(_MAX_VERSION))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ScanError(
                f"the Trivy server {address} does not answer: {error}",
                code="SCANNER_MISSING",
                remedy="check the setting trivy_server",
            ) from error

    async def scan(self, target: Target) -> Report:
        """Scan one image by its digest (see `Scanner`)."""
        with tempfile.TemporaryDirectory(prefix="fedbus-scan-", ignore_cleanup_errors=True) as directory:
            here = Path(directory)
            _write_credentials(here, target.address.host, target.credentials)
            output = await process.run(
                [self._program(), *self._arguments(target)],
                self._environment(here, proxy=target.proxy),
                directory,
                self._options.limits,
            )
        return await asyncio.to_thread(self._report, output, target)

    def _arguments(self, target: Target) -> list[str]:
        options = self._options
        arguments = ["image", "--quiet", "--no-progress", "--format", "json", "--scanners", "vuln,secret"]
        # Only this registry, never a container engine of this machine; nothing is kept between images.
        arguments += ["--image-src", "remote", "--cache-backend", "memory", "--list-all-pkgs"]
        arguments += ["--cache-dir", str(self._cache()), "--timeout", f"{options.limits.seconds:.0f}s"]
        arguments += ["--skip-version-check", *_option("--platform", target.platform)]
        if options.server:
            arguments += ["--server", options.server]
        else:
            arguments += ["--skip-db-update", "--skip-java-db-update"]
        if options.offline:
            arguments.append("--offline-scan")
        if target.address.plain:
            arguments.append("--insecure")
        return [*arguments, f"{target.address.host}/{target.repository}@{target.digest}"]

    def _report(self, output: bytes, target: Target) -> Report:
        try:
            found = self._read(output)
        except FedbusError as error:
            raise ScanError(
                f"the scanner's output cannot be read: {error.message}", code="SCAN_OUTPUT"
            ) from error
        if len(found) != 1:
            raise ScanError(f"the scanner's output is about {len(found)} images, not one", code="SCAN_OUTPUT")
        return msgspec.structs.replace(
            found[0],
            digest=target.digest,
            repository=target.repository,
            platform=target.platform or found[0].platform,
            scanner="trivy",
            scanner_version=self._version,
            cvedb_version=self._database.version,
            cvedb_create_time=self._database.created_at,
            scanned_at=self._clock.now(),
        )

    def _environment(self, home: Path, *, proxy: bool = True) -> dict[str, str]:
        """Return what Trivy sees: nothing of ours, and directories that are its own."""
        env = process.environment(os.environ, proxy=proxy)
        env |= {"HOME": str(home), "TMPDIR": str(home), "DOCKER_CONFIG": str(home)}
        env["GOMEMLIMIT"] = f"{self._options.limits.memory // 2}B"
        if self._options.ca_file is not None:
            env["SSL_CERT_FILE"] = str(_bundle(home, self._options.ca_file))
        if self._options.server:
            env |= {"TRIVY_TOKEN": token} if (token := self._token()) else {}
        return env

    def _server_headers(self) -> dict[str, str]:
        return {"Trivy-Token": token} if (token := self._token()) else {}

    def _token(self) -> str:
        return self._options.token_file.read_text().strip() if self._options.token_file else ""

    def _cache(self) -> Path:
        return files.make_directory(self._options.cache)

    def _program(self) -> str:
        if self._options.program is not None:
            return str(self._options.program)
        beside = Path(sys.executable).with_name("trivy")  # where pip puts that of the extra
        return str(beside) if beside.exists() else "trivy"


def _option(name: str, value: str) -> list[str]:
    return [name, value] if value else []


def _version(output: bytes) -> _Version:
    try:
        return msgspec.json.decode(output, type=_Version)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ScanError(
            f"what should be Trivy does not say its version: {error}",
            code="SCANNER_MISSING",
            remedy="check the settings trivy_program and trivy_server",
        ) from error


def _database(metadata: _Metadata) -> Database:
    """Return the version as `<format>.<when it was made>`: the format alone says nothing."""
    try:
        made = dt.datetime.fromisoformat(metadata.updated_at).astimezone(dt.UTC)
    except ValueError:
        return Database(str(metadata.version))
    stamp = rfc3339(made.timestamp(), "seconds")
    return Database(f"{metadata.version}.{made:%Y%m%d%H%M%S}", stamp)


def _write_credentials(directory: Path, host: str, held: Credentials) -> None:
    if held.token:
        entry = {"registrytoken": held.token}
    elif held.username:
        pair = f"{held.username}:{held.password}".encode()
        entry = {"auth": base64.b64encode(pair).decode()}
    else:
        return
    hosts = (host, "https://index.docker.io/v1/") if host == "registry-1.docker.io" else (host,)
    files.write(directory / "config.json", msgspec.json.encode({"auths": dict.fromkeys(hosts, entry)}))


def _bundle(directory: Path, own: Path) -> Path:
    """Write the system's certificates and our own to one file: a program takes one only."""
    paths = ssl.get_default_verify_paths()
    system = Path(paths.cafile) if paths.cafile else None
    known = system.read_bytes() if system is not None and system.exists() else b""
    made = directory / "ca-bundle.pem"
    if not made.exists():
        files.write(made, known + b"\n" + own.read_bytes())
    return made
