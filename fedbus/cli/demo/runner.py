"""Runs a story: a list of steps in order, up to the first that fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from fedbus.cli import errors
from fedbus.cli.errors import CliError
from fedbus.errors import FedbusError

T = TypeVar("T")

SKIPPED = "skipped"
INTERRUPTED = "interrupted"


class Told(msgspec.Struct, frozen=True):
    """What a step has to say when it is done; without `ms` the time it took is its time."""

    detail: str
    ms: float | None = None


class Step(msgspec.Struct, Generic[T], frozen=True):
    """One step: its name for programs, its title for people, and what it does and asserts."""

    name: str
    title: str
    act: Callable[[T], Awaitable[Told]]


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a step went; a step that did not come to its turn is not ok either."""

    name: str
    ok: bool
    ms: float
    detail: str = ""


class Report(msgspec.Struct):
    """The results so far, in the order of the steps."""

    ok: bool = False
    steps: list[Result] = []

    def finish(self, steps: Sequence[Step[T]]) -> None:
        """Account for the steps that were not run: skipped, or interrupted where none had failed."""
        for step in steps[len(self.steps) :]:
            failed = any(not result.ok for result in self.steps)
            detail = SKIPPED if failed else INTERRUPTED
            self.steps.append(Result(name=step.name, ok=False, ms=0.0, detail=detail))
        self.ok = all(result.ok for result in self.steps)


class Audience(Protocol):
    """Who is told as the story goes."""

    def begins(self, title: str) -> None:
        """Hear that a step begins."""
        ...

    def ends(self, title: str, result: Result) -> None:
        """Hear how a step went."""
        ...


async def run(steps: Sequence[Step[T]], scene: T, report: Report, audience: Audience, seconds: float) -> None:
    """Run the steps and add their results to `report`; all together may take `seconds`.

    Ends at the first step that fails. A cancelled run leaves the results so far: `Report.finish` adds
    the rest in any case.
    """
    end = asyncio.get_running_loop().time() + seconds
    for step in steps:
        audience.begins(step.title)
        result = await _run(step, scene, end)
        report.steps.append(result)
        audience.ends(step.title, result)
        if not result.ok:
            return


async def _run(step: Step[T], scene: T, end: float) -> Result:
    began = time.perf_counter()
    ok, ms = False, None
    try:
        async with asyncio.timeout_at(end):
            told = await step.act(scene)
        ok, ms, detail = True, told.ms, told.detail
    except Exception as error:  # noqa: BLE001 - a step that breaks, in whatever way, has failed: that is its result
        detail = _reason(error)
    took = (time.perf_counter() - began) * 1000
    return Result(name=step.name, ok=ok, ms=round(took if ms is None else ms, 1), detail=detail)


def _reason(error: BaseException) -> str:
    """Say why in one line; of several errors at once the first is the reason."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case CliError():
            return "; ".join(line.strip().removeprefix("Error: ") for line in errors.lines(error))
        case FedbusError():
            return error.message
        case TimeoutError():
            return "the story took too long"
    return f"{type(error).__name__}: {error}"
