"""Live progress on standard error, and tables formatted for a terminal.

Only `show_in_place` writes to standard output, which otherwise belongs to data.
"""

import io
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from oldump.run.formatting import format_amount, printable
from oldump.run.progress import unit_of

_REFRESH_SECONDS = 0.2


class LiveProgress:
    """A live display with one line per step of a stage: rows, rate, percentage and remaining time."""

    def __init__(self, console: Console) -> None:
        """console: the terminal to draw on."""
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:16}"),
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>4.0f} %"),
            TextColumn("{task.fields[rows]:>12}"),
            TextColumn("{task.fields[rate]:>14}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            auto_refresh=False,  # it would start a thread, but workers are forked during the display
            redirect_stdout=False,  # data may go there
        )
        self._refreshed = 0.0
        self._task: TaskID | None = None
        self._unit = "rows"
        self._began = 0.0

    def begin(self, stage: str, step: str) -> None:
        """Add a line for the step."""
        self._finish()
        self._unit = unit_of(step)
        if not self._progress.live.is_started:
            self._progress.start()
        self._task = self._progress.add_task(f"{stage}: {step}", total=None, rows="", rate="")
        self._began = time.monotonic()

    def update(self, rows: int, done: float | None) -> None:
        """Update the step's line."""
        if self._task is not None:
            seconds = max(time.monotonic() - self._began, 1e-3)
            total, completed = (None, 0.0) if done is None else (1.0, done)
            self._progress.update(
                self._task,
                total=total,
                completed=completed,
                rows=format_amount(rows, self._unit),
                rate=f"{format_amount(rows / seconds, self._unit)}/s",
            )
            if time.monotonic() > self._refreshed + _REFRESH_SECONDS:
                self._refreshed = time.monotonic()
                self._progress.refresh()

    def end(self, stage: str) -> None:  # noqa: ARG002 - part of the protocol
        """Complete the step's line."""
        self._finish()

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1.0, completed=1.0)
            self._progress.refresh()
            self._task = None

    def __enter__(self) -> Self:
        """Return self; the display starts with the first step."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop updating and leave the lines on screen."""
        self._progress.stop()


def live_progress() -> LiveProgress:
    """Return a live display on standard error."""
    return LiveProgress(Console(stderr=True))


S = TypeVar("S")
Facts = Callable[[S], list[tuple[str, str]]]
Rows = Callable[[S], list[tuple[str, ...]]]


def show_in_place(changes: Callable[[], Iterator[list[S]]], facts: Facts[S], stages: Rows[S]) -> list[S]:
    """Show one run's state on standard output, redrawn in place, until `changes` ends; return the last state."""
    runs: list[S] = []
    with Live(console=Console(highlight=False), auto_refresh=False, redirect_stdout=False) as live:
        for runs in changes():
            live.update(Group(_pairs(facts(runs[0])), "", _plain_table(stages(runs[0]))), refresh=True)
    return runs


def _pairs(pairs: list[tuple[str, str]]) -> Table:
    """Lay out names and values as a borderless table."""
    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        grid.add_row(Text(name, "dim"), Text(printable(value), "bold red" if name == "problem" else ""))
    return grid


def _plain_table(lines: list[tuple[str, ...]]) -> Table:
    """Lay out a borderless table; the first line is the heading."""
    heading, *rows = lines or [()]
    table = Table(*heading, box=None, padding=(0, 2, 0, 0), header_style="dim")
    for row in rows:
        table.add_row(*(Text(printable(cell), _STYLES.get(cell, "")) for cell in row))
    return table


_STYLES = (
    {"ok": "green", "warning": "yellow", "failure": "bold red"}
    | {
        "complete": "green",
        "committed": "green",
        "running": "bold",
        "stopped": "yellow",
        "waiting": "dim",
        "left out": "dim",
    }
    | dict.fromkeys(("dead", "failed", "missing", "not readable", "silent"), "bold red")
)


def boxed(lines: list[tuple[str, ...]], width: int) -> str:
    """Format a table with borders, heading first, for a terminal of this width. Cells wrap; verdicts are coloured."""
    heading, *rows = lines
    table = Table(*heading, show_lines=True)
    for row in rows:
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))  # Text: brackets are not markup
    return _drawn(table, width)


def aligned(lines: list[tuple[str, ...]], width: int) -> str:
    """Format a table like `boxed`, but without borders."""
    return _drawn(_plain_table(lines), width)


def paired(pairs: list[tuple[str, str]], width: int) -> str:
    """Format names and values for a terminal of this width."""
    return _drawn(_pairs(pairs), width)


def _drawn(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n"))
