"""Admission of one cluster: policy from the store, compiled once a version; who asked; what is recorded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fedbus.cluster.admission import recorder
from fedbus.cluster.admission.built_in import BuiltInRules
from fedbus.cluster.admission.decider import Admission
from fedbus.cluster.admission.requesters import Requesters
from fedbus.cluster.admission.rules import FederatedRules, Rules, RuleSource
from fedbus.cluster.scans.coverage import without_scan
from fedbus.core.workload import workload_of
from fedbus.errors import FedbusError, Unavailable
from fedbus.kube import review
from fedbus.kube.review import Answer
from fedbus.model.admission_events import DENIED, AdmissionEvent, AdmissionStats
from fedbus.model.inventory import RunningImage
from fedbus.model.policy.admission import AdmissionCriterion, AdmissionRule, AdmissionState
from fedbus.model.review import ImageReference, Owner, RiskyRole, Workload
from fedbus.model.scan import Report
from fedbus.runtime import Clock
from fedbus.settings import WorkerSettings
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction
from tests.support import history
from tests.support.api_server import pod_review
from tests.support.daemons import eventually

ON = AdmissionState(enable=True, mode="protect")


def rule(number: int, namespace: str, **fields: Any) -> AdmissionRule:
    criterion = AdmissionCriterion(name="namespace", op="containsAny", value=namespace)
    return msgspec.convert(
        {"id": number, "rule_type": "deny", "criteria": [msgspec.to_builtins(criterion)]} | fields,
        AdmissionRule,
    )


class Source:
    """Policy that a test changes; counts how often it was read."""

    def __init__(self, *rules: AdmissionRule, scope: Any = "fed", state: AdmissionState | None = ON) -> None:
        self.rules, self.scope, self.state = rules, scope, state
        self.version, self.reads = 1, 0
        self.error: FedbusError | None = None

    def stamp(self, _tx: Transaction) -> object:
        if self.error is not None:
            raise self.error
        return self.version

    def read(self, _tx: Transaction) -> Rules:
        self.reads += 1
        return Rules(scope=self.scope, rules=self.rules, state=self.state)


class Scans:
    """Scans by the text of the image or its digest."""

    def __init__(self, *known: str) -> None:
        self._known = frozenset(known)

    async def reports(self, image: ImageReference) -> Sequence[Report]:
        return [Report(digest="d")] if await self.known(image) else []

    async def known(self, image: ImageReference) -> bool:
        return not self._known.isdisjoint((image.digest, image.text))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "store.db", "NORMAL") as opened:
        yield opened


async def answer(admission: Admission, **asked: Any) -> Answer:
    return await admission.answer(review.read(msgspec.json.encode(pod_review("nginx", **asked))))


async def made(database: Database, *sources: Source) -> Admission:
    admission = Admission(database, Clock(), sources)
    await admission.load()
    return admission


async def test_before_a_policy_was_read_nothing_is_decided(database: Database) -> None:
    admission = Admission(database, Clock(), [Source()])
    assert not admission.ready
    with pytest.raises(Unavailable):
        await answer(admission)


async def test_rules_stand_in_the_order_of_their_source_whatever_their_rank(database: Database) -> None:
    first, second = rule(100_002, "shop", rank="z"), rule(100_001, "shop", rank="a")
    admission = await made(database, Source(first, second))
    assert (await answer(admission)).audit["rule"] == "fed/100002"


async def test_the_first_source_with_a_state_has_it(database: Database) -> None:
    local = Source(rule(1000, "shop"), scope="local")
    off = AdmissionState(enable=False)
    assert not (await answer(await made(database, Source(state=None), local))).allowed
    assert (await answer(await made(database, Source(state=off), local))).allowed
    assert (
        await answer(await made(database, Source(state=None), Source(rule(1, "shop"), state=None)))
    ).allowed


async def test_what_critical_rules_exempt_waits_for_no_scan(database: Database) -> None:
    class Away(Scans):
        async def reports(self, image: ImageReference) -> Sequence[Report]:
            raise Unavailable("the store is away")

    settings = WorkerSettings(data_dir=Path("/nowhere"), critical_namespaces=("ops",))
    sources: list[RuleSource] = [Source(rule(100_001, "*")), BuiltInRules(settings)]
    admission = Admission(database, Clock(), sources, scans=Away())
    await admission.load()
    for exempt in ("ops", "fedbus"):
        assert (await answer(admission, namespace=exempt)).allowed
    with pytest.raises(Unavailable):
        await answer(admission, namespace="kube-system")  # no longer one of them


@pytest.mark.parametrize("image", ["", "nginx:", "a b", "x@sha256:1", "://", "a" * 5000])
async def test_a_container_that_never_starts_hides_nothing_beside_it(database: Database, image: str) -> None:
    privileged = AdmissionCriterion(name="runAsPrivileged", op="=", value="true")
    elsewhere = AdmissionCriterion(name="imageRegistry", op="notContainsAny", value="ghcr.io")
    asked = pod_review("nginx")
    bad = {"name": "bad", "image": image}
    evil = {"name": "evil", "image": "ghcr.io/a/b:1", "securityContext": {"privileged": True}}
    for criterion, containers in ((privileged, [bad, evil]), (elsewhere, [bad])):
        deny = AdmissionRule(id=100_001, rule_type="deny", criteria=(criterion,))
        admission = await made(database, Source(deny))
        asked["request"]["object"]["spec"]["containers"] = containers
        given = await admission.answer(review.read(msgspec.json.encode(asked)))
        assert not given.allowed, criterion.name


async def test_the_kind_that_the_api_server_names_counts(database: Database) -> None:
    admission = await made(database, Source(rule(100_001, "shop")))
    asked = pod_review("nginx", "shop")
    del asked["request"]["object"]["kind"]
    assert not (await admission.answer(review.read(msgspec.json.encode(asked)))).allowed


async def test_rules_on_roles_that_nobody_knows_are_named(database: Database) -> None:
    risky = AdmissionCriterion(name="saBindRiskyRole", op="containsTagAny", value="risky_role_create_pod")
    deny = AdmissionRule(id=100_001, rule_type="deny", criteria=(risky,))

    class Known:
        def risky_roles(self, _namespace: str, _account: str) -> tuple[RiskyRole, ...]:
            return ()

    assert [one.rule for one in (await made(database, Source(deny))).blind()] == [100_001]
    seeing = Admission(database, Clock(), [Source(deny)], roles=Known())
    await seeing.load()
    assert not seeing.blind()


async def test_a_policy_is_compiled_once_a_version_however_often_it_is_asked_for(database: Database) -> None:
    source, stop = Source(), asyncio.Event()
    admission = await made(database, source)
    async with asyncio.TaskGroup() as group:
        group.create_task(admission.keep(stop))
        source.rules, source.version = (rule(100_001, "shop"),), 2
        for _ in range(50):
            admission.changed()
            await answer(admission)

        async def denied() -> bool:
            return not (await answer(admission)).allowed

        await eventually(denied, 2.0)
        admission.changed()
        admission.changed()
        stop.set()
    assert (source.reads, admission.built) == (2, 2)


async def test_while_a_policy_cannot_be_read_the_last_one_decides(database: Database) -> None:
    source, stop = Source(rule(100_001, "shop")), asyncio.Event()
    admission = await made(database, source)
    async with asyncio.TaskGroup() as group:
        group.create_task(admission.keep(stop))
        source.error = Unavailable("the disk is gone")
        admission.changed()

        async def told() -> bool:
            return admission.error is not None

        await eventually(told, 2.0)
        assert not (await answer(admission)).allowed
        source.error, source.rules, source.version = None, (), 2
        admission.changed()

        async def allowed() -> bool:
            return (await answer(admission)).allowed and admission.error is None

        await eventually(allowed, 2.0)
        stop.set()


IGNORED: dict[str, dict[str, Any]] = {
    "a deletion": {"operation": "DELETE"},
    "a connection": {"operation": "CONNECT"},
    "another kind": {"kind": {"group": "", "version": "v1", "kind": "Service"}},
    "a kind of another group": {"kind": {"group": "example.com", "version": "v1", "kind": "Pod"}},
    "a status": {"subResource": "status"},
    "no object": {"object": None},
    "an object on its way out": {
        "operation": "UPDATE",
        "object": {"kind": "Pod", "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    },
}


@pytest.mark.parametrize("asked", IGNORED.values(), ids=IGNORED.keys())
async def test_what_there_is_nothing_to_judge_in_is_let_pass_and_counted(
    database: Database, asked: dict[str, Any]
) -> None:
    admission = await made(database, Source(rule(100_001, "shop")))
    raw = pod_review("nginx")
    raw["request"] |= asked

    assert (await admission.answer(review.read(msgspec.json.encode(raw)))).allowed

    assert admission.recorder.stats.k8s_ignored_requests == 1


async def test_a_dry_run_is_answered_as_any_other_and_leaves_no_trace(database: Database) -> None:
    admission = await made(database, Source(rule(100_001, "shop")))

    assert not (await answer(admission, dryRun=True)).allowed
    assert (await answer(admission, dryRun=True, operation="DELETE")).allowed
    await admission.recorder.write()

    assert admission.recorder.stats == AdmissionStats()
    assert await database.read(lambda tx: (tx.admission.counts(), tx.admission.events())) == ({}, [])


async def test_own_scope_stands_above_the_one_for_all_and_ranks_order_each(database: Database) -> None:
    def put(tx: Transaction) -> None:
        for scope, rules in {
            "all": [rule(100_001, "shop", rank="a"), rule(100_002, "shop", rank="b")],
            "c.shop": [rule(100_003, "shop", rank="z"), rule(100_004, "shop", rank="y")],
        }.items():
            fold = tx.folding(scope)
            for one in rules:
                made = history.event(
                    str(one.id), 1, scope=scope, kind="admission_rule", payload=msgspec.json.encode(one)
                )
                fold.put(made, 1)
            fold.save()

    await database.write(put)
    source = FederatedRules(lambda tx: reversed(tx.scopes()))
    found = await database.read(source.read)
    assert [one.id for one in found.rules] == [100_004, 100_003, 100_001, 100_002]
    assert (found.state, found.profile) == (None, None)
    before = await database.read(source.stamp)
    await database.write(lambda tx: tx.forget("c.shop"))
    assert await database.read(source.stamp) != before


async def test_ephemeral_containers_are_judged(database: Database) -> None:
    admission = await made(database, Source(rule(100_001, "shop", containers=["ephemeral_containers"])))
    raw = pod_review("nginx", operation="UPDATE", subResource="ephemeralcontainers")
    assert (await admission.answer(review.read(msgspec.json.encode(raw)))).allowed
    raw["request"]["object"]["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]
    assert not (await admission.answer(review.read(msgspec.json.encode(raw)))).allowed


async def test_the_namespace_of_the_request_counts(database: Database) -> None:
    admission = await made(database, Source(rule(100_001, "shop")))
    raw = pod_review("nginx", "shop")
    del raw["request"]["object"]["metadata"]["namespace"]
    assert not (await admission.answer(review.read(msgspec.json.encode(raw)))).allowed


@pytest.mark.parametrize("spec", [7, {"containers": 7}, {"containers": [{"image": 7}]}])
async def test_a_manifest_that_cannot_be_read_is_an_error_and_no_crash(database: Database, spec: Any) -> None:
    admission = await made(database, Source(rule(100_001, "shop")))
    raw = pod_review("nginx")
    raw["request"]["object"]["spec"] = spec
    with pytest.raises(FedbusError):
        await admission.answer(review.read(msgspec.json.encode(raw)))
    assert admission.recorder.processing == 0


def of(user: str, uid: str, owner: str = "") -> Workload:
    pod = {"kind": "Pod", "metadata": {"name": "p", "uid": uid}}
    found = workload_of(pod, user=user)
    return msgspec.structs.replace(found, owner=Owner(kind="X", name="x", uid=owner) if owner else None)


def test_what_a_controller_makes_is_asked_for_by_who_asked_for_the_root() -> None:
    known, controller = Requesters(), "system:serviceaccount:kube-system:replicaset-controller"
    known.remember(known.attributed(of("alice", "deployment")))
    known.remember(known.attributed(of(controller, "set", "deployment")))

    assert known.attributed(of(controller, "pod", "set")).user == "alice"
    assert known.attributed(of(controller, "pod", "older")).user == ""
    assert known.attributed(of("mallory", "pod", "set")).user == "mallory"  # names a foreign owner


def test_only_so_many_requesters_are_remembered() -> None:
    known = Requesters(keep=2)
    for number in range(3):
        known.remember(of(f"u{number}", f"{number}"))
    controller = "system:kube-controller-manager"
    assert [known.attributed(of(controller, "p", f"{number}")).user for number in range(3)] == [
        "",
        "u1",
        "u2",
    ]


def event(at: float, **fields: Any) -> AdmissionEvent:
    return msgspec.convert(
        {"name": DENIED, "first_at": at, "last_at": at, "rule": 1} | fields, AdmissionEvent
    )


async def test_events_of_the_same_minutes_are_one_and_the_oldest_go(database: Database) -> None:
    await database.write(lambda tx: tx.admission.add([event(1000.0, workload="a")]))
    await database.write(
        lambda tx: tx.admission.add([event(1400.0, workload="a"), event(1400.0, workload="b")])
    )
    await database.write(lambda tx: tx.admission.add([event(2000.0, workload="a")]))

    found = await database.read(lambda tx: tx.admission.events())
    assert [(one.workload, one.first_at, one.last_at, one.count) for one in found] == [
        ("a", 2000.0, 2000.0, 1), ("b", 1400.0, 1400.0, 1), ("a", 1000.0, 1400.0, 2),
    ]  # fmt: skip
    await database.write(lambda tx: tx.admission.add([event(3000.0, workload="c")], keep=2))
    assert [one.workload for one in await database.read(lambda tx: tx.admission.events())] == ["c", "a"]


async def test_what_cannot_be_written_now_is_written_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = await made(database, Source(rule(100_001, "shop")))
    await answer(admission)

    async def fail(_work: Any) -> None:
        raise Unavailable("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(database, "write", fail)
        await admission.recorder.write()
    assert await database.read(lambda tx: tx.admission.counts()) == {}
    await answer(admission)
    await admission.recorder.write()

    counts = await database.read(lambda tx: tx.admission.counts())
    assert counts == {("", 0, "denied"): 2, ("fed", 100_001, "denied"): 2}
    (found,) = await database.read(lambda tx: tx.admission.events())
    assert found.count == 2


async def test_a_flood_of_different_workloads_is_counted_and_takes_no_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_PENDING", 10)
    admission = await made(database, Source(rule(100_001, "shop")))
    for number in range(30):
        raw = pod_review(f"image-{number}")
        await admission.answer(review.read(msgspec.json.encode(raw)))
    await admission.recorder.write()

    assert admission.recorder.stats.k8s_denied_requests == 30
    assert len(await database.read(lambda tx: tx.admission.events())) == 10


async def test_an_image_counts_as_scanned_by_what_was_pulled_or_by_its_name() -> None:
    digest = "sha256:" + "a" * 64
    images = [
        RunningImage(image="nginx:1", digest=digest),
        RunningImage(image="redis:7", digest=digest.replace("a", "b")),
        RunningImage(image="odd image"),
        RunningImage(image="busybox"),
    ]
    found = await without_scan(images, Scans(digest, "redis:7"))
    assert [one.image for one in found] == ["odd image", "busybox"]
