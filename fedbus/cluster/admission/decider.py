"""Admission control of one cluster: reviews in, decisions out, by the policy and scans in its own store.

The policy is compiled when it changes, at most once a version, beside the requests. A request reads
memory and the store, never the network (guarantee 6).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from fedbus import metrics
from fedbus.cluster.admission.lookups import NoRoles, NoScans, RoleLookup, ScanLookup
from fedbus.cluster.admission.recorder import Recorder
from fedbus.cluster.admission.requesters import Requesters
from fedbus.cluster.admission.rules import Rules, RuleSource
from fedbus.core.admission.policy import OFF, Policy, Reports
from fedbus.core.image_reference import image_as_written
from fedbus.core.policy_rules.admission_criteria import RISKY_ROLE
from fedbus.core.workload import CLAIM, POD_PATHS, workload_of
from fedbus.errors import FedbusError, Unavailable
from fedbus.kube.review import Answer, Request, Review
from fedbus.kube.webhook import Failure
from fedbus.model.decision import Decision, RuleName, RuleScope
from fedbus.model.policy.admission import AdmissionRule
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.review import Workload
from fedbus.model.scan import Report
from fedbus.runtime import Clock, first
from fedbus.store.database import Database
from fedbus.store.transaction import Transaction

LOOK_SECONDS: Final = 30.0
"""How often the policy is compared with the store even if nobody said that it changed."""
MAX_PAUSE: Final = 0.25
"""Seconds between two compilations at most: under a storm of changes, requests come first."""

_GROUPS = frozenset(("", "apps", "batch", "extensions", "apps.openshift.io"))
_SUBRESOURCES = frozenset(("", "ephemeralcontainers"))

log = structlog.get_logger(__name__)


class Admission:
    """Decides reviews, and keeps what it decides by."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sources: Sequence[RuleSource],
        *,
        scans: ScanLookup | None = None,
        roles: RoleLookup | None = None,
    ) -> None:
        """Take the sources of rules, the federation's first: earlier ones have the state and the profile."""
        self._database, self._clock, self._sources = database, clock, sources
        self._scans: ScanLookup = scans or NoScans()
        self._roles: RoleLookup = roles or NoRoles()
        self.recorder = Recorder(database, clock)
        self._requesters = Requesters()
        self._policy: Policy | None = None
        self._stamp: object = None
        self._changed = asyncio.Event()
        self.built = 0
        """How often the policy was compiled."""
        self.error: FedbusError | None = None
        """Why the newest policy is not the one that decides, if so."""

    @property
    def policy(self) -> Policy:
        """What decides now. Raises Unavailable while none was read."""
        if self._policy is None:
            raise Unavailable("the admission policy was not read yet", code="ADMISSION_STARTING")
        return self._policy

    @property
    def ready(self) -> bool:
        """Whether there is a policy, an empty one too."""
        return self._policy is not None

    def changed(self) -> None:
        """Note that policy changed in the store: call it after the commit."""
        self._changed.set()

    async def load(self) -> None:
        """Read policy and counts for the first time. Raises Unavailable."""
        await self.recorder.load()
        await self._refresh()

    async def newest(self) -> Policy:
        """Return what decides by the store as it is now. Raises Unavailable."""
        await self._refresh()
        return self.policy

    async def keep(self, stop: asyncio.Event) -> None:
        """Keep the policy equal to the store's until `stop`; while that fails the last one decides."""
        while not stop.is_set():
            await first(stop.wait(), self._changed.wait(), timeout=LOOK_SECONDS)
            self._changed.clear()
            began = self._clock.monotonic()
            try:
                await self._refresh()
                self.error = None
            except FedbusError as error:
                self.error = error
                log.error("admission_policy_kept", error=error.message, remedy=error.remedy)  # noqa: TRY400
            pause = 4 * (self._clock.monotonic() - began)
            await first(stop.wait(), timeout=min(pause, MAX_PAUSE))

    async def _refresh(self) -> None:
        held = self._stamp

        def build(tx: Transaction) -> tuple[object, Policy] | None:
            """Compile in the store's thread, from one snapshot of all sources."""
            stamp = tuple(source.stamp(tx) for source in self._sources)
            if stamp == held:
                return None
            return stamp, compiled([source.read(tx) for source in self._sources])

        built = await self._database.read(build)
        if built is not None:
            self._stamp, self._policy = built
            self.built += 1
            unusable = [(one.name, one.reason) for one in self._policy.unusable]
            log.info(
                "admission_policy",
                enabled=self._policy.state.enable,
                mode=self._policy.mode,
                rules=len(self._policy),
                unusable=unusable[:10],
            )

    async def answer(self, asked: Review) -> Answer:
        """Answer a review. Raises FedbusError where the request cannot be read or the store not asked."""
        policy = self.policy
        if not policy.state.enable or not _concerns_us(asked.request):
            if not asked.request.dry_run:
                self.recorder.ignored()
            return Answer(allowed=True)
        self.recorder.processing += 1
        began = self._clock.monotonic()
        try:
            workload = self.workload(asked.request)
            decision = await self.decide(workload)
        finally:
            self.recorder.processing -= 1
            metrics.admission_took(self._clock.monotonic() - began)
        if not workload.dry_run:
            if decision.allowed:
                self._requesters.remember(workload)
            self.recorder.decided(workload, decision)
        return _answer(decision)

    def workload(self, request: Request) -> Workload:
        """Return what a request asks for. Raises InvalidInput for a manifest that cannot be read."""
        found = workload_of(
            {**(request.object or {}), "kind": request.kind.kind},
            user=request.user_info.username,
            groups=request.user_info.groups or (),
            operation="UPDATE" if request.operation == "UPDATE" else "CREATE",
            dry_run=bool(request.dry_run),
            read_image=image_as_written,
        )
        # The object of a request may leave out what its path said.
        found = msgspec.structs.replace(
            found, namespace=request.namespace or found.namespace, name=found.name or request.name
        )
        return self._requesters.attributed(found)

    def blind(self) -> list[RuleName]:
        """Return the rules that ask for the roles of service accounts while nobody here knows them."""
        known = self._roles.risky_roles("default", "default") is not None
        return [] if known else self.policy.asking(RISKY_ROLE)

    async def decide(self, workload: Workload) -> Decision:
        """Decide on a workload by what this cluster holds now. Raises Unavailable."""
        policy = self.policy
        if policy.is_exempt(workload):  # waits for nothing, not even for a store that is away
            return policy.decide(workload, {}, self._clock.now())
        return policy.decide(*await self.known(workload))

    async def known(self, workload: Workload) -> tuple[Workload, Reports, float]:
        """Return a workload with what its account may do, the scans of its images, and the time it is.

        Raises Unavailable.
        """
        scans: dict[str, Sequence[Report]] = {}
        for container in workload.containers:
            image = container.image
            if image.text not in scans:
                scans[image.text] = await self._scans.reports(image)
        known = msgspec.structs.replace(
            workload, risky_roles=self._roles.risky_roles(workload.namespace, workload.service_account)
        )
        return known, scans, self._clock.now()

    def failed(self, asked: Review, _why: Failure, _message: str) -> None:
        """Count a review that was answered without a decision."""
        if not asked.request.dry_run:
            self.recorder.failed()


def compiled(held: Sequence[Rules]) -> Policy:
    """Compile the policy of all sources; the first one with a state has it."""
    return Policy(
        _ordered(held, "fed"),
        _ordered(held, "local"),
        state=next((one.state for one in held if one.state is not None), OFF),
        accepted=_entries(held, "fed"),
        accepted_locally=_entries(held, "local"),
    )


def _entries(held: Sequence[Rules], scope: RuleScope) -> list[VulnerabilityEntry]:
    return [
        entry
        for one in held
        if one.scope == scope and one.profile is not None
        for entry in one.profile.entries
    ]


def _ordered(held: Sequence[Rules], scope: RuleScope) -> list[AdmissionRule]:
    """Return the rules of a scope; without ranks they stand in the order that the sources say."""
    return [
        msgspec.structs.replace(rule, rank="") for one in held if one.scope == scope for rule in one.rules
    ]


def _concerns_us(request: Request) -> bool:
    """Tell whether there is something to judge: a workload made or changed, and not on its way out."""
    if request.operation not in ("CREATE", "UPDATE") or request.object is None:
        return False
    if request.kind.group not in _GROUPS or request.sub_resource not in _SUBRESOURCES:
        return False
    if request.kind.kind not in POD_PATHS and request.kind.kind != CLAIM:
        return False
    metadata = request.object.get("metadata")
    return not (isinstance(metadata, dict) and metadata.get("deletionTimestamp"))


def _answer(decision: Decision) -> Answer:
    by = next((one.decided_by for one in decision.containers if one.decided_by and not one.allowed), None)
    audit = {"decision": "allowed" if decision.allowed else "denied"}
    if by is not None:
        audit["rule"] = f"{by.scope}/{by.rule}"
    return Answer(allowed=decision.allowed, message=decision.message, warnings=decision.warnings, audit=audit)
