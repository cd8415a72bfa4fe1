"""`fedbus bus config`: the files of the nats-servers of an external bus."""

import os
from pathlib import Path
from typing import Annotated

import typer

from fedbus import config
from fedbus.bus.deployment import Layout, Node, files_of
from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import say
from fedbus.cli.session import Shared, report
from fedbus.pki import files
from fedbus.pki.keyring import Keyring
from fedbus.runtime import Clock

app = typer.Typer(no_args_is_help=True, help="The bus, where it is not the master's child.")
_USUAL = Layout()


@app.callback()
def group() -> None:
    """Keep `config` a command of its own."""


@app.command("config")
def write_config(
    ctx: typer.Context,
    *,
    node: Annotated[
        list[str],
        typer.Option(metavar="NAME=HOST[:PORT[/ROUTE_PORT]]", help="One for each nats-server."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; one directory a node.")],
    data_dir: Annotated[Path | None, typer.Option(help="The master's directory on this machine.")] = None,
    listen: Annotated[str, typer.Option(help="The address the servers listen on.")] = _USUAL.listen,
    etc: Annotated[Path, typer.Option(help="Where the files will be on each node.")] = _USUAL.configuration,
    store: Annotated[Path, typer.Option(help="Where the server will write on each node.")] = _USUAL.data,
) -> None:
    """Write the configuration of the nats-servers that are to carry a promoted master's federation.

    Each node gets nats-server.conf, server.pem (its certificate and key: secret) and ca.pem. Nothing that
    was written before is asked for: run it again for new certificates, which are good for a year.
    """
    shared = ctx.find_root().obj
    before = shared.target.data_dir if isinstance(shared, Shared) else ""
    directory = data_dir or Path(before or config.default_data_dir("master", os.environ))

    def work() -> None:
        if not (directory / "keyring").is_dir():
            raise CliError(
                f"{directory} is of no master of a federation",
                remedy="Promote first; name its directory with --data-dir",
                code=ExitCode.USAGE,
            )
        keyring, clock = Keyring.load(directory / "keyring"), Clock()
        nodes = [Node.parse(text) for text in node]
        layout = Layout(configuration=etc, data=store, listen=listen)
        for one in nodes:
            made = files_of(one, nodes, keyring, layout, now=clock.now(), randomness=clock.random_bytes)
            target = files.make_directory(out / one.name)
            for name, content in made.items():
                files.write(target / name, content)
        urls = ", ".join(f'"{one.url}"' for one in nodes)
        say(f"Wrote {len(nodes)} directories below {out}. The master's configuration:")
        say(f"bus_urls = [{urls}]")
        if len(nodes) > 1:
            say(f"bus_replicas = {min(5, len(nodes) - 1 + len(nodes) % 2)}")

    report(work)
