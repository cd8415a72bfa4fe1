"""Results of a registry that somebody else scanned: where what is submitted of it goes."""

from functools import partial

from fedbus.cluster.registries.registries import Registries
from fedbus.cluster.scans.pipelines import held_in
from fedbus.cluster.scans.submission import Destination, Registry
from fedbus.core.registry.access import address_of
from fedbus.model.scan import is_federated
from fedbus.model.subjects import SCOPE_SCANS
from fedbus.store.database import Database
from fedbus.store.scans import SCOPE_LOCAL


def into(registries: Registries, scans: Database) -> Registry:
    """Make what finds where results of a registry go that is this daemon's: on a master, a federated too."""

    async def find(name: str) -> Destination:
        registry = await registries.definition(name)
        place = (SCOPE_SCANS if is_federated(name) else SCOPE_LOCAL), name
        return Destination(
            put=partial(registries.take, name),
            held=held_in(scans, (place,)),
            registry=name,
            registry_url=address_of(registry).url,
            source="registry",
        )

    return find
