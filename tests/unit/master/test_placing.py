"""Placements: after whatever happened, each cluster has exactly what a resolution from nothing gives it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbus.core import policy_input, targets
from fedbus.core.policy_plan import Planned
from fedbus.core.targets import Place
from fedbus.errors import Conflict
from fedbus.master import homes, placing
from fedbus.master.changes import Change, record
from fedbus.master.ledger import Ledger
from fedbus.model import codec, subjects
from fedbus.model.federation import CLUSTER, Cluster, Versions
from fedbus.model.policy import Policy
from fedbus.model.targets import (
    ALL,
    ROLLOUT,
    ROLLOUT_CONTENT,
    Baseline,
    Brought,
    Requirement,
    Rollout,
    RolloutContent,
    Target,
    Wave,
)
from fedbus.store.transaction import Transaction
from tests.support.history import FEDERATION, SIGNER
from tests.unit.master.test_ledger import World


class PlacingWorld(World):
    """A ledger that derives placements."""

    def crash(self) -> None:
        self.ledger = Ledger(
            database=self.database,  # type: ignore[arg-type]
            signer=SIGNER,
            federation_id=FEDERATION,
            connection=lambda: self.bus,
            clock=self.clock,
            on_committed=self._note,
            derive=placing.derive,
        )
        self.ledger.recover = self._recover

    @property
    def tx(self) -> Transaction:
        return self.database.tx

    async def put(self, *changes: Change) -> None:
        await self.ledger.commit(lambda _: changes)

    async def apply(self, name: str, comment: str | None, target: Target = ALL) -> None:
        obj = None if comment is None else group(name, comment)
        step = Planned(kind="group", name=f"fed.{name}", obj=obj, target=target)
        await self.ledger.commit(lambda tx: homes.changes(tx, [step]))

    def clusters(self) -> dict[str, Cluster]:
        return {c.id: c for c in placing.Records(self.tx).clusters()}

    def placed(self) -> dict[Place, bytes]:
        return {
            (scope.removeprefix("c."), one.kind, one.name): one.payload
            for scope in self.tx.scopes()
            if scope.startswith("c.")
            for one in self.tx.objects(scope)
        }

    def resolved(self) -> dict[Place, bytes]:
        records = placing.Records(self.tx)
        return targets.placements(records.clusters(), records.sources())


@pytest.fixture
def world() -> Iterator[PlacingWorld]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield PlacingWorld(connection)


def group(name: str, comment: str) -> Policy:
    criteria = [{"key": "namespace", "op": "=", "value": "shop"}]
    return policy_input.parse("group", {"name": f"fed.{name}", "comment": comment, "criteria": criteria})


def cluster(id_: str, **labels: str) -> Cluster:
    return Cluster(
        id=id_, name=f"name-{id_}", nkey="U", renew_nkey="U", versions=Versions(fedbus="1"), joined_at="now",
        labels=labels,
    )  # fmt: skip


def rollout(id_: str, name: str, *reached: str) -> tuple[Change, Change]:
    state = Rollout(
        id=id_, state="rolling", waves=[Wave(percent=100)], objects=[("group", f"fed.{name}")],
        created_at="now", reached={one: Baseline() for one in reached},
    )  # fmt: skip
    raw = msgspec.Raw(codec.encode(group(name, "staged")))
    content = RolloutContent(objects=[Brought(kind="group", name=f"fed.{name}", replaces=0, object=raw)])
    return record(ROLLOUT, id_, state), record(ROLLOUT_CONTENT, id_, content)


IDS, NAMES = st.sampled_from("abcd"), st.sampled_from("xyz")
LABELS = st.dictionaries(st.sampled_from(["env", "tier"]), st.sampled_from(["1", "2"]))
REQUIREMENTS = st.builds(
    lambda key, operator, value: Requirement(key, operator, (value,) if operator.endswith("In") else ()),
    st.sampled_from(["env", "tier"]),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    st.sampled_from(["1", "2"]),
)
TARGETS = st.one_of(
    st.just(ALL),
    st.builds(lambda id_: Target(cluster=id_), IDS),
    st.builds(lambda id_: Target(cluster=f"name-{id_}"), IDS),
    st.builds(lambda found: Target(selector=tuple(found)), st.lists(REQUIREMENTS, min_size=1, max_size=2)),
)
HAPPENINGS = st.one_of(
    st.tuples(st.just("join"), IDS, LABELS),
    st.tuples(st.just("label"), IDS, LABELS),
    st.tuples(st.just("remove"), IDS, st.none()),
    st.tuples(st.just("apply"), NAMES, st.tuples(TARGETS, st.sampled_from(["one", "two"]))),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("roll"), NAMES, st.lists(IDS, unique=True)),
    st.tuples(st.just("end"), NAMES, st.booleans()),
)


async def happen(world: PlacingWorld, what: str, who: str, how: object) -> str:
    """Have one thing happen; return the code of its refusal if it would be contradictory."""
    try:
        await _happen(world, what, who, how)
    except Conflict as refused:
        return refused.code
    return ""


async def _happen(world: PlacingWorld, what: str, who: str, how: object) -> None:
    now = world.clusters()
    match what, how:
        case "join", dict(labels):
            await world.put(record(CLUSTER, who, cluster(who, **labels)))
        case "label", dict(labels) if who in now:
            await world.put(record(CLUSTER, who, msgspec.structs.replace(now[who], labels=labels)))
        case "remove", _ if who in now:
            await world.put(record(CLUSTER, who, msgspec.structs.replace(now[who], state="removed")))
        case "apply", (Target() as target, str(comment)):
            await world.apply(who, comment, target)
        case "delete", _:
            await world.apply(who, None)
        case "roll", list(reached):
            await world.put(*rollout(who, who, *reached))
        case "end", bool(aborted):
            await end(world, who, aborted)


async def end(world: PlacingWorld, name: str, aborted: bool) -> None:
    """End the rollout of a group: for all from now on, or not at all."""
    held = world.tx.object(subjects.SCOPE_MASTER, ROLLOUT, name)
    if held is None or held.deleted:
        return
    state = msgspec.structs.replace(codec.decode(held.payload, Rollout), state="aborted")
    changes = [record(ROLLOUT, name, state), record(ROLLOUT_CONTENT, name, None)]
    if not aborted:
        step = Planned(kind="group", name=f"fed.{name}", obj=group(name, "staged"))
        changes += homes.changes(world.tx, [step])
    await world.put(*changes)


@settings(max_examples=200, deadline=None)
@given(st.lists(HAPPENINGS, max_size=25))
async def test_placements_equal_a_resolution_from_nothing_after_any_sequence(
    happenings: list[tuple[str, str, object]],
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        world = PlacingWorld(connection)
        for what, who, how in happenings:
            assert await happen(world, what, who, how) in ("", "IN_ROLLOUT", "TARGETED")
            assert world.placed() == world.resolved()
            homeless = placing.Records(world.tx).targeted_keys()
            assert not set(homeless) & set(world.tx.names(subjects.SCOPE_ALL)), "for all, and targeted"
        await placing.finish(world.ledger)
        assert world.placed() == world.resolved()


async def test_cause_and_consequence_are_one_changeset(world: PlacingWorld) -> None:
    await world.apply("web", "one", Target(selector=(Requirement("env", "In", ("prod",)),)))
    await world.put(record(CLUSTER, "a", cluster("a", env="test")))
    await world.put(record(CLUSTER, "a", cluster("a", env="prod")))
    *_, own, cause = world.bus.stream
    assert own.subject == "fed.v1.ev.c.a.policy.group.fed%2Eweb"
    assert cause.subject.endswith("record.cluster.a")
    assert own.headers["ce-fbchangeset"] == cause.headers["ce-fbchangeset"]


async def test_what_follows_is_in_no_answer(world: PlacingWorld) -> None:
    await world.put(record(CLUSTER, "a", cluster("a", env="prod")))
    await world.apply("web", "one", Target(cluster="a"))
    assert [(c.kind, c.name, c.op) for c in world.committed[-1].changes] == [("group", "fed.web", "created")]


async def test_a_fleet_larger_than_a_changeset_is_finished_cluster_by_cluster(world: PlacingWorld) -> None:
    everyone = Target(selector=(Requirement("env", "Exists"),))
    for start in range(0, 1200, 600):
        changes = [record(CLUSTER, f"{n}", cluster(f"{n}", env="x")) for n in range(start, start + 600)]
        await world.put(*changes)
    await world.apply("web", "one", everyone)
    assert world.ledger.unfinished.is_set()
    assert len(world.placed()) == 999
    world.crash()  # whoever comes next finds out from the records alone
    await placing.finish(world.ledger)
    assert world.placed() == world.resolved()
    assert len(world.placed()) == 1200
    assert not world.ledger.unfinished.is_set()


def places(**counts: int) -> dict[Place, bytes | None]:
    return {(name, "group", f"{n}"): b"" for name, count in counts.items() for n in range(count)}


def test_a_changeset_has_no_half_of_what_a_cluster_gets() -> None:
    assert len(targets.fitting(places(a=3, b=3, c=2), 6, cut=False)) == 6
    assert {place[0] for place in targets.fitting(places(a=3, b=4, c=2), 6, cut=False)} == {"a", "c"}
    assert targets.fitting(places(a=7), 6, cut=False) == []
    assert len(targets.fitting(places(a=7, b=1), 6, cut=True)) == 1
    assert len(targets.fitting(places(a=7, b=7), 6, cut=True)) == 6
