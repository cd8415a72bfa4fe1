"""An examination of the way to the federation: steps in order, and what each one found.

What comes after a failure is not tested, unless it does not need what failed.
"""

from collections.abc import Awaitable, Callable, Sequence

from fedbus.bus import reach
from fedbus.bus.reader import Reader
from fedbus.bus.session import Endpoint
from fedbus.core import connectivity, diagnosis
from fedbus.core.connectivity import Step
from fedbus.core.diagnosis import Finding
from fedbus.errors import FedbusError

Work = Callable[[], Awaitable[str | Finding]]
Attempt = Callable[[Reader], Awaitable[str]]
"""A try of a consumer that is there for nothing else."""


class Examination:
    """Collects findings."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._broken = ""

    async def step(self, step: Step, work: Work, *, blocks: bool = True, independent: bool = False) -> None:
        """Run a step; `work` returns what it saw or a finding, or raises what is wrong.

        With `blocks`, the steps behind it need it; an `independent` one is run whatever failed before.
        """
        if self._broken and not independent:
            self.findings.append(diagnosis.not_tested(step, f"needs what failed before: {self._broken}"))
            return
        try:
            seen = await work()
            self.findings.append(diagnosis.ok(step, seen) if isinstance(seen, str) else seen)
        except FedbusError as error:
            self.findings.append(diagnosis.failed(step, error))
            if blocks:
                self._broken = step.title

    async def way(self, endpoint: Endpoint) -> None:
        """Go to the bus: name, TCP, TLS.

        Of several servers each is tried; one that works is enough, and one that does not is a warning.
        """

        async def shake(server: str) -> str:
            return await reach.shake_hands(server, endpoint.ca_pem)

        for step, attempt in ((Step.NAME, reach.resolve), (Step.TCP, reach.dial), (Step.TLS, shake)):
            await self.step(step, lambda step=step, attempt=attempt: _any(step, endpoint.servers, attempt))  # type: ignore[misc]


async def _any(step: Step, servers: Sequence[str], attempt: Callable[[str], Awaitable[str]]) -> str | Finding:
    said, failures = [], []
    for server in servers:
        try:
            said.append(await attempt(server))
        except FedbusError as error:
            failures.append(error)
    if not said:
        raise failures[0]
    detail = "; ".join([*said, *(f"but: {failure.message}" for failure in failures)])
    return diagnosis.warned(step, detail, failures[0]) if failures else detail


async def try_consumer(reader: Reader) -> str:
    """Make a consumer of our own, read from it and drop it. Raises FedbusError: CONSUMER_*."""
    pending = await reader.attach(None)
    batches = reader.batches(idle=True)
    try:
        batch = await anext(batches)
    finally:
        await batches.aclose()
    await reader.detach()
    return f"a consumer was made, and read {len(batch)} of {pending} messages"


async def try_stream(reader: Reader) -> str:
    """Ask for a consumer that is not there: only the stream can say so. Raises FedbusError: STREAM_*."""
    await reader.detach()
    return "the stream answers"


def check_skew(seconds: float, limit: float, whose: str) -> str:
    """Say how far two clocks are apart. Raises FedbusError: CLOCK_SKEW."""
    said = f"this clock is {abs(seconds):.2f} s {'ahead of' if seconds > 0 else 'behind'} {whose}"
    if diagnosis.skewed(seconds, limit):
        raise connectivity.error("CLOCK_SKEW", f"{said}; {limit:.0f} s are allowed")
    return said
