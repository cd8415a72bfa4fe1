"""Writes JSON Schema, OpenAPI and AsyncAPI to a directory, and tells when they are out of step."""

import json
import tempfile
from pathlib import Path
from typing import Any

from fedbus import __version__
from fedbus.master.api import app as master_api
from fedbus.master.lifecycle import Master
from fedbus.model import asyncapi
from fedbus.model.schemas import VERSION, schemas
from fedbus.runtime import Clock
from fedbus.settings import MasterSettings, WorkerSettings
from fedbus.store.database import Database
from fedbus.web import openapi
from fedbus.web.auth import Authenticator
from fedbus.worker import api as worker_api
from fedbus.worker.lifecycle import Worker


def write(directory: Path) -> list[Path]:
    """Write everything below `directory`, remove schemas of types that are gone, return the files written."""
    texts = _texts()
    for path in _found(directory):
        if path.relative_to(directory).as_posix() not in texts:
            path.unlink()
    written = []
    for name, text in texts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def check(directory: Path) -> list[str]:
    """Return the names of files below `directory` that are missing, changed or too many."""
    texts = _texts()
    found = {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8") for path in _found(directory)
    }
    return sorted(name for name in texts.keys() | found.keys() if texts.get(name) != found.get(name))


def documents() -> dict[str, dict[str, Any]]:
    """Return the descriptions of both REST APIs and of the bus, by the name of their file."""
    with tempfile.TemporaryDirectory() as name:
        # Two daemons that are never started: a description needs their routes alone.
        directory, clock = Path(name), Clock()
        auth = Authenticator(directory, clock=clock.monotonic)
        database = Database(directory / "store.db", "NORMAL")
        scans = Database(directory / "scans.db", "NORMAL", scans=True)
        master = Master(MasterSettings(data_dir=directory), database, scans, auth, clock)
        worker = Worker(WorkerSettings(data_dir=directory), database, scans, auth, clock)
        return {
            "openapi-master.json": openapi.document(master_api.make_app(master, auth), "fedbus master"),
            "openapi-worker.json": openapi.document(worker_api.make_app(worker, auth), "fedbus worker"),
            "asyncapi.json": asyncapi.document(__version__),
        }


def _found(directory: Path) -> list[Path]:
    return sorted((*(directory / VERSION).glob("*.json"), *directory.glob("*.json")))


def _texts() -> dict[str, str]:
    everything = schemas() | documents()
    return {
        name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in everything.items()
    }
