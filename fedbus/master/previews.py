"""What a change of policy would do to what runs in the clusters, by their last inventories."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from fedbus.cluster.admission import decider as admission
from fedbus.cluster.admission.lookups import ScanLookup
from fedbus.cluster.admission.rules import LocalRules, Rules, federated
from fedbus.cluster.own_cluster import OwnCluster
from fedbus.core import policy_plan, previewing
from fedbus.core.admission.policy import Policy
from fedbus.core.previewing import Tally
from fedbus.core.workload import workload_of
from fedbus.errors import FedbusError
from fedbus.master import drafting, placing
from fedbus.master.changes import Change
from fedbus.master.fleet import Fleet
from fedbus.master.homes import changes
from fedbus.master.inventories import Inventories
from fedbus.master.policies import HeldPolicy
from fedbus.model import subjects
from fedbus.model.assessment import ClusterPreview, PolicyPreview
from fedbus.model.federation import AdmissionReport, Cluster, Federation
from fedbus.model.inventory import ReportedWorkload
from fedbus.model.objects import StoredObject
from fedbus.model.policy.admission import AdmissionState
from fedbus.model.review import RiskyRole, Workload
from fedbus.model.scan import Report
from fedbus.runtime import Clock
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

SECONDS: Final = 30.0
"""How long one preview may take; what is not looked at by then is said."""

REMEMBERED: Final = 256
"""Images whose scans are remembered during one preview: a scan may have a megabyte."""

LOCAL_UNKNOWN: Final = (
    "its own rules, exempt namespaces and scans: they may deny already what counts as denied from now "
    "on, or go on denying what counts as no longer denied"
)
STATE_UNKNOWN: Final = "whether its admission control is on, and its mode: taken as protect"

Roles = Callable[[str, str], tuple[RiskyRole, ...] | None]
"""Says what a service account, by namespace and name, may do."""
Document = tuple[int, int | None, dict[str, object]]


class _Policies(msgspec.Struct, frozen=True):
    """The admission policy of one cluster before and after: the federation's, and its own where known."""

    before: Rules
    after: Rules
    local: Rules | None = None


class _Planned(msgspec.Struct, frozen=True):
    """What the change is to each cluster (the master's own has no id), and whether it is all of it."""

    own: _Policies
    members: list[tuple[Cluster, _Policies]]
    complete: bool


class Previews:
    """Looks at changes before they are made."""

    def __init__(
        self,
        *,
        database: Database,
        inventories: Inventories,
        fleet: Fleet,
        federation: Federation,
        own: OwnCluster,
        clock: Clock,
    ) -> None:
        self._database, self._inventories, self._fleet = database, inventories, fleet
        self._federation, self._own, self._clock = federation, own, clock

    async def preview(self, documents: Sequence[Document]) -> PolicyPreview:
        """Return what applying documents would do. Raises what applying them would, Unavailable."""
        wanted = policy_plan.read(documents)
        planned = await self._database.read(lambda tx: _plan(tx, wanted))
        ends = self._clock.monotonic() + SECONDS
        images = _Images(self._own.scans)
        found = [await self._own_preview(planned.own, images, ends)]
        for cluster, policies in planned.members:
            found.append(await self._member_preview(cluster, policies, images, ends))
        every = [planned.own, *(policies for _, policies in planned.members)]
        rules = [rule for one in every for rule in previewing.changed(one.before.rules, one.after.rules)]
        unknown = previewing.unseen(rules)
        if not planned.complete:
            unknown.append("what some clusters get by selectors: the change is more than one changeset")
        return PolicyPreview(
            rules=sorted({rule.id for rule in rules}),
            clusters=[found[0], *sorted(found[1:], key=lambda one: (one.name, one.id))],
            unknown=unknown,
        )

    async def _own_preview(self, policies: _Policies, images: "_Images", ends: float) -> ClusterPreview:
        """Preview the master's own cluster: its rules and what runs in it are known."""
        inventory = self._own.inventory
        row = ClusterPreview(id=self._federation.id, name=self._federation.name)
        local = policies.local.state if policies.local else None
        known = AdmissionReport(enable=local.enable, mode=local.mode) if local else AdmissionReport()
        if not inventory.known:
            return await self._counted(row, policies, known, [], images, ends)
        workloads = [ReportedWorkload(manifest=one) for one in inventory.workloads()]
        return await self._counted(
            msgspec.structs.replace(row, age_seconds=0.0), policies, known, workloads, images, ends,
            roles=inventory.risky_roles,
        )  # fmt: skip

    async def _member_preview(
        self, cluster: Cluster, policies: _Policies, images: "_Images", ends: float
    ) -> ClusterPreview:
        row = ClusterPreview(id=cluster.id, name=cluster.name, unknown=[LOCAL_UNKNOWN])
        heard = self._fleet.heard(cluster.id)
        known = heard.heartbeat.cluster.admission if heard else None
        found = await self._inventories.of(cluster.id)
        if found is None:
            return await self._counted(row, policies, known, [], images, ends)
        held, report = found
        holds = heard is not None and heard.heartbeat.cluster.inventory_digest == held.digest
        at = max(held.at, heard.at) if holds and heard else held.at
        row = msgspec.structs.replace(
            row, age_seconds=max(0.0, self._clock.now() - at), left_out=report.left_out
        )
        if not report.complete:
            row.unknown.append("some kinds of workloads: it may not read them from its Kubernetes API")
        return await self._counted(row, policies, known, report.workloads, images, ends)

    async def _counted(  # noqa: PLR0917 - each is one thing that the preview hangs on
        self,
        row: ClusterPreview,
        policies: _Policies,
        known: AdmissionReport | None,
        workloads: Sequence[ReportedWorkload],
        images: "_Images",
        ends: float,
        roles: Roles | None = None,
    ) -> ClusterPreview:
        change, state = _change(policies, known, self._own.built_in.rules)
        tally, now = Tally(change), self._clock.now()
        unreadable = unscanned = done = 0
        without: set[str] = set()
        for one in workloads:
            if self._clock.monotonic() > ends:
                break
            done += 1
            try:
                workload = _workload(one, roles)
            except FedbusError:
                unreadable += 1
                continue
            scans = await images.reports(workload) if change.asks_scans else {}
            missing = await images.missing(workload)
            unscanned += bool(missing)
            without |= missing
            tally.add(workload, scans, now)
            await asyncio.sleep(0)
        unknown = row.unknown if state is not None else [*row.unknown, STATE_UNKNOWN]
        return tally.into(
            msgspec.structs.replace(
                row,
                workloads=len(workloads),
                unreadable=unreadable,
                unscanned=unscanned,
                unscanned_images=len(without),
                enable=None if state is None else state.enable,
                mode=None if state is None else state.mode,
                complete=done == len(workloads),
                unknown=unknown,
            )
        )


class _Images:
    """The scans of images; what clusters have in common is not looked up for each."""

    def __init__(self, scans: ScanLookup) -> None:
        self._scans = scans
        self._known: dict[str, bool] = {}
        self._reports: dict[str, Sequence[Report]] = {}

    async def missing(self, workload: Workload) -> set[str]:
        """Return the images of a workload that no scan is held of. Raises Unavailable."""
        for container in workload.containers:
            image = container.image
            if image.text not in self._known:
                self._known[image.text] = await self._scans.known(image)
        return {one.image.text for one in workload.containers if not self._known[one.image.text]}

    async def reports(self, workload: Workload) -> dict[str, Sequence[Report]]:
        """Return the scans of a workload's images. Raises Unavailable."""
        found: dict[str, Sequence[Report]] = {}
        for container in workload.containers:
            image = container.image
            held = self._reports.get(image.text)
            if held is None:
                held = await self._scans.reports(image)
                if len(self._reports) >= REMEMBERED:
                    self._reports.clear()
                self._reports[image.text] = held
            found[image.text] = held
        return found


class _After:
    """The federated objects of a store as some changes would leave them."""

    def __init__(self, tx: Transaction, made: Sequence[Change]) -> None:
        self._tx = tx
        self._made: dict[tuple[str, str], dict[str, StoredObject]] = {}
        for change in made:
            one = StoredObject(
                scope=change.scope,
                kind=change.kind,
                name=change.name,
                epoch=0,
                revision=0,
                version=0,
                digest="",
                payload=change.payload or b"",
                deleted=change.payload is None,
            )
            self._made.setdefault((change.scope, change.kind), {})[change.name] = one

    def object(self, scope: str, kind: str, name: str) -> StoredObject | None:
        """Return one object, a deleted one too."""
        return self._made.get((scope, kind), {}).get(name) or self._tx.object(scope, kind, name)

    def objects(self, scope: str, kind: str | None = None) -> list[StoredObject]:
        """Return the objects of one kind, not the deleted."""
        made: Mapping[str, StoredObject] = self._made.get((scope, kind or ""), {})
        held = [one for one in self._tx.objects(scope, kind) if one.name not in made]
        return held + [one for one in made.values() if not one.deleted]


def _plan(tx: Transaction, wanted: Sequence[policy_plan.Wanted]) -> _Planned:
    made = changes(tx, policy_plan.plan(HeldPolicy(tx), wanted))
    for change in made:
        drafting.preview(tx, change)  # a stale revision is refused as when it is applied
    derived = placing.derive(tx, made)
    after = _After(tx, [*made, *derived.changes])

    def policies(*scopes: str, local: Rules | None = None) -> _Policies:
        return _Policies(federated(tx, scopes), federated(after, scopes), local)

    members = [one for one in placing.Records(tx).clusters() if one.state == "joined"]
    return _Planned(
        own=policies(subjects.SCOPE_ALL, local=LocalRules().read(tx)),
        members=[(one, policies(subjects.own_scope(one.id), subjects.SCOPE_ALL)) for one in members],
        complete=derived.complete,
    )


def _change(
    policies: _Policies, known: AdmissionReport | None, built_in: Rules
) -> tuple[previewing.Change, AdmissionState | None]:
    """Return both policies, with the state that the cluster reports where the federation has none.

    `built_in` are the critical rules of this cluster, which the others are taken to have too.
    """
    own = None if known is None else AdmissionState(enable=known.enable, mode=known.mode)
    # What a cluster reports while the federation has a state is that one: its own is not known then.
    fallback = own if policies.before.state is None else None
    states = [one.state or fallback for one in (policies.before, policies.after)]
    local = [built_in] if policies.local is None else [policies.local, built_in]

    def policy(rules: Rules, state: AdmissionState | None) -> Policy:
        assumed = state or AdmissionState(enable=True, mode="protect")
        return admission.compiled([msgspec.structs.replace(rules, state=assumed), *local])

    before, after = policy(policies.before, states[0]), policy(policies.after, states[1])
    same = policies.before.profile == policies.after.profile and before.mode == after.mode
    rules = previewing.changed(policies.before.rules, policies.after.rules)
    profile = policies.before.profile
    asked_first = previewing.only(rules, profile.entries if profile else ()) if same else None
    return previewing.Change(before, after, asked_first), states[1]


def _workload(one: ReportedWorkload, roles: Roles | None) -> Workload:
    """Return a workload as it would be created again now. Raises InvalidInput."""
    workload = workload_of(one.manifest)
    known = one.risky_roles
    if roles is not None:
        known = roles(workload.namespace, workload.service_account)
    return msgspec.structs.replace(workload, risky_roles=known)
