"""What every benchmark begins with: a real master, promoted, a token, and an object of one kibibyte."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bare import Access
from tests.support.daemons import Daemon, promoted

OBJECT_BYTES = 1024


class Scene(msgspec.Struct):
    """A master process, how to get at its bus directly, and a token for a hundred workers."""

    master: Daemon
    access: Access
    token_file: Path
    directory: Path


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    """Start and promote a master in `directory`; it ends at the end."""
    async with Daemon("master", directory / "master") as master:
        await promoted(master)
        member = await master.get("/v1/fed/member")
        access = Access.of(directory / "master", member["master_cluster"]["rest_info"])
        made = await master.post("/v1/fed/join_token", {"uses": 100})
        token_file = directory / "token"
        token_file.write_text(made["join_token"])
        yield Scene(master, access, token_file, directory)
        await master.stop()


def document(name: str, content: int) -> dict[str, Any]:
    """Return a document of a group whose object has about OBJECT_BYTES bytes; `content` tells it apart."""
    criteria = [
        {"key": key, "op": "=", "value": f"{key}-of-the-workload-{content:08d}-{'x' * 64}"}
        for key in ("namespace", "service", "image", "application", "domain")
    ]
    spec: dict[str, Any] = {"name": f"fed.{name}", "comment": "", "criteria": criteria}
    spec["comment"] = "c" * max(0, OBJECT_BYTES - 150 - len(msgspec.json.encode(spec)))
    return {"kind": "group", "spec": spec}
