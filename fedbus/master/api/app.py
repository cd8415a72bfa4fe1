"""The application of the master: its own handlers and those that both daemons have."""

from aiohttp import web

from fedbus.bus import topology
from fedbus.cluster.policy import api as policy_api
from fedbus.cluster.policy import local_api
from fedbus.cluster.policy.reader import PolicyReaders
from fedbus.cluster.registries import api as registry_api
from fedbus.cluster.registries import submission as registry_submission
from fedbus.cluster.scans import reads as scan_reads
from fedbus.cluster.scans import submission_api
from fedbus.cluster.scans.pipelines import LOCAL as LOCAL_RESULTS
from fedbus.cluster.scans.pipelines import held_in
from fedbus.cluster.scans.submission import Submissions
from fedbus.errors import Conflict
from fedbus.master import metrics
from fedbus.master.api.assessment import AssessmentHandlers
from fedbus.master.api.clusters import ClusterHandlers
from fedbus.master.api.federation import FederationHandlers
from fedbus.master.api.handlers import Handlers
from fedbus.master.api.policy import PolicyHandlers
from fedbus.master.api.rollouts import RolloutHandlers
from fedbus.master.api.tokens import TokenHandlers
from fedbus.master.lifecycle import Master
from fedbus.master.readings import MasterPolicy
from fedbus.master.scan_results import CI_PLACES
from fedbus.model.policy import LOCAL, Scope
from fedbus.web import health, openapi, policy_reads
from fedbus.web import metrics as scraped
from fedbus.web.app import new_app
from fedbus.web.auth import Authenticator

_GROUPS = (
    FederationHandlers,
    TokenHandlers,
    ClusterHandlers,
    RolloutHandlers,
    PolicyHandlers,
    AssessmentHandlers,
)


def make_app(master: Master, auth: Authenticator) -> web.Application:
    """Return the master's application."""
    app = new_app(auth)
    own = _Own(master)
    checks = {"store": own.check_store, "bus": own.check_bus}
    app.add_routes(health.routes(checks, lambda: "master"))
    for group in _GROUPS:
        app.add_routes(group(master).routes())
    app.add_routes(scraped.routes("master", master.settings.data_dir, lambda: metrics.read(master)))
    beside = registry_api.beside(master.registries, master.scans)
    policy = MasterPolicy(master.database)
    readers = PolicyReaders(policy, master.database, master.cluster.built_in)
    app.add_routes(policy_reads.routes(readers, beside))
    app.add_routes(scan_reads.routes(master.scans, master.clock))
    app.add_routes(policy_api.routes(own.writer, registry_api.KeptApart(master.registries)))
    app.add_routes(registry_api.routes(master.registries, own.writer))
    held = held_in(master.scans, (*CI_PLACES, LOCAL_RESULTS))
    into = registry_submission.into(master.registries, master.scans)
    app.add_routes(submission_api.routes(Submissions(master.pipeline_results, held, master.clock, into)))
    app.add_routes(local_api.routes(master.local))
    app.add_routes(master.cluster.routes())
    master.hub.attach(app)
    app.add_routes([openapi.route(app, "fedbus master")])
    return app


class _Own(Handlers):
    """What the routes of both daemons ask of the master."""

    def writer(self, scope: Scope) -> policy_api.PolicyWriter:
        """Return who writes the policy of a scope. Raises as `Master.federation`."""
        return self._master.local if scope is LOCAL else self._fed.policies

    async def check_store(self) -> None:
        """Commit something. Raises Unavailable."""
        stamp = self._master.clock.stamp()
        await self._master.database.write(lambda tx: tx.set_meta("probe", stamp))

    async def check_bus(self) -> None:
        """Have the bus store something, if this is a master. Raises FedbusError."""
        try:
            fed = self._fed
        except Conflict:
            return
        await topology.probe(fed.session.current())
