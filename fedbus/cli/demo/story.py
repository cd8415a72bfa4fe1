"""The story of the demo, as data: what happens, step by step, and what must be seen of it from outside.

Each step acts through the REST API, as a person would, and then asks the REST API of every worker
whether it is true there. Times are from the request's start to the moment a worker said it is done.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fedbus.cli import policy
from fedbus.cli.demo import documents
from fedbus.cli.demo.fleet import MASTER, WORKERS, Fleet, Member, Worker, together
from fedbus.cli.demo.runner import Step, Told
from fedbus.cli.errors import CliError
from fedbus.cli.session import write_new
from fedbus.model.policy import KINDS

STOPPED, REMOVED = "tokyo", "virginia"
"""Which worker misses changes, and which one is removed."""
MISSED = 25
"""Changes that the stopped worker misses."""
PASSWORD_FILE = "admin-password"  # noqa: S105 - a file's name
"""Where the demo puts what promote and join show once, in the daemon's directory."""


class _Change(msgspec.Struct):
    kind: str
    name: str
    op: str


class _Changed(msgspec.Struct):
    """What is read of the answer to a change."""

    version: int
    changes: list[_Change]


class _Published(msgspec.Struct):
    """A change that has arrived: the milliseconds that each worker took."""

    version: int
    changes: list[_Change]
    ms: dict[str, float]

    @property
    def slowest(self) -> float:
        """The milliseconds until the last worker had it."""
        return max(self.ms.values())

    def __str__(self) -> str:
        return "applied in " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.ms.items())


class Scene:
    """What the steps share: the daemons, and what earlier steps learned."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.master = fleet.master
        self.tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.version = 0

    def workers(self, *without: str) -> list[Worker]:
        """Return the workers but some."""
        return [worker for worker in self.fleet.workers.values() if worker.name not in without]


async def start(scene: Scene) -> Told:
    """Start the processes; nobody is a member of anything."""
    await scene.fleet.start()
    for worker in scene.workers():
        _expect((await _member(worker)).get("fed_role") == "", f"{worker.name} is a member already")
    return Told("one master, three workers, each a process of its own")


async def promote(scene: Scene) -> Told:
    """Make the first daemon the master; its embedded bus starts."""
    made = await scene.master.api.post("/v1/fed/promote", {"name": MASTER})
    _keep_password(scene.master, made)
    scene.master.follow()
    _expect((await _member(scene.master)).get("fed_role") == "master", "it does not call itself a master")
    await scene.master.api.get("/readyz")
    return Told(f"federation {made['federation_id']}, bus on port {made['port']}")


async def tokens(scene: Scene) -> Told:
    """Make a token for each worker: good for one use, ten minutes, and this cluster's name only."""
    for name, region in WORKERS.items():
        wanted = {"duration_minutes": 10, "uses": 1, "cluster_name": name, "labels": {"region": region}}
        scene.tokens[name] = str((await scene.master.api.post("/v1/fed/join_token", wanted))["join_token"])
    await _expect_tokens(scene, "valid")
    return Told("each for one cluster, one use, ten minutes")


async def join(scene: Scene) -> Told:
    """Have the workers join with their tokens; each is online and synced soon after."""
    took = await together(_join(scene, worker) for worker in scene.workers())
    await _expect_tokens(scene, "used")
    return Told("online after " + _each(dict(zip(WORKERS, took, strict=True))), max(took))


async def publish(scene: Scene) -> Told:
    """Publish objects of every kind in one changeset."""
    done = await _publish(scene, documents.policy_set())
    kinds = {change.kind for change in done.changes}
    _expect(kinds == set(KINDS), f"the set lacks {', '.join(sorted(set(KINDS) - kinds))}")
    await _expect_same(scene, scene.workers())
    return Told(f"{len(done.changes)} objects of {len(kinds)} kinds in one changeset; {done}", done.slowest)


async def update(scene: Scene) -> Told:
    """Change two of the objects."""
    done = await _publish(scene, documents.update())
    _expect({change.op for change in done.changes} == {"updated"}, "not everything was an update")
    for worker in scene.workers():
        rule = await worker.api.get("/v1/policy/rule/100001", scope="fed")
        _expect("tcp/9443" in str(rule), f"{worker.name} does not show the new port")
    await _expect_same(scene, scene.workers())
    return Told(str(done), done.slowest)


async def delete(scene: Scene) -> Told:
    """Delete a group; the rules and profiles that use it go along."""
    done = await _publish(scene, documents.deletion())
    gone = {f"{change.kind} {change.name}" for change in done.changes if change.op == "deleted"}
    wanted = {"group fed.trial", "network_rule 100005", "process_profile fed.trial"}
    _expect(gone == wanted, f"deleted: {', '.join(sorted(gone))}")
    await _expect_same(scene, scene.workers())
    return Told(f"with a rule and a profile that used it; {done}", done.slowest)


async def stop(scene: Scene) -> Told:
    """Stop a worker; the master knows at once."""
    status = await scene.fleet.workers[STOPPED].stop()
    _expect(status == 0, f"{STOPPED} ended with status {status}")
    await scene.master.shows(STOPPED, "offline", lambda row: row.link.state == "offline")
    return Told(f"{STOPPED} said goodbye and is offline")


async def miss(scene: Scene) -> Told:
    """Publish changes while it is away; the others have each at once."""
    others = scene.workers(STOPPED)
    took = [(await _publish(scene, documents.campaign(i + 1), STOPPED)).slowest for i in range(MISSED)]
    await _expect_same(scene, others)
    found = await scene.master.api.get("/v1/fed/cluster/" + scene.ids[STOPPED])
    sync = found["sync"]
    _expect(isinstance(sync, dict) and sync["lag_versions"] == MISSED, f"{STOPPED} should lag: {sync}")
    typical, worst = statistics.median(took), max(took)
    return Told(
        f"{MISSED} changes; {' and '.join(w.name for w in others)} applied each in "
        f"{typical:.1f} ms (median), {worst:.1f} ms (slowest)",
        typical,
    )


async def catch_up(scene: Scene) -> Told:
    """Start it again: it catches up from where it was."""
    worker = scene.fleet.workers[STOPPED]
    began = time.perf_counter()
    await worker.start()
    took = (await worker.reached(scene.version) - began) * 1000
    await _expect_same(scene, [worker])
    await scene.master.shows(
        STOPPED, "synced", lambda row: row.link.state == "online" and row.sync.state == "synced"
    )
    return Told(f"all {MISSED} changes are there {took:.0f} ms after the process was started", took)


async def remove(scene: Scene) -> Told:
    """Remove a worker: it drops all federated policy."""
    worker = scene.fleet.workers[REMOVED]
    began = time.perf_counter()
    await scene.master.api.call("DELETE", f"/v1/fed/cluster/{scene.ids[REMOVED]}")

    async def removed() -> bool:
        return (await _member(worker)).get("membership") == "removed"

    await worker.until(f"{REMOVED} to know that it is removed", removed)
    took = (time.perf_counter() - began) * 1000
    left = [kind for kind, found in (await _policy(worker)).items() if found]
    _expect(not left, f"{REMOVED} still has {', '.join(left)}")
    await scene.master.shows(REMOVED, "removed", lambda row: row.membership == "removed")
    return Told(f"{REMOVED} holds no federated object any more", took)


async def agree(scene: Scene) -> Told:
    """Look at the end: whoever is a member holds what the master holds."""
    workers = scene.workers(REMOVED)
    await _expect_same(scene, workers)
    for worker in workers:
        await scene.master.shows(
            worker.name,
            "with equal digests",
            lambda row: row.sync.state == "synced" and bool(row.sync.digests_equal),
        )
    return Told(
        f"{' and '.join(worker.name for worker in workers)} hold version {scene.version}, digests equal"
    )


STORY: Sequence[Step[Scene]] = (
    Step("start", "Start a master and three workers", start),
    Step("promote", "Promote the master", promote),
    Step("tokens", "Make three join tokens", tokens),
    Step("join", "Join three workers", join),
    Step("publish", "Publish policy of every kind", publish),
    Step("update", "Change a network rule and the admission mode", update),
    Step("delete", "Delete a group that is in use", delete),
    Step("stop", f"Stop {STOPPED}", stop),
    Step("miss", f"Publish {MISSED} changes that {STOPPED} misses", miss),
    Step("catch_up", f"Start {STOPPED} again", catch_up),
    Step("remove", f"Remove {REMOVED}", remove),
    Step("agree", "Compare everybody with the master", agree),
)


async def _join(scene: Scene, worker: Worker) -> float:
    began = time.perf_counter()
    joined = await worker.api.post(
        "/v1/fed/join", {"name": worker.name, "join_token": scene.tokens[worker.name]}
    )
    _keep_password(worker, joined)
    scene.ids[worker.name] = str(joined["id"])
    await scene.master.shows(
        worker.name, "online", lambda row: row.link.state == "online" and row.sync.state == "synced"
    )
    took = (time.perf_counter() - began) * 1000
    member = await _member(worker)
    _expect(member.get("fed_role") == "joint", f"{worker.name} does not call itself a member")
    _expect(WORKERS[worker.name] in str(member.get("joint_clusters")), f"{worker.name} lacks its label")
    return took


async def _publish(scene: Scene, stream: bytes, *without: str) -> _Published:
    """Apply documents on the master, wait until each worker has applied them, and measure that."""
    began = time.perf_counter()
    answer = await scene.master.api.call("POST", "/v1/fed/apply", raw=stream, content_type="application/yaml")
    changed = msgspec.convert(answer, _Changed)
    scene.version = changed.version
    workers = scene.workers(*without)
    reached = await together(worker.reached(changed.version) for worker in workers)
    took = {worker.name: (at - began) * 1000 for worker, at in zip(workers, reached, strict=True)}
    return _Published(changed.version, changed.changes, took)


async def _policy(member: Member) -> dict[str, list[policy.Document]]:
    """Read every federated object of every kind, with revisions, over REST."""
    return {kind: await policy.read(member.api, kind, "fed") for kind in KINDS}


async def _expect_same(scene: Scene, workers: Sequence[Worker]) -> None:
    wanted = await _policy(scene.master)
    for worker in workers:
        found = await _policy(worker)
        wrong = [kind for kind in KINDS if found[kind] != wanted[kind]]
        _expect(not wrong, f"{worker.name} differs from the master in {', '.join(wrong)}")


async def _expect_tokens(scene: Scene, state: str) -> None:
    listed = (await scene.master.api.get("/v1/fed/join_tokens"))["tokens"]
    states = [token["state"] for token in listed] if isinstance(listed, list) else []
    _expect(states == [state] * len(WORKERS), f"tokens should be {state}, but are {', '.join(states)}")


async def _member(member: Member) -> dict[str, object]:
    return await member.api.get("/v1/fed/member")


def _keep_password(member: Member, answer: dict[str, object]) -> None:
    admin = answer["admin"]
    _expect(isinstance(admin, dict) and bool(admin.get("password")), f"{member.name} showed no password")
    file: Path = member.directory / PASSWORD_FILE
    if isinstance(admin, dict):
        write_new(file, str(admin["password"]))


def _each(took: dict[str, float]) -> str:
    return ", ".join(f"{name} {ms:.0f} ms" for name, ms in took.items())


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise CliError(otherwise)
