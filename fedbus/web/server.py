"""The HTTPS server of a daemon, and the note it leaves for the CLI on the same machine."""

import os
import ssl
from pathlib import Path

import msgspec
from aiohttp import web

from fedbus.pki import files
from fedbus.serving import HttpsServer


class DaemonNote(msgspec.Struct, frozen=True, kw_only=True):
    """What `<data>/daemon.json` says: how to reach the daemon that owns the directory."""

    url: str
    ca: str
    api_key_file: str
    pid: int
    role: str
    webhook: str = ""
    """Where the admission webhook answers."""


class RestServer(HttpsServer):
    """Serves the REST API, and says where."""

    def __init__(self, app: web.Application, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(app, host, port, context, name="rest")
        self._note: Path | None = None

    def announce(self, data_dir: Path, *, ca: Path, api_key_file: Path, role: str, webhook: str = "") -> None:
        """Write `<data_dir>/daemon.json`, so that `fedbus --data-dir` needs no other flag."""
        note = DaemonNote(
            url=self.url,
            ca=str(ca.resolve()),
            api_key_file=str(api_key_file.resolve()),
            pid=os.getpid(),
            role=role,
            webhook=webhook,
        )
        self._note = data_dir / "daemon.json"
        files.write(self._note, msgspec.json.encode(note))

    async def stop(self) -> None:
        """Take the note away and close, as any server does."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)
        await super().stop()
