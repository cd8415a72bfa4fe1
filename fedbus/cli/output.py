"""What commands print: tables for people, JSON and YAML for programs.

Results go to standard output, everything else to standard error.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec
import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedbus.web.yaml_documents import plain_scalar


class Output(StrEnum):
    """The form of a result."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Column = tuple[str, Callable[[dict[str, object]], object]]


def say(message: str) -> None:
    """Tell a person something that is no result."""
    typer.echo(message, err=True)


def emit(output: Output, result: object, table: Callable[[], None]) -> None:
    """Print `result` as JSON or YAML, or call `table` to print it for people."""
    match output:
        case Output.JSON:
            typer.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
        case Output.YAML:
            typer.echo(to_yaml([msgspec.to_builtins(result)]), nl=False)
        case Output.TABLE:
            table()


def rows(
    columns: Sequence[Column], records: Sequence[Mapping[str, object]], *, empty: str = "Nothing"
) -> None:
    """Print a table of records; plain aligned columns where no terminal draws it."""
    if not records:
        say(empty)
        return
    cells = [[text(value(dict(record))) for _, value in columns] for record in records]
    headings = [heading for heading, _ in columns]
    if sys.stdout.isatty():
        Console().print(drawn(headings, cells))
        return
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for line in (headings, *cells):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def drawn(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    """Make a table for a terminal; what stands in a cell is never taken for markup."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for line in cells:
        table.add_row(*map(Text, line))
    return table


def facts(pairs: Mapping[str, object]) -> None:
    """Print names and values, one a line, leaving out what is empty."""
    shown = {name: text(value) for name, value in pairs.items() if value not in ("", None, {}, [])}
    width = max(map(len, shown), default=0) + 1
    for name, value in shown.items():
        typer.echo(f"{name + ':':{width}} {value}")


def text(value: object) -> str:
    """Return a value as one short line; control characters, which could forge output, are replaced."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ",".join(f"{key}={text(inner)}" for key, inner in sorted(value.items())) or "-"
        case list() | tuple():
            return ",".join(map(text, value)) or "-"
        case float():
            return f"{value:.1f}"
    return "".join(character if character.isprintable() else "?" for character in str(value)) or "-"


def to_yaml(documents: Sequence[object]) -> str:
    """Return documents as a YAML stream that our own loader, and any other, reads back unchanged."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def is_terminal() -> bool:
    """Whether a person sits there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


_RARE_BREAKS = frozenset("\x85\u2028\u2029")


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.2 would read as something else, beside those of YAML 1.1."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _quote(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    try:
        plain = plain_scalar(value) == value
    except OverflowError:
        plain = False
    style = "|" if "\n" in value else None if plain else "'"
    if not _RARE_BREAKS.isdisjoint(value):
        style = '"'  # the only style that escapes them; elsewhere they are read back as other breaks
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _quote)
