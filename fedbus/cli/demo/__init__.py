"""`fedbus demo`: a bus, a master and three workers on this machine, and a story told with them.

`story` is the list of steps and what each asserts, `runner` runs it, `fleet` and `process` hold the
daemons, `documents` the policy, `scans` the scan results, `scanning` and `admission` the steps about
those, `screen` and `guide` are what a person sees, `performance` is all of it together. `--check` runs
the very same list.
"""

import asyncio
from typing import Annotated

import typer

from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Output
from fedbus.cli.session import OutputOption, Shared, report


def demo(
    ctx: typer.Context,
    *,
    check: Annotated[bool, typer.Option("--check", help="Run the story, report, and end: 0 or 1.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the directory, with the logs, at the end.")
    ] = False,
    bus_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of the bus; 0 takes a free one.")
    ] = 0,
    output: OutputOption = None,
) -> None:
    """Watch policy and scans reach three clusters: everything runs on this machine, on free ports.

    A master is promoted, three workers join, policy is published, changed and deleted, scan results are
    shared, a rule has every webhook deny an image, a worker misses changes and catches up, another is
    removed. Then all stays up to be tried, until Ctrl-C.
    """
    shared = ctx.find_root().obj
    form = output or (shared.output if isinstance(shared, Shared) else None) or Output.TABLE

    def run() -> None:
        if form is not Output.TABLE and not check:
            raise CliError(f"--output {form} needs --check", code=ExitCode.USAGE)
        from fedbus.cli.demo import performance  # noqa: PLC0415 - other commands need not load it

        raise typer.Exit(asyncio.run(performance.run(performance.Wanted(check, keep, bus_port, form))))

    report(run)
