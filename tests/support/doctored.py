"""Daemons of other builds: this one, made to speak other protocol versions, or to know less than it does.

`python -m tests.support.doctored ROLE PROTOCOL UNKNOWN DIR` runs one: PROTOCOL is `oldest-newest`, UNKNOWN
the kinds of policy it has never heard of (`types`: every type of event of policy), or `-`.
"""

import importlib
import sys

from fedbus import config
from fedbus.core import payload, protocol
from fedbus.model import events, subjects
from tests.support.daemons import Daemon


class OtherBuild(Daemon):
    """A daemon of another build."""

    speaks = (protocol.OLDEST, protocol.NEWEST)
    unknown: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        low, high = self.speaks
        return ("-m", "tests.support.doctored", self.role, f"{low}-{high}", ",".join(self.unknown) or "-")

    async def become(self, *, speaks: tuple[int, int] | None = None, unknown: tuple[str, ...] = ()) -> None:
        """Stop, and start as another build on the same data directory."""
        await self.stop()
        self.speaks, self.unknown = speaks or self.speaks, unknown
        await self.start()


def doctor(spoken: str, unknown: str) -> None:
    """Change this process's build."""
    protocol.OLDEST, protocol.NEWEST = (int(version) for version in spoken.split("-"))
    for kind in unknown.split(",") if unknown != "-" else ():
        if kind == "types":
            events._TYPES_OF[subjects.POLICY] = frozenset()
        else:
            known = vars(payload)["KINDS"]
            vars(payload)["KINDS"] = {name: one for name, one in known.items() if name != kind}


def main(role: str, spoken: str, unknown: str, directory: str) -> int:
    """Run the daemon."""
    doctor(spoken, unknown)
    sys.argv = [role, directory]
    daemon = importlib.import_module(f"fedbus.{role}.daemon")
    return config.main("master" if role == "master" else "worker", daemon.run)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
