"""The story of the demo, as data: what happens, step by step, and what must be seen of it from outside.

Each step acts through the REST API, as a person would, and then asks the REST API of every worker
whether it is true there. Times are from the request's start to the moment a worker said it is done.
"""

import statistics
import time
from collections.abc import Sequence

from fedbus.cli.demo import admission, documents, scanning
from fedbus.cli.demo.fleet import MASTER, WORKERS, Worker, together
from fedbus.cli.demo.runner import Step, Told
from fedbus.cli.demo.scene import (
    Scene,
    each,
    expect,
    expect_same,
    expect_tokens,
    federated_policy,
    keep_password,
    membership,
    publish_and_wait,
    soon,
)
from fedbus.model.policy import KINDS

STOPPED, REMOVED = "tokyo", "virginia"
"""Which worker misses changes, and which one is removed."""
MISSED = 25
"""Changes that the stopped worker misses."""


async def start(scene: Scene) -> Told:
    """Start the processes; nobody is a member of anything."""
    await scene.fleet.start()
    for worker in scene.workers():
        expect((await membership(worker)).get("fed_role") == "", f"{worker.name} is a member already")
    return Told("one master, three workers, each a process of its own")


async def promote(scene: Scene) -> Told:
    """Make the first daemon the master; its embedded bus starts."""
    made = await scene.master.api.post("/v1/fed/promote", {"name": MASTER})
    keep_password(scene.master, made)
    scene.master.follow()
    expect((await membership(scene.master)).get("fed_role") == "master", "it does not call itself a master")
    await scene.master.api.get("/readyz")
    return Told(f"federation {made['federation_id']}, bus on port {made['port']}")


async def tokens(scene: Scene) -> Told:
    """Make a token for each worker: good for one use, ten minutes, and this cluster's name only."""
    for name, region in WORKERS.items():
        wanted = {"duration_minutes": 10, "uses": 1, "cluster_name": name, "labels": {"region": region}}
        scene.tokens[name] = str((await scene.master.api.post("/v1/fed/join_token", wanted))["join_token"])
    await expect_tokens(scene.master, "valid")
    return Told("each for one cluster, one use, ten minutes")


async def join(scene: Scene) -> Told:
    """Have the workers join with their tokens; each is online and synced soon after."""
    took = await together(_join(scene, worker) for worker in scene.workers())
    await expect_tokens(scene.master, "used")
    return Told("online after " + each(dict(zip(WORKERS, took, strict=True))), max(took))


async def publish(scene: Scene) -> Told:
    """Publish objects of every kind in one changeset."""
    done = await publish_and_wait(scene, documents.policy_set())
    kinds = {change.kind for change in done.changes}
    expect(kinds == set(KINDS), f"the set lacks {', '.join(sorted(set(KINDS) - kinds))}")
    await expect_same(scene.master, scene.workers())
    return Told(f"{len(done.changes)} objects of {len(kinds)} kinds in one changeset; {done}", done.slowest)


async def update(scene: Scene) -> Told:
    """Change two of the objects."""
    done = await publish_and_wait(scene, documents.update())
    expect({change.op for change in done.changes} == {"updated"}, "not everything was an update")
    for worker in scene.workers():
        rule = await worker.api.get("/v1/policy/rule/100001", scope="fed")
        expect("tcp/9443" in str(rule), f"{worker.name} does not show the new port")
    await expect_same(scene.master, scene.workers())
    return Told(str(done), done.slowest)


async def delete(scene: Scene) -> Told:
    """Delete a group; the rules and profiles that use it go along."""
    done = await publish_and_wait(scene, documents.deletion())
    gone = {f"{change.kind} {change.name}" for change in done.changes if change.op == "deleted"}
    wanted = {"group fed.trial", "network_rule 100005", "process_profile fed.trial"}
    expect(gone == wanted, f"deleted: {', '.join(sorted(gone))}")
    await expect_same(scene.master, scene.workers())
    return Told(f"with a rule and a profile that used it; {done}", done.slowest)


async def stop(scene: Scene) -> Told:
    """Stop a worker; the master knows at once."""
    status = await scene.fleet.workers[STOPPED].stop()
    expect(status == 0, f"{STOPPED} ended with status {status}")
    await scene.master.shows(STOPPED, "offline", lambda row: row.link.state == "offline")
    return Told(f"{STOPPED} said goodbye and is offline")


async def miss(scene: Scene) -> Told:
    """Publish changes while it is away; the others have each at once."""
    others = scene.workers(STOPPED)
    took = [
        (await publish_and_wait(scene, documents.campaign(i + 1), STOPPED)).slowest for i in range(MISSED)
    ]
    await expect_same(scene.master, others)
    found = await scene.master.api.get("/v1/fed/cluster/" + scene.ids[STOPPED])
    sync = found["sync"]
    expect(isinstance(sync, dict) and sync["lag_versions"] == MISSED, f"{STOPPED} should lag: {sync}")
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
    await expect_same(scene.master, [worker])
    await scene.master.shows(
        STOPPED, "synced", lambda row: row.link.state == "online" and row.sync.state == "synced"
    )
    return Told(f"all {MISSED} changes are there {took:.0f} ms after the process was started", took)


async def remove(scene: Scene) -> Told:
    """Remove a worker: it drops all federated policy and scan results."""
    worker = scene.fleet.workers[REMOVED]
    began = time.perf_counter()
    await scene.master.api.call("DELETE", f"/v1/fed/cluster/{scene.ids[REMOVED]}")

    async def removed() -> bool:
        return (await membership(worker)).get("membership") == "removed"

    await worker.until(f"{REMOVED} to know that it is removed", removed)
    took = (time.perf_counter() - began) * 1000

    async def dropped() -> bool:
        return not await scanning.held(worker)

    await soon(f"{REMOVED} to drop the scan results", dropped)
    left = [kind for kind, found in (await federated_policy(worker)).items() if found]
    expect(not left, f"{REMOVED} still has {', '.join(left)}")
    await scene.master.shows(REMOVED, "removed", lambda row: row.membership == "removed")
    return Told(f"{REMOVED} holds no federated object and no scan any more", took)


async def agree(scene: Scene) -> Told:
    """Look at the end: whoever is a member holds what the master holds."""
    workers = scene.workers(REMOVED)
    await expect_same(scene.master, workers)
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
    Step("registry", "Share the scan of a federated registry", scanning.registry),
    Step("pipeline", "Share a CI pipeline's scan", scanning.pipeline),
    Step("look_up", "Look up a digest and a CVE on each worker", scanning.look_up),
    Step("deny", "Publish a rule that denies an image", admission.deny),
    Step("allow", "Delete the rule", admission.allow),
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
    keep_password(worker, joined)
    scene.ids[worker.name] = str(joined["id"])
    await scene.master.shows(
        worker.name, "online", lambda row: row.link.state == "online" and row.sync.state == "synced"
    )
    took = (time.perf_counter() - began) * 1000
    member = await membership(worker)
    expect(member.get("fed_role") == "joint", f"{worker.name} does not call itself a member")
    expect(WORKERS[worker.name] in str(member.get("joint_clusters")), f"{worker.name} lacks its label")
    return took
