"""The parts of the demo that need no daemons: its runner and its documents."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fedbus.cli.demo import documents, runner
from fedbus.cli.demo.runner import Report, Result, Step, Told
from fedbus.cli.errors import CliError
from fedbus.core import policy_plan
from fedbus.errors import Unavailable
from fedbus.model.policy import KINDS
from fedbus.web import yaml_documents

Act = Callable[[list[str]], Awaitable[Told]]


class Heard:
    """An audience that notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begins(self, title: str) -> None:
        self.lines.append(f"{title}?")

    def ends(self, title: str, result: Result) -> None:
        self.lines.append(f"{title}: {'ok' if result.ok else result.detail}")


async def well(scene: list[str]) -> Told:
    scene.append("was here")
    return Told("fine", 1.5)


def failing(error: Exception) -> Act:
    async def act(_scene: list[str]) -> Told:
        raise error

    return act


async def never(_scene: list[str]) -> Told:
    await asyncio.Event().wait()
    return Told("")


def steps(*acts: Act) -> list[Step[list[str]]]:
    return [Step(f"s{number}", f"Step {number}", act) for number, act in enumerate(acts)]


async def tell(*acts: Act, seconds: float = 5.0) -> tuple[Report, Heard, list[str]]:
    report, heard, scene = Report(), Heard(), list[str]()
    await runner.run(steps(*acts), scene, report, heard, seconds)
    report.finish(steps(*acts))
    return report, heard, scene


async def test_a_story_that_goes_well_is_ok() -> None:
    report, heard, scene = await tell(well, well)

    assert report.ok
    assert report.steps == [Result(name=f"s{n}", ok=True, ms=1.5, detail="fine") for n in range(2)]
    assert heard.lines == ["Step 0?", "Step 0: ok", "Step 1?", "Step 1: ok"]
    assert scene == ["was here"] * 2


async def test_a_failing_step_ends_the_story_and_the_rest_is_skipped() -> None:
    report, heard, scene = await tell(well, failing(CliError("no such thing", remedy="make one")), well, well)

    assert not report.ok
    assert [(s.ok, s.detail) for s in report.steps] == [
        (True, "fine"), (False, "no such thing; make one"), (False, "skipped"), (False, "skipped"),
    ]  # fmt: skip
    assert heard.lines[-1] == "Step 1: no such thing; make one"
    assert scene == ["was here"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("the bus is down"), "the bus is down"),
        (ExceptionGroup("", [ExceptionGroup("", [CliError("inner")]), CliError("other")]), "inner"),
        (KeyError("lag_versions"), "KeyError: 'lag_versions'"),
        (ValueError(), "ValueError: "),
    ],
)
async def test_whatever_breaks_a_step_is_its_reason(error: Exception, reason: str) -> None:
    report, _, _ = await tell(failing(error))

    assert report.steps[0].detail == reason


async def test_a_story_that_takes_too_long_fails_at_the_step_it_hangs_in() -> None:
    report, _, _ = await tell(well, never, well, seconds=0.05)

    assert [step.detail for step in report.steps] == ["fine", "the story took too long", "skipped"]


async def test_a_story_that_is_cancelled_was_interrupted_where_it_stood() -> None:
    report, hanging = Report(), asyncio.Event()

    async def hang(scene: list[str]) -> Told:
        hanging.set()
        return await never(scene)

    async with asyncio.TaskGroup() as group:
        telling = group.create_task(runner.run(steps(well, hang, well), [], report, Heard(), 5))
        await hanging.wait()
        telling.cancel()
    report.finish(steps(well, hang, well))

    assert not report.ok
    assert [step.detail for step in report.steps] == ["fine", "interrupted", "skipped"]


def test_the_policy_set_has_every_kind_and_is_valid() -> None:
    wanted = policy_plan.read(
        [(found.index, found.line, found.value) for found in yaml_documents.parse(documents.policy_set())]
    )

    assert {one.kind for one in wanted} == set(KINDS)


@pytest.mark.parametrize("stream", [documents.update(), documents.deletion(), documents.campaign(7)])
def test_the_changes_are_valid(stream: bytes) -> None:
    found = yaml_documents.parse(stream)

    assert policy_plan.read([(one.index, one.line, one.value) for one in found])
