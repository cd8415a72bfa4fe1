"""What every group of the master's handlers has."""

from fedbus.master.federation import ActiveFederation
from fedbus.master.lifecycle import Master


class Handlers:
    """One method a route."""

    def __init__(self, master: Master) -> None:
        self._master = master

    @property
    def _fed(self) -> ActiveFederation:
        """The federation. Raises as `Master.federation`."""
        return self._master.federation()
