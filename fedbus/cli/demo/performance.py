"""One performance of the demo: a directory, the daemons, the story, and nothing left of it afterwards."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from fedbus.cli import output
from fedbus.cli.demo import admission, guide, runner
from fedbus.cli.demo.fleet import Fleet, running
from fedbus.cli.demo.runner import Report
from fedbus.cli.demo.scene import Scene
from fedbus.cli.demo.screen import Screen
from fedbus.cli.demo.story import STORY
from fedbus.cli.errors import CliError
from fedbus.cli.output import Output
from fedbus.runtime import first, stop_on_signals

STORY_SECONDS = 35.0
"""All steps together; what is left of 45 seconds is for ending the processes."""
INTERRUPTED_STATUS = 130


class Wanted(msgspec.Struct, frozen=True):
    """The options of the command."""

    check: bool
    keep: bool
    bus_port: int
    output: Output


async def run(wanted: Wanted) -> int:
    """Perform; return the exit status. SIGINT and SIGTERM end it at any time, cleanly."""
    report = Report()
    stop = asyncio.Event()
    programs_read = wanted.output is not Output.TABLE
    console = Console(stderr=programs_read, highlight=False)
    with stop_on_signals(stop), _directory(keep=wanted.keep) as directory:
        async with running(directory, wanted.bus_port) as fleet:
            screen = Screen(console, fleet.master.board)
            with screen.live():
                await _tell(fleet, screen, report, stop)
            if report.ok and not wanted.check:
                await _stay(fleet, screen, stop)
        if wanted.keep:
            screen.say(f"The logs are in {directory}")
    if programs_read:
        output.emit(wanted.output, report, lambda: None)
    if not report.ok:
        return 1 if wanted.check or not stop.is_set() else INTERRUPTED_STATUS
    return 0


async def _tell(fleet: Fleet, screen: Screen, report: Report, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(
            runner.run(STORY, Scene(fleet), report, screen, STORY_SECONDS), name="story"
        )
        await first(asyncio.wait([telling]), stop.wait())
        telling.cancel()
    told = len(report.steps)
    report.finish(STORY)
    for step, result in zip(STORY[told:], report.steps[told:], strict=True):
        screen.ends(step.title, result)


async def _stay(fleet: Fleet, screen: Screen, stop: asyncio.Event) -> None:
    guide.lay_out(fleet)
    webhook = await admission.webhook(fleet.workers[guide.ASKED])
    for line in guide.lines(fleet, webhook.url + admission.PATH):
        screen.say(line)
    screen.waits("Ctrl-C ends everything")
    with screen.live():
        await stop.wait()
    screen.say("Ending everything ...")


@contextmanager
def _directory(*, keep: bool) -> Iterator[Path]:
    """Make a directory that only we can read: private keys will be in it."""
    try:
        directory = Path(tempfile.mkdtemp(prefix="fedbus-demo-"))
    except OSError as error:
        raise CliError(f"Cannot make a temporary directory: {error}") from error
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
