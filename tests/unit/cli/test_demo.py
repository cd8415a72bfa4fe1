"""The parts of the demo that need no daemons: its runner and its documents."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

import pytest

from fedbus.cli import profiles
from fedbus.cli.demo import admission, documents, runner, scans, scene
from fedbus.cli.demo.fleet import Member
from fedbus.cli.demo.process import DaemonProcess
from fedbus.cli.demo.runner import Report, Result, Step, Told
from fedbus.cli.errors import CliError
from fedbus.core import policy_plan
from fedbus.core.workload import workload_of
from fedbus.errors import Unavailable
from fedbus.kube import review
from fedbus.model.policy import KINDS
from fedbus.web import yaml_documents
from fedbus.web.policy_reads import PATHS

from .conftest import FakeApi

Act = Callable[[list[str]], Awaitable[Told]]


class Heard:
    """An audience that notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begins(self, title: str) -> None:
        self.lines.append(f"{title}?")

    def ends(self, title: str, result: Result) -> None:
        self.lines.append(f"{title}: {'ok' if result.ok else result.detail}")


async def well(visits: list[str]) -> Told:
    visits.append("was here")
    return Told("fine", 1.5)


def failing(error: Exception) -> Act:
    async def act(_visits: list[str]) -> Told:
        raise error

    return act


async def never(_visits: list[str]) -> Told:
    await asyncio.Event().wait()
    return Told("")


def steps(*acts: Act) -> list[Step[list[str]]]:
    return [Step(f"s{number}", f"Step {number}", act) for number, act in enumerate(acts)]


async def tell(*acts: Act, seconds: float = 5.0) -> tuple[Report, Heard, list[str]]:
    report, heard, visits = Report(), Heard(), list[str]()
    await runner.run(steps(*acts), visits, report, heard, seconds)
    report.finish(steps(*acts))
    return report, heard, visits


async def test_a_story_that_goes_well_is_ok() -> None:
    report, heard, visits = await tell(well, well)

    assert report.ok
    assert report.steps == [Result(name=f"s{n}", ok=True, ms=1.5, detail="fine") for n in range(2)]
    assert heard.lines == ["Step 0?", "Step 0: ok", "Step 1?", "Step 1: ok"]
    assert visits == ["was here"] * 2


async def test_a_failing_step_ends_the_story_and_the_rest_is_skipped() -> None:
    report, heard, visits = await tell(
        well, failing(CliError("no such thing", remedy="make one")), well, well
    )

    assert not report.ok
    assert [(s.ok, s.detail) for s in report.steps] == [
        (True, "fine"), (False, "no such thing; make one"), (False, "skipped"), (False, "skipped"),
    ]  # fmt: skip
    assert heard.lines[-1] == "Step 1: no such thing; make one"
    assert visits == ["was here"]


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

    async def hang(visits: list[str]) -> Told:
        hanging.set()
        return await never(visits)

    async with asyncio.TaskGroup() as group:
        telling = group.create_task(runner.run(steps(well, hang, well), [], report, Heard(), 5))
        await hanging.wait()
        telling.cancel()
    report.finish(steps(well, hang, well))

    assert not report.ok
    assert [step.detail for step in report.steps] == ["fine", "interrupted", "skipped"]


class Standing(DaemonProcess):
    """A daemon that stands there already."""

    async def start(self) -> Self:
        self.reached_by = profiles.note(self.directory)
        return self


async def test_a_worker_that_shows_an_older_revision_is_named_with_the_kind(api: FakeApi) -> None:
    for paths in PATHS.values():
        api.answers[f"GET {paths.list_path}"] = {paths.list_key: []}
    api.answers["GET /v1/system/config"] = {"fed_config": {"webhooks": []}}
    answers = iter([2, 2, 2, 1])  # the master, a worker, the master again, the worker as it is later
    api.answers["GET /v1/group"] = lambda: {
        "groups": [{"name": "fed.a"}],
        "revisions": {"fed.a": next(answers)},
    }
    async with asyncio.TaskGroup() as group:
        master = Member("hub", Standing("master", api.data_dir, {}), group)
        worker = Member("berlin", Standing("worker", api.data_dir, {}), group)
        await master.start()
        await worker.start()

        await scene.expect_same(master, [worker])
        with pytest.raises(CliError, match=r"^berlin differs from the master in group$"):
            await scene.expect_same(master, [worker])

        await master.stop()
        await worker.stop()


def test_the_policy_set_has_every_kind_and_is_valid() -> None:
    wanted = policy_plan.read(
        [(found.index, found.line, found.value) for found in yaml_documents.parse(documents.policy_set())]
    )

    assert {one.kind for one in wanted} == set(KINDS)


@pytest.mark.parametrize(
    "stream",
    [documents.update(), documents.deletion(), documents.deny(), documents.allow(), documents.campaign(7)],
)
def test_the_changes_are_valid(stream: bytes) -> None:
    found = yaml_documents.parse(stream)

    assert policy_plan.read([(one.index, one.line, one.value) for one in found])


def test_no_registry_of_the_policy_set_is_scanned_by_itself() -> None:
    found = [one.value for one in yaml_documents.parse(documents.policy_set())]
    specs = [cast("Any", value)["spec"] for value in found if cast("Any", value)["kind"] == "registry"]

    assert scans.REGISTRY in {spec["name"] for spec in specs}
    assert {spec["schedule"]["schedule"] for spec in specs} == {"manual"}


def test_the_denying_rule_is_the_one_that_is_awaited_and_deleted() -> None:
    (rule,), (deletion,) = (yaml_documents.parse(stream) for stream in (documents.deny(), documents.allow()))

    spec = cast("Any", rule.value)["spec"]
    assert (spec["id"], spec["criteria"][0]["value"]) == (admission.RULE, scans.CRITICAL)
    assert deletion.value == {"op": "delete", "kind": "admission_rule", "spec": {"id": admission.RULE}}


def test_the_review_is_one_that_a_webhook_reads() -> None:
    asked = review.read(documents.review(scans.ORDERS_IMAGE))

    workload = workload_of(asked.request.object or {})
    assert [one.image.text for one in workload.containers] == [scans.ORDERS_IMAGE]


async def test_what_does_not_come_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "WAIT_SECONDS", 0.02)

    async def no() -> bool:
        return False

    with pytest.raises(CliError, match=r"^berlin to deny it: not within 0 s$"):
        await scene.soon("berlin to deny it", no)
