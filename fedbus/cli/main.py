"""The root of the command tree."""

from pathlib import Path
from typing import Annotated

import typer

from fedbus import __version__
from fedbus.cli import (
    admission,
    assess,
    bus,
    changes,
    cluster,
    configuration,
    daemon,
    demo,
    doctor,
    federation,
    images,
    inventory,
    policy,
    previews,
    profile,
    registry,
    rollout,
    schemas,
    session,
    settings,
    submission,
    summary,
    token,
)
from fedbus.cli.exchange import commands as exchange
from fedbus.cli.exit_codes import HELP

app = typer.Typer(
    name="fedbus",
    help="Keep security policy in step across Kubernetes clusters, over NATS JetStream.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables could show a secret
)
scans = typer.Typer(no_args_is_help=True, help="Results of image scans.")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fedbus {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    profile: session.ProfileOption = "",
    url: session.UrlOption = "",
    ca: session.CaOption = "",
    api_key_file: session.KeyOption = "",
    data_dir: session.DataDirOption = "",
    output: session.OutputOption = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the shared options before the command's name too."""
    ctx.obj = session.shared_options(profile, url, ca, api_key_file, data_dir, output)


def _write_schemas(directory: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Write the JSON Schemas of everything on the bus."""
    schemas.write(directory)


app.command("master")(daemon.master)
app.command("worker")(daemon.worker)
federation.register(app)
summary.register(app)
app.add_typer(token.app, name="token")
app.add_typer(cluster.app, name="cluster")
changes.register(policy.app)
previews.register(policy.app)
exchange.register(policy.app)
app.add_typer(policy.app, name="policy")
app.add_typer(rollout.app, name="rollout")
app.add_typer(admission.app, name="admission")
session.command(app, epilog=assess.EXIT_CODES)(assess.assess)
app.add_typer(inventory.app, name="inventory")
app.add_typer(bus.app, name="bus")
app.add_typer(settings.app, name="settings")
images.register(scans)
submission.register(scans)
app.add_typer(scans, name="scan")
app.add_typer(registry.app, name="registry")
app.add_typer(profile.app, name="profile")
app.add_typer(configuration.app, name="config")
app.command("doctor", epilog=doctor.EXIT_CODES)(doctor.doctor)
app.command("demo")(demo.demo)
app.command("schemas", hidden=True)(_write_schemas)


def main() -> None:
    """Run the command line (the console script)."""
    app()
