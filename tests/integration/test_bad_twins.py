"""The same version with other content, signed by the federation's own key (guarantee 3).

Nobody can say which of the two is right: the worker keeps what it has and raises an alarm, the master
makes the stream anew from its store.
"""

import json
import signal
from pathlib import Path
from typing import Any

from fedbus.errors import Unavailable
from fedbus.model import subjects
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced
from tests.support.intruder import intruding

TWIN = json.dumps(group("web", "the twin")["spec"]).encode()
SUBJECT = subjects.event(subjects.SCOPE_ALL, subjects.POLICY, "group", "fed.web")


async def accepted(daemon: Daemon, path: str, body: object) -> dict[str, Any]:
    """Return the answer of a request; nothing while the master's session begins anew with the stream."""
    status, answer = await daemon.call("POST", path, body)
    return answer if status < 300 else {}


async def test_the_same_version_with_other_content_is_an_alarm_and_the_masters_comes_back(
    tmp_path: Path,
) -> None:
    async with (
        Daemon("master", tmp_path / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", tmp_path / "worker") as worker,
        Daemon("worker", tmp_path / "new") as new,
    ):
        await promoted(master)
        await joined(master, worker, "worker")
        await apply(master, group("web", "the first"))
        await synced(master, 1)
        async with intruding(master.directory) as intruder:
            original = await intruder.newest(SUBJECT)
            event = intruder.forge(
                "fed.web",
                TWIN,
                revision=int(original.headers["ce-fbrevision"]),
                version=int(original.headers["ce-fbversion"]),
                epoch=int(original.headers["ce-fbepoch"]),
            )
            assert master.process is not None
            master.process.send_signal(signal.SIGSTOP)  # or it may delete the stream before it is read
            await intruder.put(event)

            async def alarmed() -> bool:
                found = (await worker.get("/v1/fed/quarantine"))["events"]
                return [each["code"] for each in found] == ["VERSION_CONFLICT"]

            async def made_anew() -> bool:
                try:
                    newest = await intruder.newest(SUBJECT)
                except Unavailable:  # just being made
                    return False
                return newest.data == original.data and int(newest.headers["ce-fbepoch"]) > event.epoch

            try:
                await eventually(alarmed)
            finally:
                master.process.send_signal(signal.SIGCONT)
            await eventually(made_anew)
        token = await eventually(lambda: accepted(master, "/v1/fed/join_token", {}))
        body = {"name": "new", "join_token": token["join_token"]}
        await eventually(lambda: accepted(new, "/v1/fed/join", body))
        await synced(master, 2)
        for daemon in (master, worker, new):
            found = await daemon.get("/v1/group/fed.web?scope=fed")
            assert found["group"]["comment"] == "the first"
        await apply(master, group("web", "the second"))
        await synced(master, 2)
