"""Where would this be denied? The same manifests held against the policy of every cluster, by itself."""

from collections.abc import Sequence

import msgspec

from fedbus.cluster.admission import assessment
from fedbus.cluster.admission.decider import Admission
from fedbus.core.assessment import Manifest, resources
from fedbus.errors import FedbusError, NotFound
from fedbus.master.calls import Answered, Calls
from fedbus.master.fleet import Fleet
from fedbus.model import codec
from fedbus.model.assessment import Assessment, ClusterAssessment, FederationAssessment
from fedbus.model.federation import Refusal, SummaryRow
from fedbus.model.rpc import ASSESS


class Assessing:
    """Asks the clusters, the master's own among them."""

    def __init__(self, calls: Calls, fleet: Fleet, own: Admission) -> None:
        self._calls, self._fleet, self._own = calls, fleet, own

    async def assess(self, names: Sequence[str], manifests: Sequence[Manifest]) -> FederationAssessment:
        """Assess in the clusters of these names or ids, in all if none are given, side by side.

        Raises NotFound for a name that no member has, TooLarge, Unavailable.
        """
        asked = self._asked(names)
        _, rejected = resources(manifests)
        gone = [row.id for row in asked if row.role != "master" and row.link.state == "offline"]
        others = [row.id for row in asked if row.role != "master"]
        answers = await self._calls.ask_all(others, ASSESS, codec.encode(list(manifests)), away=gone)
        found = []
        for row in asked:
            if row.role == "master":
                own = await assessment.assess(self._own, manifests)
                found.append(ClusterAssessment(id=row.id, name=row.name, assessment=_bare(own)))
            else:
                found.append(_told(row, answers[row.id]))
        return FederationAssessment(clusters=found, rejected=sorted(rejected, key=lambda one: one.index))

    def _asked(self, names: Sequence[str]) -> list[SummaryRow]:
        rows = [row for row in self._fleet.summary().clusters if row.membership == "joined"]
        known = {name: row for row in rows for name in (row.name, row.id)}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise NotFound(f"there is no cluster {unknown[0][:100]!r}", code="CLUSTER_UNKNOWN")
        chosen = {known[name].id for name in names}
        return [row for row in rows if row.id in chosen or not names]


def _told(row: SummaryRow, answer: Answered) -> ClusterAssessment:
    told = ClusterAssessment(id=row.id, name=row.name)
    if isinstance(answer, FedbusError):
        if row.link.state != "online" and answer.code in ("BUS_NO_RESPONDERS", "BUS_TIMEOUT"):
            return msgspec.structs.replace(told, offline_since=row.link.since)
        message = answer.message
        if answer.code == "BUS_NO_RESPONDERS":
            message = "its worker takes no questions: it is just connecting, or of an earlier version"
        refusal = Refusal(code=answer.code, message=message, remedy=answer.remedy)
        return msgspec.structs.replace(told, refused=refusal)
    try:
        found = codec.decode(bytes(answer), Assessment)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        refusal = Refusal(code="ANSWER_INVALID", message=f"the cluster's answer does not decode: {error}")
        return msgspec.structs.replace(told, refused=refusal)
    return msgspec.structs.replace(told, assessment=_bare(found))


def _bare(found: Assessment) -> Assessment:
    """Leave out what is the same for every cluster."""
    return msgspec.structs.replace(found, rejected=[])
