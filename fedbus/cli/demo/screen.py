"""What a person sees of the demo: a line a step, and on a terminal the live summary below."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fedbus.cli import output
from fedbus.cli.demo.runner import SKIPPED, Result
from fedbus.cli.summary import COLUMNS, Board
from fedbus.model.federation import SummaryRow

_SHOWN = ("NAME", "LINK", "SYNC", "APPLIED/HEAD", "SCANS", "STATUS", "HEARTBEAT")
"""The columns of `fedbus summary` that fit into 80 characters."""
_STYLES = {
    "online": "green",
    "synced": "green",
    "stale": "yellow",
    "syncing": "yellow",
    "offline": "red",
    "out_of_sync": "red",
    "disconnected": "red",
}
_TITLE_WIDTH = 46
_INDENT = 7


class Screen:
    """The audience of the story. Without a terminal everything is plain lines."""

    def __init__(self, console: Console, board: Board) -> None:
        self._console, self._board = console, board
        self._now = Text()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the summary in view below all that is printed meanwhile."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._drawing, console=self._console, refresh_per_second=4, transient=True):
            yield

    def begins(self, title: str) -> None:
        """Show what is being done now."""
        self._now = Text(f"{title} ...", style="bold")

    def waits(self, what: str) -> None:
        """Show what is waited for now."""
        self._now = Text(what, style="bold")

    def ends(self, title: str, result: Result) -> None:
        """Print how a step went."""
        self._now = Text()
        if not result.ok and result.detail == SKIPPED:
            self.say(Text.assemble(("  --  ", "dim"), (f"{title}: skipped", "dim")))
            return
        word, style = ("  ok  ", "green") if result.ok else ("FAILED", "bold red")
        self.say(
            Text.assemble((word, style), " ", title.ljust(_TITLE_WIDTH), (f"{result.ms:9.1f} ms", "cyan"))
        )
        self._explain(Text(result.detail, style="dim" if result.ok else ""))

    def say(self, line: Text | str) -> None:
        """Print a line, of any length, as it is."""
        self._console.print(Text(line) if isinstance(line, str) else line, soft_wrap=True)

    def _explain(self, detail: Text) -> None:
        """Print a detail below its step; a terminal's width is kept, elsewhere a line stays a line."""
        plain = not self._console.is_terminal
        self._console.print(
            Padding(detail, (0, 0, 0, _INDENT)) if not plain else Text(" " * _INDENT) + detail,
            soft_wrap=plain,
        )

    def _drawing(self) -> Group:
        spinner = Spinner("line", text=self._now) if self._now else Text()
        return Group(Text(), self._table(), Text(), spinner)

    def _table(self) -> Table:
        columns = [(name, value) for name, value in COLUMNS if name in _SHOWN]
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name, _ in columns:
            table.add_column(name, overflow="fold")
        for row in self._board.rows():
            # Of the scans the number is enough here: the bytes beside it would not fit.
            words = [output.text(value(row)).partition(" (")[0] for _, value in columns]
            table.add_row(*(Text(word, style=_STYLES.get(word, "")) for word in words), style=_style(row))
        return table


def _style(row: SummaryRow) -> str:
    return "" if row.membership == "joined" else "dim"
