"""What the configuration says this cluster is: the master of the federation `promote_name`.

The same promote, and the same change of name and address, as over REST.
"""

import asyncio

import structlog

from fedbus.core import backoff, connectivity
from fedbus.core.writes import Request
from fedbus.errors import Conflict, FedbusError, Unavailable
from fedbus.master.lifecycle import Master, Place
from fedbus.model.federation import Federation, RestInfo
from fedbus.pki import files
from fedbus.runtime import first

log = structlog.get_logger(__name__)

INITIAL_PASSWORD = "initial-password"  # noqa: S105 - the name of a file


class Bootstrap:
    """Makes one master what its configuration says, once a start."""

    def __init__(self, master: Master) -> None:
        self._master, self._settings = master, master.settings

    async def run(self, stop: asyncio.Event) -> None:
        """Promote, or take over what changed; tried again while the bus is away."""
        attempt, master = 0, self._master
        while self._settings.promote_name and not stop.is_set():
            attempt += 1
            try:
                await self._settle()
            except OSError as error:
                unwritable = f"{self._settings.data_dir}: {error.strerror}"
                master.bootstrap_error = connectivity.error("DISK_UNWRITABLE", unwritable)
                log.error("bootstrap_failed", **connectivity.facts(master.bootstrap_error))  # noqa: TRY400
                break
            except Unavailable as error:
                master.bootstrap_error = error
                log.warning("bootstrap_waits", **connectivity.facts(error))
                await first(stop.wait(), timeout=backoff.delay(attempt, master.clock.jitter()))
            except FedbusError as error:
                master.bootstrap_error = error
                log.error("bootstrap_failed", **connectivity.facts(error))  # noqa: TRY400
                break
            else:
                master.bootstrap_error = None
                break
        await stop.wait()

    async def _settle(self) -> None:
        s = self._settings
        bus = RestInfo(server=s.advertised_server, port=s.advertised_port)
        rest = RestInfo(server=s.advertised_rest_server, port=s.advertised_rest_port)
        held = self._master.promoted()
        if held is None:
            _, password = await self._master.promote(s.promote_name, bus, rest)
            files.write(s.data_dir / INITIAL_PASSWORD, password + "\n")
            log.info("promoted", federation=s.promote_name)
        elif differences := _differences(held, s.promote_name, bus, rest):
            try:
                place, by = Place(s.promote_name, bus, rest), Request(actor="configuration")
                await self._master.reconfigure(place, {}, lambda _: None, by)
            except Conflict as error:
                raise Conflict(
                    f"the configuration changes {', '.join(differences)}: {error.message}",
                    code=error.code,
                    remedy="set it back, or remove the clusters, restart, and have them join again",
                ) from error
            log.warning("federation_changed", changes=differences)


def _differences(held: Federation, name: str, bus: RestInfo, rest: RestInfo) -> list[str]:
    """Return what is not as configured; what the configuration leaves open is as it is."""
    pairs = {
        "promote_name": (held.name, name),
        "advertised_server": (held.bus.server, bus.server),
        "advertised_port": (held.bus.port, bus.port),
        "advertised_rest_server": (held.rest.server, rest.server),
        "advertised_rest_port": (held.rest.port, rest.port),
    }
    return [f"{key} {is_!r} to {want!r}" for key, (is_, want) in pairs.items() if want and want != is_]
