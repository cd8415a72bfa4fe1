"""What can be tried once the story is told: addresses, credentials, commands."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from fedbus.cli.demo import documents, scans
from fedbus.cli.demo.fleet import MASTER, Fleet, Member
from fedbus.cli.demo.scene import PASSWORD_FILE
from fedbus.cli.demo.story import REMOVED
from fedbus.cli.errors import CliError

ASKED = "berlin"
"""The worker that the guide asks."""
FILES = {
    "deny.yaml": documents.deny,
    "allow.yaml": documents.allow,
    "review.json": lambda: documents.review(scans.ORDERS_IMAGE),
    "scan.json": scans.pipeline,
}
"""What the guide's commands read."""


def lay_out(fleet: Fleet) -> None:
    """Write the files that the guide names. Raises CliError."""
    for name, content in FILES.items():
        try:
            (fleet.directory / name).write_bytes(content())
        except OSError as error:
            raise CliError(f"Cannot write {name}: {error}") from error


def lines(fleet: Fleet, webhook: str) -> list[str]:
    """Return the guide to a fleet that is up; `webhook` is where it is asked."""
    asked, berlin = fleet.workers[ASKED], f"fedbus --data-dir {ASKED}"
    hub = f"fedbus --data-dir {MASTER}"
    return [
        "",
        "All of it stays up until Ctrl-C. In another terminal:",
        "",
        f"  cd {shlex.quote(str(fleet.directory))}",
        *_how_to_call(),
        "",
        *_aligned(
            [
                ("  live summary", f"{hub} summary --watch"),
                (f"  what {ASKED} holds", f"{berlin} policy get network-rules"),
                ("  change policy", f"{hub} policy get webhooks -o yaml > my.yaml"),
                ("  and see it arrive", f"{hub} policy apply -f my.yaml"),
                ("  scans", f"{berlin} scan list"),
                ("", f"{berlin} scan cve {scans.CRITICAL}"),
                ("", f"{hub} scan submit scan.json --tag 1.0"),
                ("  deny an image", f"{hub} policy apply -f deny.yaml"),
                ("  ask the webhook", f"curl --cacert {_file(asked, asked.process.reached_by.ca)} \\"),
                ("", f"  --data @review.json {webhook}"),
                ("  who asked", f"{berlin} admission events"),
                ("  allow it again", f"{hub} policy apply -f allow.yaml"),
                ("  members", f"{hub} cluster list"),
                (f"  {REMOVED} returns", f"{hub} token create --out token"),
                ("", f"fedbus --data-dir {REMOVED} join {REMOVED} --token-file token"),
                ("  by hand", f"curl --cacert {_file(fleet.master, fleet.master.process.reached_by.ca)} \\"),
                ("", f'  -H "X-Auth-Apikey: $(cat {_key(fleet.master)})" \\'),
                ("", f"  '{fleet.master.process.reached_by.url}/v1/group?scope=fed'"),
            ]
        ),
        "",
        *_aligned(
            [
                ("  CLUSTER", "REST API", "PROCESS", "API KEY"),
                *(_how_to_reach(member) for member in fleet.members),
            ]
        ),
        "",
        f"  Beside each API key: {PASSWORD_FILE} (of the user admin) and daemon.log.",
        "",
    ]


def _how_to_reach(member: Member) -> tuple[str, ...]:
    return f"  {member.name}", member.process.reached_by.url, str(member.process.pid), _key(member)


def _key(member: Member) -> str:
    return _file(member, member.process.reached_by.api_key_file)


def _file(member: Member, name: str) -> str:
    """Return the name of a file of a daemon, as seen from the directory of all."""
    return str(Path(name).relative_to(member.directory.parent.resolve()))


def _how_to_call() -> list[str]:
    """Return what makes `fedbus` mean this program in another shell, if it does not already."""
    called, found = Path(sys.argv[0]), shutil.which("fedbus")
    if found and called.exists() and Path(found).samefile(called):
        return []
    if called.name == "fedbus" and os.access(called, os.X_OK):
        return [f"  alias fedbus={shlex.quote(str(called.absolute()))}"]
    return [f"  alias fedbus={shlex.quote(f'{sys.executable} -m fedbus')}"]


def _aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]
